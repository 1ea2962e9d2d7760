/**
 * Held-out prompts on the host: the equations that draw them on the device, interpreted in float64 with the same (seed, stream, step,
 * element), so that nothing has to be read back.
 *
 * The trap: a baseline may cost points · dims² a prompt and more; at 64 dimensions all prompts of an evaluation would take longer
 * than the training between two of them. A few hundred give its error well enough, of the dearest a few dozen.
 */
import { interpret } from '../../compiler/ir/interpret.ts';
import { ndarray } from '../../compiler/ir/ndarray.ts';
import type { Tensor } from '../../compiler/ir/program.ts';
import { type BaselineName, baselineWork, type Prompts } from './baselines.ts';
import type { PromptNumbers } from './pools.ts';
import { dimsInput, type PromptShape } from './prompts.ts';

/** Multiply-adds of baselines that one may wait for: about a second. */
const workLimit = 3e8;
const fewestPrompts = 32;
/** More would narrow the intervals by little, and drawing them takes as long as the baselines. */
const mostPrompts = 512;

/** How many batches of how many prompts the baselines are worked out on. */
export function affordable(
  { batch, points, nDims }: PromptShape,
  names: readonly BaselineName[],
  batches: number,
): { readonly batch: number; readonly batches: number } {
  const within = Math.floor(workLimit / Math.max(1, baselineWork(names, points, nDims)));
  const prompts = Math.min(mostPrompts, Math.max(fewestPrompts, within));
  const some = Math.min(batch, prompts);
  return { batch: some, batches: Math.min(batches, Math.max(1, Math.floor(prompts / some))) };
}

export interface HostDraws {
  readonly seed: number;
  readonly dims: number;
  readonly batches: number;
  /** Which prompts of a pool a batch takes, if it takes them from one. */
  readonly numbersOf?: (step: number) => PromptNumbers;
  /** Other inputs by name. */
  readonly given?: ReadonlyMap<string, ArrayLike<number>>;
}

/** The prompts of `batches` batches as `drawnPrompts` has them; of questions, what is seen and what is asked for. */
export function promptsOnHost(
  tensors: readonly Tensor[],
  { batch, points, nDims }: PromptShape,
  { seed, dims, batches, numbersOf = () => ({}), given = new Map() }: HostDraws,
): Prompts {
  const isQuestion = tensors.some(({ name }) => name === 'xsAsked');
  const wanted = isQuestion ? ['xsBefore', 'ysBefore', 'xsAsked', 'ysAsked'] : ['xs', 'ys'];
  const parts: Float64Array[][] = wanted.map(() => []);
  for (let step = 0; step < batches; step += 1) {
    const { example, task } = numbersOf(step);
    const values = new Map<string, ArrayLike<number> | undefined>([
      ...given,
      ['seed', [seed]],
      ['step', [step]],
      ['dims', dimsInput(dims)],
      ['example', example],
      ['task', task],
      ['question', [0]],
    ]);
    const inputs = tensors.flatMap(({ name, shape, source }) => {
      const value = values.get(name);
      return source.kind === 'input' && value !== undefined
        ? [[name, ndarray(shape, firstOf(value, shape))] as const]
        : [];
    });
    const found = interpret({ tensors, outputs: wanted, updates: [] }, new Map(inputs), wanted);
    for (const [k, name] of wanted.entries()) parts[k].push(found.get(name)?.data as Float64Array);
  }
  const [xs, ys, askedXs, askedYs] = parts.map(joined);
  return {
    count: batch * batches,
    points,
    nDims,
    dims,
    xs,
    ys,
    ...(isQuestion ? { asked: { xs: askedXs, ys: askedYs } } : {}),
  };
}

/** As many as the shape holds: fewer prompts than a batch may be wanted. */
function firstOf(values: ArrayLike<number>, shape: readonly number[]): Float64Array {
  const elements = shape.reduce((product, extent) => product * extent, 1);
  return Float64Array.from({ length: elements }, (_, i) => values[i]);
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
