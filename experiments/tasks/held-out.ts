/**
 * The baselines of the held-out prompts, on the host: the prompts are drawn here once more, from the same (seed, stream, step,
 * element) as on the device, so that nothing has to be read back.
 *
 * The trap: least squares costs points · dims² a prompt; at 64 dimensions all prompts of an evaluation would take longer than
 * the training between two of them. A few hundred give its error well enough.
 */
import { drawNormal } from '../../compiler/ir/philox.ts';
import { type BaselineErrors, baselineErrors } from './baselines.ts';
import type { PromptNumbers } from './pools.ts';
import type { PromptShape, streams } from './regression.ts';

/** Multiply-adds of least squares that one may wait for: about a second. */
const workLimit = 3e8;
const fewestPrompts = 64;

export function heldOutBaselines(
  shape: PromptShape & { readonly dims: number },
  stream: (typeof streams)['train' | 'evaluate'],
  seed: number,
  batches: number,
  /** Which prompts of a pool a batch takes, if it takes them from one. */
  numbersOf: (step: number) => PromptNumbers = () => ({}),
): BaselineErrors {
  const { batch, points, nDims, dims } = shape;
  const workPerPrompt = points * (6 * dims * dims + points * dims);
  const affordable = Math.max(fewestPrompts, Math.floor(workLimit / workPerPrompt));
  const count = Math.min(batch * batches, affordable);
  const xs = new Float64Array(count * points * nDims);
  const ys = new Float64Array(count * points);
  const used = Math.min(dims, nDims);
  let numbers: PromptNumbers = {};
  for (let index = 0; index < count; index += 1) {
    const [step, n] = [Math.floor(index / batch), index % batch];
    if (n === 0) numbers = numbersOf(step);
    const { example, task } = numbers;
    // As `drawnPrompts` has it: a prompt of a pool is prompt 0 of the step that is its number.
    const [xsStep, xsPrompt] = example === undefined ? [step, n] : [example[n], 0];
    const pooledTask = task ?? example;
    const [wStep, wPrompt] = pooledTask === undefined ? [step, n] : [pooledTask[n], 0];
    const w = Float64Array.from({ length: used }, (_, j) => drawNormal(seed, stream.w, wStep, wPrompt * nDims + j));
    for (let p = 0; p < points; p += 1) {
      for (let j = 0; j < used; j += 1) {
        const x = drawNormal(seed, stream.xs, xsStep, (xsPrompt * points + p) * nDims + j) / Math.sqrt(dims);
        xs[(index * points + p) * nDims + j] = x;
        ys[index * points + p] += x * w[j];
      }
    }
  }
  return baselineErrors({ count, points, nDims, dims, xs, ys });
}
