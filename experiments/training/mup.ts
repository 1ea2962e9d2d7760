/**
 * muP: initial value and learning-rate multiplier of each param, from its initialisation in the program (oracle, table "muP").
 * A param with a fan_in learns at 768 / fan_in of the rate, any other at the rate itself; weights decay, norms and biases do not.
 *
 * The trap: a param is drawn from (seed, its position in declaration order), not from its name, so that a copy of a structure
 * in another folder or under another name starts from the same numbers.
 */
import { drawNormal } from '../../compiler/ir/philox.ts';
import type { Init, Program, Tensor } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';

/** Width at which muP's rates are those of the base model. */
const baseWidth = 768;
/** Streams of the draws: params have one each, from here on; the batch's streams lie below. */
const firstParamStream = 1024;

export interface Param {
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: Init;
  readonly fixed: boolean;
  /** Position among the program's params. */
  readonly position: number;
}

export function paramsOf(program: Program): readonly Param[] {
  const isParam = (tensor: Tensor) => tensor.source.kind === 'param';
  return program.tensors.filter(isParam).map(({ name, shape, source }, position) => {
    if (source.kind !== 'param') throw new Error(`${name} is no param`);
    return { name, shape, init: source.init, fixed: source.fixed, position };
  });
}

export function rateFactor({ init }: Param): number {
  return init.fanIn === undefined ? 1 : baseWidth / init.fanIn;
}

/** Weight decay is for matrices and higher; what starts at a constant is a norm's weight or a bias. */
export function decays({ init, shape }: Param): boolean {
  return (init.kind === 'normal' || init.fanIn !== undefined) && shape.length >= 2;
}

/** A param's elements at the start, in float32. */
export function initialValue({ init, position, shape }: Param, seed: number): Float32Array {
  const values = new Float32Array(elementCount(shape));
  if (init.kind === 'constant') return values.fill(init.value);
  for (let i = 0; i < values.length; i += 1) {
    values[i] = init.std * drawNormal(seed, firstParamStream + position, 0, i);
  }
  return values;
}
