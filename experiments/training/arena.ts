/**
 * One flat tensor for all trained params, one for their gradients, one for each moment: the optimizer is then a few equations
 * over them all. Each param begins at a multiple of `blockElements`, so that a block belongs to one param and the optimizer's
 * tables (rate, decay) need one entry a block.
 *
 * The trap: what lies between two params is 0 and stays 0, and counts in no norm.
 */
import { elementCount } from '../../compiler/ir/program.ts';
import type { Param } from './mup.ts';
import { decays, rateFactor } from './mup.ts';

/** A 256-byte binding offset in f32, the alignment that every WebGPU device allows. */
export const blockElements = 64;

export interface ArenaSlot {
  readonly param: Param;
  readonly offset: number;
  readonly elements: number;
}

export interface Arena {
  readonly slots: readonly ArenaSlot[];
  readonly blocks: number;
  readonly elements: number;
}

export function layOut(params: readonly Param[]): Arena {
  const slots: ArenaSlot[] = [];
  let blocks = 0;
  for (const param of params.filter(({ fixed }) => !fixed)) {
    const elements = elementCount(param.shape);
    slots.push({ param, offset: blocks * blockElements, elements });
    blocks += Math.ceil(elements / blockElements);
  }
  return { slots, blocks, elements: blocks * blockElements };
}

/** One number a block, from one a param. */
export function perBlock(arena: Arena, value: (param: Param) => number): Float32Array {
  const table = new Float32Array(arena.blocks);
  for (const { param, offset, elements } of arena.slots) {
    const first = offset / blockElements;
    table.fill(value(param), first, first + Math.ceil(elements / blockElements));
  }
  return table;
}

export interface OptimizerTables {
  /** Peak learning rate of each block. */
  readonly rate: Float32Array;
  readonly decay: Float32Array;
}

/** `untouched` params take no step at all: the loss does not depend on them. */
export function optimizerTables(
  arena: Arena,
  learningRate: number,
  weightDecay: number,
  untouched: ReadonlySet<string>,
): OptimizerTables {
  return {
    rate: perBlock(arena, (param) => (untouched.has(param.name) ? 0 : learningRate * rateFactor(param))),
    decay: perBlock(arena, (param) => (decays(param) ? weightDecay : 0)),
  };
}

export function packArena(arena: Arena, elementsOf: (param: Param) => ArrayLike<number>): Float32Array {
  const packed = new Float32Array(arena.elements);
  for (const { param, offset, elements } of arena.slots) {
    const values = elementsOf(param);
    if (values.length !== elements) throw new Error(`${param.name} has ${elements} elements, not ${values.length}`);
    packed.set(values, offset);
  }
  return packed;
}

export function unpackArena(arena: Arena, packed: Float32Array): Map<string, Float32Array> {
  return new Map(
    arena.slots.map(({ param, offset, elements }) => [param.name, packed.slice(offset, offset + elements)]),
  );
}
