/**
 * The state of a run on the device: params, both moments, and since when it has diverged. It outlives every compiled step, which
 * use its buffers, so that going on to another shape moves no data.
 *
 * The trap: its buffers belong to an executor of their own that runs no kernel.
 */
import type { OpenedDevice } from '../../runtime/device.ts';
import { createExecutor, type Executor } from '../../runtime/executor.ts';
import type { OptimizerState } from '../runs/checkpoint.ts';
import { type Arena, packArena } from './arena.ts';
import type { Param } from './mup.ts';

export interface SharedState {
  readonly executor: Executor;
  /** By tensor name. */
  readonly buffers: ReadonlyMap<string, GPUBuffer>;
}

/** States with an element for each of the arena, and scalars. */
const arenaStates = ['params', 'm', 'v'] as const;
const scalarStates = ['diverged'] as const;

/** Buffers for the state, all zero; `more` names one more as large as the arena and one more scalar, such as `sumStates`. */
export async function makeState(
  opened: OpenedDevice,
  { elements }: Arena,
  more?: { readonly arena: string; readonly scalar: string },
): Promise<SharedState> {
  const [ofArena, scalars] = more === undefined ? [[], []] : [[more.arena], [more.scalar]];
  const shapes: (readonly [string, readonly number[]])[] = [
    ...[...arenaStates, ...ofArena].map((name) => [name, [elements]] as const),
    ...[...scalarStates, ...scalars].map((name) => [name, []] as const),
  ];
  const executor = await createExecutor(opened, {
    buffers: shapes.map(([name, shape]) => ({ id: name, sizeBytes: 4 * (shape[0] ?? 1) })),
    kernels: [],
    tensors: Object.fromEntries(
      shapes.map(([name, shape]) => [name, { buffer: name, offsetBytes: 0, dtype: 'f32' as const, shape }]),
    ),
  });
  return { executor, buffers: executor.buffers };
}

/** The state in which a run begins. */
export function newState(arena: Arena, initialValue: (param: Param) => Float32Array): OptimizerState {
  const [m, v] = [new Float32Array(arena.elements), new Float32Array(arena.elements)];
  return { params: packArena(arena, initialValue), m, v };
}

/** Puts params and moments in the place of those on the device, such as a checkpoint's. */
export function uploadState({ executor }: SharedState, { params, m, v }: OptimizerState): void {
  executor.upload('params', params);
  executor.upload('m', m);
  executor.upload('v', v);
}

/**
 * The state after all steps that were queued; `diverged` is the step, counted from 1, since which it stands still, or 0. No step may be
 * queued meanwhile: one after the other they come through a buffer that is as large as one of them.
 */
export async function downloadState({
  executor,
}: SharedState): Promise<OptimizerState & { readonly diverged: number }> {
  const take = async (name: string) => (await executor.download(name)).get(name) as Float32Array;
  const [params, m, v] = [await take('params'), await take('m'), await take('v')];
  return { params, m, v, diverged: await readDivergence({ executor }) };
}

/** The step, counted from 1, since which the state stands still, or 0. */
export async function readDivergence({ executor }: Pick<SharedState, 'executor'>): Promise<number> {
  return ((await executor.download('diverged')).get('diverged') as Float32Array)[0];
}
