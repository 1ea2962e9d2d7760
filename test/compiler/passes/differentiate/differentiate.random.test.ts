import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { hashProgram } from '../../../../compiler/ir/hash.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { printProgram } from '../../../../compiler/ir/print.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { binaryDerivatives, unaryDerivatives } from '../../../../compiler/passes/differentiate/derivatives.ts';
import { differentiate } from '../../../../compiler/passes/differentiate/differentiate.ts';
import { checkGradients, derivativeAtZero, dot, plus, valueIn } from '../../../support/check-gradients.ts';
import { constructsOf } from '../../../support/constructs.ts';
import type { RandomCase } from '../../../support/random-program.ts';
import { randomProgram } from '../../../support/random-program.ts';
import { normals } from '../../../support/random-values.ts';

const hits = new Map<string, number>();

function isTame({ program, inputs }: RandomCase): boolean {
  return [...interpret(program, inputs).values()].every(({ data }) => data.every((x) => Math.abs(x) < 1e3));
}

test('random programs are valid, print and hash the same twice, and name what they are made of', () => {
  fc.assert(
    fc.property(randomProgram(), ({ program, inputs }) => {
      for (const construct of constructsOf(program)) hits.set(construct, (hits.get(construct) ?? 0) + 1);
      expect(verify(program), printProgram(program)).toEqual([]);
      const copy = structuredClone(program);
      expect(printProgram(copy)).toBe(printProgram(program));
      expect(hashProgram(copy)).toBe(hashProgram(program));
      const values = interpret(program, inputs);
      for (const { name, shape } of program.tensors) expect(values.get(name)?.shape).toEqual(shape);
    }),
    { numRuns: 400, seed: 1 },
  );
});

test('gradients against central differences in random directions', () => {
  fc.assert(
    fc.property(randomProgram(), (random) => {
      fc.pre(isTame(random));
      checkGradients({ ...random, directions: 3 });
    }),
    { numRuns: 300, seed: 2 },
  );
});

test('every element of the gradient', () => {
  fc.assert(
    fc.property(randomProgram({ tensors: 3 }), (random) => {
      fc.pre(isTame(random));
      checkGradients(random);
    }),
    { numRuns: 60, seed: 3 },
  );
});

test('forward and reverse derivatives agree: <cot, J v> = <Jᵀ cot, v>, and J v is the derivative along v', () => {
  fc.assert(
    fc.property(randomProgram({ tensors: 4 }), (random) => {
      fc.pre(isTame(random));
      const { program, inputs, wrt } = random;
      const reverse = differentiate(program, { seeds: seedsFor(program.outputs), wrt });
      const gradients = wrt.map((name) => `grad.${name}`);
      // Jᵀ cot is linear in cot, so its own reverse derivative along v is J v: the forward derivative.
      const cotangents = program.outputs.map((name) => `cot.${name}`);
      const forward = differentiate(reverse, { seeds: seedsFor(gradients), wrt: cotangents });
      expect(verify(forward), printProgram(forward)).toEqual([]);
      const given = new Map(inputs);
      const base = interpret(program, inputs);
      program.outputs.forEach((name, i) => {
        given.set(`cot.${name}`, normals(valueIn(base, name).shape, 50 + i));
      });
      wrt.forEach((name, i) => {
        given.set(`cot.grad.${name}`, normals(valueIn(inputs, name).shape, 70 + i));
      });
      const values = interpret(forward, given);
      const along = (names: readonly string[], a: string, b: string): number =>
        names.reduce((total, name) => total + dot(valueIn(values, `${a}${name}`), valueIn(values, `${b}${name}`)), 0);
      const left = along(program.outputs, 'grad.cot.', 'cot.');
      const right = along(wrt, 'grad.', 'cot.grad.');
      expect(Math.abs(left - right)).toBeLessThanOrEqual(1e-10 * Math.max(1, Math.abs(left)));
      const slope = derivativeAtZero((h) => {
        const moved = new Map(
          wrt.map((name) => [name, plus(valueIn(inputs, name), h, valueIn(values, `cot.grad.${name}`))]),
        );
        const result = interpret(program, new Map([...inputs, ...moved]), program.outputs);
        return program.outputs.reduce(
          (total, name) => total + dot(valueIn(result, name), valueIn(values, `cot.${name}`)),
          0,
        );
      });
      expect(Math.abs(left - slope)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(slope)));
    }),
    { numRuns: 80, seed: 4 },
  );
});

function seedsFor(names: readonly string[]): Record<string, 'input'> {
  return Object.fromEntries(names.map((name) => [name, 'input' as const]));
}

afterAll(() => {
  const expected = [
    ...Object.keys(unaryDerivatives).map((operator) => `unary ${operator}`),
    ...Object.keys(binaryDerivatives).map((operator) => `binary ${operator}`),
    ...['<', '<=', '>', '>=', '==', '!='].map((operator) => `compare ${operator}`),
    ...['sum', 'max', 'min', 'logsumexp'].map((reducer) => `reducer ${reducer}`),
    ...['nonnegative', 'zero', 'nonzero'].map((kind) => `domain ${kind}`),
    ...['input', 'param', 'computed', 'view', 'concat'].map((kind) => `tensor ${kind}`),
    ...['gather', 'constant', 'group', 'strided or offset', 'diagonal', 'block diagonal'].map(
      (kind) => `store ${kind}`,
    ),
    ...['load gather', 'load of several axes', 'load strided, offset or fixed', 'axis reduced', 'several equations'],
    ...['shape scalar', 'shape of size 1', 'select domain', 'select compare', 'random uniform', 'random normal'],
    ...['sum', 'product', 'constant', 'index'],
  ];
  expect(expected.filter((construct) => !hits.has(construct))).toEqual([]);
});
