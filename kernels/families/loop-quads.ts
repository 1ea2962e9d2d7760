/**
 * A loop kernel whose threads sum four neighbouring elements each, as pieces of a weight's gradient are added up:
 *
 *   w[i] = Σ_p pieces[p, i]   →   let element = quad * 4;  for p { w_value += pieces[(p * 65536 + element) >> 2u]; }  w[element >> 2u] = w_value;
 *
 * Beside products such a sum has a third of a multiprocessor's threads at most, and four times as much is on its way from memory with each
 * of their reads: a step of icl low_rank 16 256 took 3.40 ms on an H100 with an element a thread, 3.21 so, of bilinear_BTT 64 256 16.51 and
 * 16.13 (test/bench/records/2026-11-28-small-4.jsonl).
 *
 * The trap: chains of additions are cut in f32 (`sums.ts`), so a sum in quads is one that needs no cut.
 */
import { asAxis } from '../../compiler/ir/affine.ts';
import { hasSymbol, pointCount, reducedCount, storesDigits, storesInside } from '../../compiler/ir/equation.ts';
import { type Equation, elementCount } from '../../compiler/ir/program.ts';
import type { LoopKernel } from '../kernel.ts';
import { type WideLoad, wideLoad } from '../parts/loads.ts';
import { longestChain } from '../parts/sums.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { flatThreads } from '../wgsl/grid.ts';

/** Elements from which on a quarter as many threads are enough for a GPU: 128 a multiprocessor of an H100. */
const leastElements = 65536;

/** What a kernel that is one plain sum adds up, if it comes in quads along the output's last axis. Of a collapsed kernel: its loads are flat. */
export function summedInQuads({ shape, statements }: LoopKernel, emitter: Emitter): WideLoad | undefined {
  const [{ tensor, equations, stored }] = statements;
  const [equation] = equations;
  const isOne = statements.length === 1 && equations.length === 1 && equation.reducer === 'sum' && stored;
  if (emitter.target.class !== 'gpu' || !isOne || equation.domain.length > 0 || elementCount(shape) < leastElements)
    return undefined;
  const { axes, store, value } = equation;
  const turns = reducedCount(equation);
  if (turns === 1 || turns > longestChain || hasSymbol(equation) || !storesEachOnce(equation, shape)) return undefined;
  const last = store.at(-1);
  const axis = last?.kind === 'affine' ? asAxis(last) : undefined;
  if (axis === undefined || axes[axis].extent !== shape.at(-1) || emitter.layout(tensor).dtype !== 'f32')
    return undefined;
  return wideLoad(value, axis, axes, (name) => emitter.layout(name));
}

/** Whether every element is stored by one point of the axes that are not reduced. */
function storesEachOnce(equation: Equation, shape: readonly number[]): boolean {
  const stored = pointCount(equation) / reducedCount(equation);
  return stored === elementCount(shape) && storesDigits(equation) && storesInside(equation, shape);
}

/** One thread for four of `count` elements, a multiple of 4; the header names the number of the first of them `id`. */
export function quadThreads(
  count: number,
  id: string,
  workgroupSize: number,
  emitter: Emitter,
): { readonly header: string; readonly groups: number } {
  const quad = emitter.fresh('quad');
  const { header, groups } = flatThreads(count / 4, quad, workgroupSize);
  return { header: `${header}\nlet ${id} = ${quad} * 4;`, groups };
}
