/**
 * Fixed sets of prompts and of tasks, where the options limit their number: which ones a step takes, drawn on the host.
 * A prompt has its number as its step in the draws, so that the same number is the same prompt wherever it comes up.
 */

import { drawUniform } from '../../compiler/ir/philox.ts';
import { UsageError } from '../../runtime/errors.ts';
import type { IclOptions } from '../options/icl.ts';
import { poolStream } from './regression.ts';

export interface PoolSizes {
  readonly examples: number | null;
  readonly tasks: number | null;
}

/** Throws UsageError where a batch does not fit: its prompts are different ones. */
export function poolSizes(options: IclOptions): PoolSizes {
  const { training_num_training_examples: examples, training_num_tasks: tasks, training_batch_size: batch } = options;
  if (examples !== null && examples < batch) {
    throw new UsageError(
      `--training_num_training_examples ${examples} is less than a batch of ${batch} different prompts`,
    );
  }
  return { examples, tasks };
}

/** Numbers below `size` for a step, one a prompt; different ones where `distinct`. */
export function drawNumbers(seed: number, step: number, count: number, size: number, distinct: boolean): Int32Array {
  const stream = poolStream + (distinct ? 0 : 1);
  const drawn = new Int32Array(count);
  const seen = new Set<number>();
  let element = 0;
  for (let i = 0; i < count; i += 1) {
    let number: number;
    do {
      number = Math.min(size - 1, Math.floor(drawUniform(seed, stream, step, element) * size));
      element += 1;
    } while (distinct && seen.has(number));
    seen.add(number);
    drawn[i] = number;
  }
  return drawn;
}

/** Uploads what says which prompts a step takes. */
export function feedPrompts(upload: (name: string, data: Int32Array) => void, options: IclOptions, step: number): void {
  const { examples, tasks } = poolSizes(options);
  const { seed, training_batch_size: batch } = options;
  upload('step', new Int32Array([step]));
  if (examples !== null) upload('example', drawNumbers(seed, step, batch, examples, true));
  if (tasks !== null) upload('task', drawNumbers(seed, step, batch, tasks, false));
}
