/**
 * Fixed sets of prompts and of tasks, where the options limit their number: which ones a step takes, drawn on the host.
 * A prompt has its number as its step in the draws, so that the same number is the same prompt wherever it comes up.
 */

import { UsageError } from '../../compiler/command-line/errors.ts';
import { drawUniform } from '../../compiler/ir/philox.ts';
import type { IclOptions } from '../options/icl.ts';
import { poolStream } from './prompts.ts';

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

/** Which prompts of the pools a step takes, a number for each prompt of its batch; absent where there is no pool. */
export interface PromptNumbers {
  readonly example?: Int32Array;
  readonly task?: Int32Array;
}

export function promptNumbers(options: IclOptions, step: number): PromptNumbers {
  const { examples, tasks } = poolSizes(options);
  const { seed, training_batch_size: batch } = options;
  return {
    ...(examples === null ? {} : { example: drawNumbers(seed, step, batch, examples, true) }),
    ...(tasks === null ? {} : { task: drawNumbers(seed, step, batch, tasks, false) }),
  };
}

/** Uploads what says which prompts a step takes. */
export function feedPrompts(upload: (name: string, data: Int32Array) => void, options: IclOptions, step: number): void {
  upload('step', new Int32Array([step]));
  for (const [name, numbers] of Object.entries(promptNumbers(options, step))) upload(name, numbers);
}
