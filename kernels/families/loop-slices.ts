/**
 * A loop kernel with more threads than elements: groups of threads, slices, have the same elements, and each takes its part of the
 * outermost loop of the sum. In the end the first slice adds up what the others put into workgroup memory.
 *
 *   4 slices of t: 64, workgroups of 128    threads 0–31: t 0–15 of 32 elements    threads 32–63: t 16–31 of the same …
 *
 * For sums over rows of a matrix, as the gradient of a norm's gain is one, where they are few: a thread reads row after row, and waits for each.
 * Of 64 × 64 rows of 256 in 64 pieces, beside the norm's own gradient, it took 18.2 µs of a step on an H100, 14.4 in four slices, and a step of
 * icl low_rank 16 256 3.418 ms and 3.337 (test/bench/records/2026-11-28-lowrank-3.jsonl). The order of additions is fixed, so that every run
 * gives the same bits.
 */
import { coefficientOf } from '../../compiler/ir/affine.ts';
import { reducedAxes } from '../../compiler/ir/equation.ts';
import { loads } from '../../compiler/ir/expression.ts';
import { type Equation, elementCount, type Index } from '../../compiler/ir/program.ts';
import type { LoopKernel } from '../kernel.ts';
import { plainStore } from '../parts/collapse.ts';
import type { Nest } from '../parts/nest.ts';
import type { Target } from '../target.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { wgsl } from '../wgsl/text.ts';
import { chip } from './contraction/tile-sizes.ts';

/** Neighbouring elements that a workgroup has at least: they read whole lines of memory, 128 bytes. */
const leastElements = 32;
/**
 * Threads a multiprocessor that have enough on their way from memory: where there are more already, slices only tear rows apart. With four of
 * 65,536 sums of 64 rows of 512 a norm's gradient and what else its dispatch has took 60 µs, 53 without.
 */
const enoughThreads = 512;
/** Values that a slice has to sum at least: fewer are on their way from memory together as they are. */
const leastTurns = 16;

/** In how many slices a loop kernel is best summed: a power of two, as many as there is room for threads; 1 where it is no plain sum. */
export function loopSlices({ shape, statements }: LoopKernel, workgroupSize: number, target: Target): number {
  const [{ equations }] = statements;
  const [equation] = equations;
  const isOne = statements.length === 1 && equations.length === 1 && equation.reducer === 'sum';
  if (target.class !== 'gpu' || !isOne || equation.domain.length > 0 || !readsNeighbours(equation, shape)) return 1;
  const reduced = reducedAxes(equation).map((axis) => equation.axes[axis]);
  if (reduced.some(({ symbol }) => symbol !== undefined)) return 1;
  const loops = reduced.map(({ extent }) => extent).filter((extent) => extent > 1);
  const turns = loops.reduce((product, extent) => product * extent, 1);
  const elements = elementCount(shape);
  const suits = (slices: number): boolean =>
    loops[0] % slices === 0 &&
    turns >= leastTurns * slices &&
    elements * slices <= chip.multiprocessors * enoughThreads &&
    workgroupSize >= leastElements * slices &&
    elements % (workgroupSize / slices) === 0;
  let slices = 1;
  while (suits(2 * slices)) slices *= 2;
  return slices;
}

/**
 * Whether neighbouring elements are sums of neighbours in memory. Of others a workgroup with fewer elements reads less of each line that it asks
 * for: 16,384 sums of 256, which lie 32 apart, beside a norm's gradient took 77.6 µs in four slices, 67.6 as they were.
 */
function readsNeighbours(equation: Equation, shape: readonly number[]): boolean {
  const inner = plainStore(equation, shape)?.findLast((axis) => equation.axes[axis].extent > 1);
  if (inner === undefined) return false;
  const isNear = (index: Index): boolean => index.kind === 'affine' && [0, 1].includes(coefficientOf(index, inner));
  return loads(equation.value).every(({ indices }) => indices.every(isNear));
}

/** The threads of all slices; the header names the element's number `id` and the slice. There are no threads beyond the elements. */
export function slicedThreads(
  elements: number,
  id: string,
  workgroupSize: number,
  slices: number,
): { readonly header: string; readonly groups: number } {
  const own = workgroupSize / slices;
  const header = wgsl`
    let slice = i32(lane / ${own}u);
    let ${id} = i32(group * ${own}u + lane % ${own}u);
  `;
  return { header, groups: elements / own };
}

/** The loops of one slice, whose number is `slice`. */
export function ofSlice(nest: Nest, slices: number, emitter: Emitter): Nest {
  const outermost = nest.steps.find(({ kind }) => kind === 'for');
  const steps = nest.steps.flatMap((step) => {
    if (step !== outermost || step.kind !== 'for') return [step];
    const turns = step.turns / slices;
    const turn = emitter.fresh('turn');
    return [
      { kind: 'for' as const, name: turn, from: '0', to: emitter.bound(turns), step: 1, turns },
      { kind: 'let' as const, name: step.name, value: `slice * ${turns} + ${turn}` },
    ];
  });
  return { ...nest, steps };
}

/** Adds up what the slices have in `total`, and has the first of them `write` it. */
export function addLoopSlices(
  total: string,
  slices: number,
  workgroupSize: number,
  write: (sum: string) => string,
): string {
  const apart = workgroupSize / slices;
  const parts = Array.from({ length: slices }, (_, s) => `scratch[lane${s === 0 ? '' : ` + ${s * apart}u`}].x`);
  return wgsl`
    scratch[lane].x = ${total};
    workgroupBarrier();
    if (slice == 0) { ${write(parts.join(' + '))} }
  `;
}
