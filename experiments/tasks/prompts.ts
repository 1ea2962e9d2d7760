/**
 * Prompts of in-context learning as equations: `prompts.mlbtc` with a task in its slot, its params drawn where they are used from
 * (seed, stream, step, element). Points x ~ N(0, 1 / dims) lie on the first `dims` coordinates and are 0 beyond (oracle, "ICL data
 * and curriculum"); a task is a file `NAME.mlbtc` beside this one, and what is a param in it is drawn anew for every prompt.
 *
 *   gaussian ──▶ drawn ──▶ xs ──Task──▶ ys
 *
 * `questions.mlbtc` has a setting between: the points that are seen and the one that is asked for are of two kinds.
 *
 * The trap: `seed` and `step` are i32 scalars given at every run; as numbers in an expression they would lose their last bits
 * in float32, so each draw reads them as loads and nothing is computed from them.
 *
 * How many coordinates are in use is an input too, not a shape: stages of a curriculum that differ in `dims` alone are one program.
 *
 * With `pool`, prompt n is not a new one but number `example[n]` of a fixed set, and its task number `task[n]`.
 */
import { add, affine, scale } from '../../compiler/ir/affine.ts';
import { at, computed, inOrder, input, over } from '../../compiler/ir/build.ts';
import { dependencies } from '../../compiler/ir/equation.ts';
import type { Affine, Program, Tensor } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import { taskFile } from '../library.ts';
import { analyseSource } from '../models/analyse.ts';
import { readSource, resolveFile } from '../models/resolve.ts';
import type { SizeValue } from '../options/mixers.ts';

/** Streams of random numbers by use; params have theirs from 1024 on. Training and evaluation never share one. */
export const streams = {
  train: { xs: 0, task: 1, setting: 6 },
  evaluate: { xs: 2, task: 3, setting: 7 },
} as const;
export type Streams = (typeof streams)[keyof typeof streams];
/** Stream from which the host draws which prompt of a pool comes next. */
export const poolStream = 4;

export interface PromptShape {
  readonly batch: number;
  readonly points: number;
  readonly nDims: number;
}

/** The input that says which coordinates are in use: their number, and their standard deviation. */
export function dimsInput(dims: number): Float32Array {
  return new Float32Array([dims, 1 / Math.sqrt(dims)]);
}

/** Which of the two random parts comes from a pool. */
export interface Pool {
  readonly examples: boolean;
  readonly tasks: boolean;
}

const noPool: Pool = { examples: false, tasks: false };

/** What fills the slot `Task`: a file beside this one, and its sizes. */
export interface TaskFile {
  readonly file: string;
  readonly sizes: Readonly<Record<string, SizeValue>>;
}

/** What the points and answers go through beside the task. */
export type Change =
  /** Sizes and consts of `prompts.mlbtc`. */
  | { readonly kind: 'prompts'; readonly sizes: Readonly<Record<string, SizeValue>> }
  /** A file in `settings/` for the slot `Setting` of `questions.mlbtc`. */
  | { readonly kind: 'questions'; readonly file: string };

export const unchanged: Change = { kind: 'prompts', sizes: {} };

/**
 * The tensors `xs` and `ys` with what they are made of; inputs: seed, step, dims, and with a pool example or task, with a change
 * `transform` or `question`. Of questions also `xsBefore`, `ysBefore`, `xsAsked`, `ysAsked`.
 */
export function drawnPrompts(
  shape: PromptShape,
  stream: Streams,
  task: TaskFile,
  { pool = noPool, change = unchanged }: { readonly pool?: Pool; readonly change?: Change } = {},
): readonly Tensor[] {
  const program = optimise(promptProgram(shape, task, change));
  const drawn = drawParams(program, stream, pool);
  const tensors = program.tensors.map((tensor) => drawn.get(tensor.name) ?? tensor);
  const given = [input('seed', [], 'i32'), input('step', [], 'i32'), ...poolInputs(shape, pool)];
  const read = new Set(tensors.flatMap(dependencies));
  return inOrder([...given.filter(({ name }) => read.has(name)), ...tensors]);
}

function promptProgram({ batch, points, nDims }: PromptShape, task: TaskFile, change: Change): Program {
  const filled = { Task: readSource(taskFile(task.file)) };
  const sizes = {
    N: batch,
    n_dims: nDims,
    points,
    ...Object.fromEntries(Object.entries(task.sizes).map(([size, value]) => [`Task.${size}`, value])),
  };
  return change.kind === 'prompts'
    ? analyseSource(readSource(taskFile('prompts')), {
        sizes: { ...sizes, ...change.sizes },
        slots: filled,
        inputShapes: {},
        resolve: resolveFile,
      })
    : analyseSource(readSource(taskFile('questions')), {
        sizes,
        slots: { ...filled, Setting: readSource(taskFile(`settings/${change.file}`)) },
        inputShapes: {},
        resolve: resolveFile,
      });
}

/** The points have a stream to themselves, and the task, so that it is the same under every setting. */
const pointsParam = 'gaussian';
const taskPrefix = 'task.';

/**
 * The params as draws. Those of one stream lie one after the other, all of a prompt together: element number
 * (elements a prompt) · n + (place in the prompt).
 */
function drawParams({ tensors }: Program, stream: Streams, pool: Pool): ReadonlyMap<string, Tensor> {
  const drawn = new Map<string, Tensor>();
  const params = tensors.filter(({ source }) => source.kind === 'param');
  const pooledTask = pool.tasks ? 'task' : pool.examples ? 'example' : undefined;
  const draw = (some: readonly Tensor[], number: number, pooled: string | undefined) => {
    const perPrompt = some.map(({ shape }) => elementCount(shape.slice(1)));
    const total = perPrompt.reduce((sum, elements) => sum + elements, 0);
    let offset = 0;
    for (const [k, param] of some.entries()) {
      drawn.set(param.name, drawnTensor(param, { stream: number, pooled, total, offset }));
      offset += perPrompt[k];
    }
  };
  const isTask = ({ name }: Tensor) => name.startsWith(taskPrefix);
  const others = params.filter((param) => param.name !== pointsParam && !isTask(param));
  draw(
    params.filter(({ name }) => name === pointsParam),
    stream.xs,
    pool.examples ? 'example' : undefined,
  );
  draw(params.filter(isTask), stream.task, pooledTask);
  draw(others, stream.setting, undefined);
  return drawn;
}

interface Place {
  readonly stream: number;
  /** The input that says which of a pool each prompt is. */
  readonly pooled: string | undefined;
  /** Elements of the stream that a prompt takes. */
  readonly total: number;
  /** Where this tensor's begin. */
  readonly offset: number;
}

/** The first axis of what is drawn counts the prompts. */
function drawnTensor({ name, shape, source }: Tensor, { stream, pooled, total, offset }: Place): Tensor {
  if (source.kind !== 'param' || source.init.kind !== 'normal' || source.init.std !== 1) {
    throw new Error(`${name} cannot be drawn: a task's params are normal(std = 1)`);
  }
  const extents = Object.fromEntries(shape.map((extent, d) => [d === 0 ? 'n' : `e${d}`, extent]));
  const equation = over(extents, (axes) => {
    const [n, ...rest] = Object.values(axes);
    const within = rest.reduce<Affine>((flat, axis, d) => add(scale(flat, shape[d + 1]), axis), affine(0));
    const place = add(within, affine(offset));
    return {
      store: [n, ...rest],
      value: {
        kind: 'random',
        distribution: 'normal',
        seed: at('seed'),
        stream,
        step: pooled === undefined ? at('step') : at(pooled, n),
        element: pooled === undefined ? add(scale(n, total), place) : place,
      },
    };
  });
  return computed(name, shape, [equation]);
}

function poolInputs({ batch }: PromptShape, pool: Pool): readonly Tensor[] {
  return [
    ...(pool.examples ? [input('example', [batch], 'i32')] : []),
    ...(pool.tasks ? [input('task', [batch], 'i32')] : []),
  ];
}
