/**
 * Checkpoints: all that a run needs to go on, in one sealed safetensors file: `param.NAME`, `m.NAME`, `v.NAME`, and in the metadata
 * where the run stands. Every random draw is a function of (seed, step, element), and so is every batch: the number of steps done
 * is the position of each random stream.
 *
 * A checkpoint of k steps stands before everything that happens between step k and the next: the evaluation that falls there, and
 * the phase that begins there. So it is the same file whatever asked for it, and what a run writes after it is written again by a
 * run that goes on from it.
 *
 * The trap: old checkpoints are removed only after the new one is in its place, so that there are always two whole ones.
 */
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { describeError, UserError } from '../../compiler/command-line/errors.ts';
import type { Choices } from '../../compiler/schedule/choose.ts';
import { readSafetensors, type StoredTensor, sealName, writeSealedSafetensors } from '../../runtime/safetensors.ts';
import { type Arena, packArena } from '../training/arena.ts';
import { decisionsSchema } from '../training/decisions.ts';
import { type KernelChoices, kernelChoicesSchema } from '../training/kernel-choices.ts';

/** Where a run stands, beside its tensors. */
export interface Standing {
  /** Steps that are done. */
  readonly step: number;
  /** Step at which the phase in force began, such as a stage of the curriculum. */
  readonly phase: number;
  /** Lowest loss of the evaluations before; undefined where there was none. */
  readonly best: number | undefined;
  readonly choices: KernelChoices;
  /** What the scheduler decided for the step; undefined where nothing has run. */
  readonly decisions: Choices | undefined;
}

/** What the optimizer works on, each packed as the arena lays it out. */
export interface OptimizerState {
  readonly params: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
}

export interface TrainingState extends Standing, OptimizerState {}

/** A checkpoint as it was read, before anybody says which model it is of. */
export interface Checkpoint extends Standing {
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

const arenas = [
  ['param', 'params'],
  ['m', 'm'],
  ['v', 'v'],
] as const;
const format = 'mlbtc-checkpoint-2';
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
      const data = state[key].subarray(offset, offset + elements);
      tensors.set(`${prefix}.${param.name}`, { dtype: 'F32', shape: param.shape, data });
    }
  }
  const { step, phase, best, choices, decisions } = state;
  writeSealedSafetensors(path, tensors, {
    format,
    step: String(step),
    phase: String(phase),
    ...(best === undefined ? {} : { best: String(best) }),
    choices: JSON.stringify(choices),
    ...(decisions === undefined ? {} : { decisions: JSON.stringify(decisions) }),
  });
}

/** Steps of the checkpoints in a folder, ascending. */
export function checkpointSteps(folder: string): readonly number[] {
  return readdirSync(folder)
    .flatMap((name) => filePattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

const wholeNumber = z.string().regex(/^\d+$/).transform(Number);
const standingSchema = z.object({
  format: z.literal(format),
  [sealName]: z.string(),
  step: wholeNumber,
  phase: wholeNumber,
  best: z.string().transform(Number).pipe(z.number()).optional(),
  choices: z
    .string()
    .transform((text) => JSON.parse(text))
    .pipe(kernelChoicesSchema),
  decisions: z
    .string()
    .transform((text) => JSON.parse(text))
    .pipe(decisionsSchema)
    .optional()
    // The file is whole, so another version decided about what this one does not know: its own rules decide then.
    .catch(undefined),
});

/** Throws UserError where the file is not a whole checkpoint with the digest that it was written with. */
export function readCheckpoint(path: string): Checkpoint {
  const { tensors, metadata } = readSafetensors(path);
  const standing = standingSchema.safeParse(metadata);
  if (!standing.success) {
    const where = standing.error.issues[0].path.join('.');
    throw new UserError(`${path}: not a checkpoint that a run can go on from: its metadata say no right ${where}`);
  }
  const { step, phase, best, choices, decisions } = standing.data;
  return { path, tensors, step, phase, best, choices, decisions };
}

/** Throws UserError where the checkpoint is not of this arena's params. */
export function packCheckpoint({ path, tensors }: Checkpoint, arena: Arena): OptimizerState {
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
  return { params: take('param'), m: take('m'), v: take('v') };
}

export interface RefusedCheckpoint {
  readonly path: string;
  readonly reason: string;
}

export interface FoundCheckpoint {
  /** Undefined where a run has none yet, or none that is whole. */
  readonly checkpoint: Checkpoint | undefined;
  /** Later ones that cannot be used. */
  readonly refused: readonly RefusedCheckpoint[];
}

/** The last whole checkpoint of a run; the best one counts where nothing later is whole. */
export function lastGoodCheckpoint(folder: string): FoundCheckpoint {
  const refused: RefusedCheckpoint[] = [];
  const read = (path: string): Checkpoint | undefined => {
    try {
      return readCheckpoint(path);
    } catch (error) {
      const { message } = describeError(error);
      refused.push({ path, reason: message.replace(/^error: /, '').replace(`${path}: `, '') });
      return undefined;
    }
  };
  const steps = existsSync(folder) ? checkpointSteps(folder) : [];
  for (const step of [...steps].reverse()) {
    const checkpoint = read(checkpointPath(folder, step));
    if (checkpoint !== undefined) return { checkpoint, refused };
  }
  const best = bestCheckpointPath(folder);
  return { checkpoint: existsSync(best) ? read(best) : undefined, refused };
}

/** Puts a damaged checkpoint out of the way of those that are counted; it stays for who wants to look. */
export function setAside(path: string): string {
  const aside = `${path}.damaged`;
  renameSync(path, aside);
  return aside;
}
