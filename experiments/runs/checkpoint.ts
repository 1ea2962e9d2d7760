/**
 * Checkpoints: all that a run needs to go on, in one safetensors file: `param.NAME`, `m.NAME`, `v.NAME`, and the step in the
 * metadata. Random streams need no position of their own: every draw is a function of (seed, step, element).
 *
 * The trap: old checkpoints are removed only after the new one is in its place, so that there is always a whole one.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../compiler/command-line/errors.ts';
import { readSafetensors, type StoredTensor, writeSafetensors } from '../../runtime/safetensors.ts';
import { type Arena, packArena } from '../training/arena.ts';

export interface TrainingState {
  /** Steps that are done. */
  readonly step: number;
  readonly params: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
}

const arenas = [
  ['param', 'params'],
  ['m', 'm'],
  ['v', 'v'],
] as const;
export const recentlyKept = 2;
const filePattern = /^step-(\d+)\.safetensors$/;

export function checkpointPath(folder: string, step: number): string {
  return join(folder, `step-${String(step).padStart(8, '0')}.safetensors`);
}

/** The one with the best evaluation; it is kept beside those of the last steps. */
export function bestCheckpointPath(folder: string): string {
  return join(folder, 'best.safetensors');
}

/** Writes a checkpoint, then removes those that are neither recent nor at a multiple of `keepEverySteps`. */
export function writeCheckpoint(folder: string, arena: Arena, state: TrainingState, keepEverySteps: number): string {
  const path = checkpointPath(folder, state.step);
  saveCheckpoint(path, arena, state);
  const recent = checkpointSteps(folder).slice(-recentlyKept);
  for (const step of checkpointSteps(folder)) {
    if (!recent.includes(step) && step % keepEverySteps !== 0) rmSync(checkpointPath(folder, step), { force: true });
  }
  return path;
}

export function saveCheckpoint(path: string, arena: Arena, state: TrainingState): void {
  const tensors = new Map<string, StoredTensor>();
  for (const [prefix, key] of arenas) {
    for (const { param, offset, elements } of arena.slots) {
      const data = state[key].slice(offset, offset + elements);
      tensors.set(`${prefix}.${param.name}`, { dtype: 'F32', shape: param.shape, data });
    }
  }
  writeSafetensors(path, tensors, { format: 'mlbtc-checkpoint-1', step: String(state.step) });
}

/** Steps of the checkpoints in a folder, ascending. */
export function checkpointSteps(folder: string): readonly number[] {
  return readdirSync(folder)
    .flatMap((name) => filePattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Throws UserError where the file is not a checkpoint of this arena's params. */
export function readCheckpoint(path: string, arena: Arena): TrainingState {
  const { tensors, metadata } = readSafetensors(path);
  const take = (prefix: string): Float32Array =>
    packArena(arena, (param) => {
      const tensor = tensors.get(`${prefix}.${param.name}`);
      if (tensor === undefined || !(tensor.data instanceof Float32Array)) {
        throw new UserError(`${path}: no tensor ${prefix}.${param.name}; is it a checkpoint of another model?`);
      }
      if (tensor.shape.join() !== param.shape.join()) {
        const [has, wants] = [tensor.shape.join(', '), param.shape.join(', ')];
        throw new UserError(`${path}: ${prefix}.${param.name} has shape (${has}), the model wants (${wants})`);
      }
      return tensor.data;
    });
  return { step: Number(metadata.step), params: take('param'), m: take('m'), v: take('v') };
}
