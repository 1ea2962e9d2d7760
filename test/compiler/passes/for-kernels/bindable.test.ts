/** No kernel binds more storage buffers than the target has, however much one tensor reads; and the values stay. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { printProgram } from '../../../../compiler/ir/print.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { withinBindings } from '../../../../compiler/passes/for-kernels/bindable.ts';
import { optimise } from '../../../../compiler/passes/pipeline.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { analyse } from '../../../../compiler/semantics/analyse.ts';
import { portableTarget } from '../../../../kernels/target.ts';
import { normals } from '../../../support/random-values.ts';

function programOf(text: string): Program {
  const source = { file: 'wide.mlbtc', text };
  const { program, diagnostics } = analyse({ source, sizes: {}, resolve: () => undefined, unbound: 'refuse' });
  if (program === undefined) throw new Error(diagnostics.map((d) => d.message).join('\n'));
  return program;
}

const letters = [...'abcdefghklmn'];
const inputs = (axes: string): string => letters.map((name) => `input ${name}[${axes}]`).join(' ');
const joined = (operator: string, element: (name: string) => string): string => letters.map(element).join(operator);

const programs: Readonly<Record<string, string>> = {
  'many levels': `structure S { size depth = 9 axis n: 3, i, j: 4 input x[n, j]
    level l in 0 .. depth { axis r: 2 param U[i, r] ~ ones param V[j, r] ~ ones W[i, j] += U[i, r] * V[j, r] }
    y[n, i] = W[i, j] * x[n, j] output y }`,
  'a sum': `structure S { axis i: 5 ${inputs('i')} y[i] = ${joined(' + ', (n) => `2 * ${n}[i]`)} output y }`,
  'a product': `structure S { axis i: 5 ${inputs('i')} y[i] = ${joined(' * ', (n) => `${n}[i]`)} output y }`,
  'a function of a sum': `structure S { axis i: 5 ${inputs('i')} y[i] = tanh(${joined(' + ', (n) => `sin(${n}[i])`)}) output y }`,
  'a reduction of a sum': `structure S { axis i: 5, j: 3 ${inputs('i, j')} y[i] = logsumexp[j](${joined(' + ', (n) => `${n}[i, j]`)}) output y }`,
  'a quotient': `structure S { axis i: 5 ${inputs('i')} y[i] = (${joined(' + ', (n) => `${n}[i]`)}) / (9 + ${joined(' + ', (n) => `${n}[i]^2`)}) output y }`,
  'a choice by values': `structure S { axis i: 5 ${inputs('i')}
    y[i] = select(${joined(' + ', (n) => `${n}[i]`)} < 1, ${joined(' * ', (n) => `${n}[i]`)}, exp(${joined(' - ', (n) => `${n}[i]`)})) output y }`,
  'a choice by position': `structure S { axis i: 5 ${inputs('i')}
    y[i] = select(i < 3, ${joined(' * ', (n) => `${n}[i + 0]`)}, exp(${joined(' - ', (n) => `${n}[i]`)})) output y }`,
  'a domain': `structure S { axis i: 5 ${inputs('i')} y[i] = exp(${joined(' * ', (n) => `${n}[i]`)}) where i < 4 and i >= 1 output y }`,
};

describe.each([8, 5])('%d buffers a kernel', (maxStorageBuffersPerShaderStage) => {
  const target = { ...portableTarget, limits: { ...portableTarget.limits, maxStorageBuffersPerShaderStage } };
  test.each(Object.entries(programs))('%s', (_, text) => {
    const program = optimise(programOf(text));
    const narrow = withinBindings(program, target.limits.maxStorageBuffersPerShaderStage);
    expect(verify(narrow), printProgram(narrow)).toEqual([]);
    const given = program.tensors.filter(({ source }) => source.kind === 'input' || source.kind === 'param');
    const values = new Map(given.map(({ name, shape }, i) => [name, normals(shape, 3 + i)]));
    const [want, have] = [program, narrow].map((p) => interpret(p, values, ['y']).get('y')!.data);
    for (const [i, value] of want.entries()) expect(have[i]).toBeCloseTo(value, 9);
    const widths = schedule(program, { target }).kernels.map(({ bindings }) => bindings.length);
    expect(Math.max(...widths)).toBeLessThanOrEqual(maxStorageBuffersPerShaderStage);
  });
});
