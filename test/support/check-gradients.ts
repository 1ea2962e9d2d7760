/**
 * Holds `differentiate` against the interpreter's central differences: for Σ cot · output, along each element of each `wrt` tensor
 * or along random directions, at two step sizes (Richardson), so that 1e-6 relative is within reach in float64.
 */
import { expect } from 'vitest';
import { interpret } from '../../compiler/ir/interpret.ts';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import { printProgram } from '../../compiler/ir/print.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { verify } from '../../compiler/ir/verify.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { normals } from './random-values.ts';

export type Values = ReadonlyMap<string, NdArray>;

export function dot(a: NdArray, b: NdArray): number {
  return a.data.reduce((total, x, i) => total + x * b.data[i], 0);
}

/** `a + factor · b`, element by element. */
export function plus(a: NdArray, factor: number, b: NdArray): NdArray {
  return { shape: a.shape, data: a.data.map((x, i) => x + factor * b.data[i]) };
}

/** Derivative of `value` at 0, by central differences of two widths. */
export function derivativeAtZero(value: (h: number) => number, width = 2e-4): number {
  const central = (h: number): number => (value(h) - value(-h)) / (2 * h);
  return (4 * central(width / 2) - central(width)) / 3;
}

export interface GradientCheck {
  readonly program: Program;
  readonly inputs: Values;
  readonly wrt: readonly string[];
  /** Relative to the largest derivative seen. */
  readonly tolerance?: number;
  readonly width?: number;
  /** All elements one by one, or so many random directions over all `wrt` together. */
  readonly directions?: number;
}

/** Every output that is not i32 gets a random cotangent. */
export function checkGradients({ program, inputs, wrt, tolerance = 1e-6, width, directions }: GradientCheck): Program {
  const outputs = program.outputs.filter((name) => program.tensors.find((t) => t.name === name)?.dtype !== 'i32');
  const seeds = Object.fromEntries(outputs.map((name) => [name, 'input' as const]));
  const derived = differentiate(program, { seeds, wrt });
  expect(verify(derived), printProgram(derived)).toEqual([]);

  const values = interpret(program, inputs);
  const cotangents = new Map(outputs.map((name, i) => [`cot.${name}`, normals(valueIn(values, name).shape, 1000 + i)]));
  const gradients = interpret(derived, new Map([...inputs, ...cotangents]));
  const objective = (at: Values): number => {
    const result = interpret(program, at, outputs);
    return outputs.reduce((total, name) => total + dot(valueIn(result, name), valueIn(cotangents, `cot.${name}`)), 0);
  };
  const moved = (h: number, direction: Values): Map<string, NdArray> => {
    const at = new Map(inputs);
    for (const [name, d] of direction) at.set(name, plus(valueIn(inputs, name), h, d));
    return at;
  };
  const all = directions === undefined ? unitDirections(inputs, wrt) : randomDirections(inputs, wrt, directions);
  const pairs = all.map((direction) => ({
    expected: derivativeAtZero((h) => objective(moved(h, direction)), width),
    actual: [...direction].reduce((total, [name, d]) => total + dot(valueIn(gradients, `grad.${name}`), d), 0),
  }));
  const scale = Math.max(1e-3, ...pairs.map(({ expected }) => Math.abs(expected)));
  for (const { expected, actual } of pairs) {
    expect(Math.abs(actual - expected) / scale, `${actual} for ${expected} in\n${printProgram(derived)}`).toBeLessThan(
      tolerance,
    );
  }
  return derived;
}

function unitDirections(inputs: Values, wrt: readonly string[]): readonly Values[] {
  return wrt.flatMap((name) => {
    const { shape, data } = valueIn(inputs, name);
    return [...data.keys()].map((element) => {
      const unit = new Float64Array(data.length);
      unit[element] = 1;
      return new Map([[name, { shape, data: unit }]]);
    });
  });
}

function randomDirections(inputs: Values, wrt: readonly string[], count: number): readonly Values[] {
  return Array.from(
    { length: count },
    (_, k) => new Map(wrt.map((name, i) => [name, normals(valueIn(inputs, name).shape, 2000 + 100 * k + i)])),
  );
}

export function valueIn(values: Values, name: string): NdArray {
  const value = values.get(name);
  if (value === undefined) throw new Error(`no value of ${name}`);
  return value;
}
