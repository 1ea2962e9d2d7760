import { describe, expect, test } from 'vitest';
import { printProgram } from '../../../compiler/ir/print.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { unfoldAxes } from '../../../compiler/passes/unfold.ts';
import { lowered } from '../../support/lowered.ts';
import { normals } from '../../support/random-values.ts';
import { expectSameOutputs } from './agree.ts';

const program = (body: string) =>
  lowered(`structure S {
  axis n: 2, t: 3, b: 6, h: 2, e: 4, i, o: 8, k: 8
  input x[n, t, i]
  param W[o, i] ~ normal(fan_in = i)
  param V[k, o] ~ normal(fan_in = o)
${body}
}`);

/** The equations of the tensors that are computed, after the pass; their values are held to those before. */
function unfolded(before: Program): readonly string[] {
  const after = unfoldAxes(before);
  const given = before.tensors.filter(({ source }) => source.kind !== 'computed');
  expectSameOutputs(before, after, new Map(given.map(({ name, shape }, i) => [name, normals(shape, i + 1)])));
  const lines = printProgram(after).split('\n');
  return lines.filter((line) => line.startsWith('  ')).map((line) => line.trim().replace(/ {3}over .*/, ''));
}

describe('what is taken together everywhere', () => {
  test('is taken apart, also along an axis that goes through all of it', () => {
    const chain = program(`  y[(n t), o] = W[o, i] * x[n, t, i]
  z[b, k] = V[k, o] * y[b, o]
  out[n, t, k] = z[(n t), k]
  output out`);
    expect(unfolded(chain)).toEqual([
      'y[n, t, o] sum= W[o, i] * x[n, t, i]',
      'z[n, t, k] sum= V[k, o] * y[n, t, o]',
      'out[n, t, k] sum= z[n, t, k]',
    ]);
  });

  test('and runs along a param is, where it is read more often than that', () => {
    const heads = (readers: string) => program(`  y[n, t, o] = W[o, i] * x[n, t, i]\n${readers}\n  output a`);
    const [whole] = unfolded(heads('  a[n, t, h, e] = y[n, t, (h e)]'));
    expect(whole).toBe('y[n, t, o] sum= W[o, i] * x[n, t, i]');
    const [cut] = unfolded(
      heads('  m[n, t, h] = sum[e](y[n, t, (h e)])\n  a[n, t, h, e] = y[n, t, (h e)] - m[n, t, h]'),
    );
    expect(cut).toBe('y[n, t, h, e] sum= W[4*h + e, i] * x[n, t, i]');
  });
});

describe('what stays as it is', () => {
  test.each([
    ['an output', '  y[(n t), o] = W[o, i] * x[n, t, i]\n  output y'],
    ['two ways of taking together', '  y[(n t), o] = W[o, i] * x[n, t, i]\n  z[t, n, o] = y[(t n), o]\n  output z'],
    [
      'a part of it',
      '  y[(n t), o] = W[o, i] * x[n, t, i]\n  z[n, o] = y[n + 1, o]\n  w[n, t, o] = y[(n t), o] + z[n, o]\n  output w',
    ],
    [
      'an axis with a condition',
      '  y[(n t), o] = W[o, i] * x[n, t, i]\n  z[b, o] = y[b, o] where b <= 4\n  w[n, t, o] = z[(n t), o]\n  output w',
    ],
  ])('%s', (_, body) => {
    const before = program(body.includes('(t n)') ? body.replace('t: 3', 't: 3') : body);
    expect(unfoldAxes(before)).toBe(before);
  });
});
