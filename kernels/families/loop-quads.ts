/**
 * Loop kernels whose threads have four neighbouring elements each. Those that sum pieces, as of a weight's gradient:
 *
 *   w[i] = Σ_p pieces[p, i]   →   let element = quad * 4;  for p { w_value += pieces[(p * 65536 + element) >> 2u]; }  w[element >> 2u] = w_value;
 *
 * Beside products such a sum has a third of a multiprocessor's threads at most, and four times as much is on its way from memory with each
 * of their reads: a step of icl low_rank 16 256 took 3.40 ms on an H100 with an element a thread, 3.21 so, of bilinear_BTT 64 256 16.51 and
 * 16.13 (test/bench/records/2026-11-28-small-4.jsonl).
 *
 * And those that make every element of long tensors of the same element of others, as a step of AdamW does:
 *
 *   m[e] = 0.9 m[e] + 0.1 g[e]   →   let first = quad * 4;  let m_quad = m[first >> 2u];  let g_quad = …
 *                                    for (var c = 0; c < 4; c++) { m_next_quad[c] = 0.9 * m_quad[c] + 0.1 * g_quad[c]; }
 *                                    m[first >> 2u] = m_next_quad;
 *
 * AdamW of the language model of test/bench took 186 µs so on an H100, 208 with an element a thread
 * (test/bench/records/2026-11-28-small-5.jsonl).
 *
 * The trap: chains of additions are cut in f32 (`sums.ts`), so a sum in quads is one that needs no cut.
 */
import { asAxis, equalAffine } from '../../compiler/ir/affine.ts';
import {
  equationLoads,
  hasSymbol,
  pointCount,
  reducedCount,
  storesDigits,
  storesInside,
} from '../../compiler/ir/equation.ts';
import { type Equation, elementCount } from '../../compiler/ir/program.ts';
import type { LoopKernel } from '../kernel.ts';
import { flatIndex } from '../parts/linear.ts';
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

/**
 * The tensors of which a kernel reads nothing but the very element that it makes, if it makes all of long tensors, each element from one point,
 * and there are such. Of a collapsed kernel: its loads are flat.
 */
export function mappedInQuads({ shape, statements }: LoopKernel, emitter: Emitter): readonly string[] {
  const count = elementCount(shape);
  if (emitter.target.class !== 'gpu' || count < leastElements || count % 4 !== 0) return [];
  const isReal = (tensor: string): boolean => emitter.layout(tensor).dtype === 'f32';
  const made = new Set(statements.map(({ tensor }) => tensor));
  const own = new Set<string>();
  const others = new Set<string>();
  for (const { tensor, equations } of statements) {
    const [equation] = equations;
    if (equations.length !== 1 || equation.domain.length > 0 || !isReal(tensor)) return [];
    if (reducedCount(equation) > 1 || hasSymbol(equation) || !storesEachOnce(equation, shape)) return [];
    const store = flatIndex(shape, equation.store)!;
    for (const { tensor: read, indices } of equationLoads(equation)) {
      const [index] = indices;
      const isOwn = indices.length === 1 && index.kind === 'affine' && equalAffine(index, store);
      (isOwn && isReal(read) && !made.has(read) ? own : others).add(read);
    }
  }
  return [...own].filter((name) => !others.has(name));
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
