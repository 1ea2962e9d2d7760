/**
 * The tiled form of a contraction: a workgroup stages a slab of each operand, `tileK` steps of k for the whole tile, in
 * workgroup memory; each thread multiplies its rows and columns of them in registers, while the next slabs are on their
 * way from memory.
 *
 * A thread's block is `rows / 4 × columns / 4` little blocks of 4×4, spread over the tile so that the lanes of a row of
 * threads touch neighbouring quads, in workgroup memory and in the output. The trap: every thread must meet every
 * barrier, so threads beyond the output work on clamped positions, and only `finish` leaves them out.
 */
import { leastStep } from '../compiler/ir/affine.ts';
import { loads } from '../compiler/ir/expression.ts';
import type { Expression } from '../compiler/ir/program.ts';
import { beginSums, finishSums } from './contraction-block.ts';
import type { ContractionParts } from './contraction-functions.ts';
import { overSegments } from './contraction-range.ts';
import type { ContractionTuning } from './contraction-tuning.ts';
import { plus, wgsl } from './wgsl.ts';

export function tiledBody(w: ContractionParts, head: string): string {
  const { rows, columns, tileM, tileN, tileK } = w.tuning;
  const [threadsM, threadsN] = [tileM / rows, tileN / columns];
  const threads = threadsM * threadsN;
  const a = staging(w, { letter: 'a', side: 'left', start: 'tile_m', tile: tileM, axes: w.s.m }, threads);
  const b = staging(w, { letter: 'b', side: 'right', start: 'tile_n', tile: tileN, axes: w.s.n }, threads);
  const loop = wgsl`
      var k0 = k_from;
      ${a.fetch}
      ${b.fetch}
      while (k0 < k_to) {
        ${a.store}
        ${b.store}
        workgroupBarrier();
        k0 += ${tileK};
        if (k0 < k_to) {
          ${a.fetch}
          ${b.fetch}
        }
        for (var k_in = 0; k_in < ${tileK}; k_in++) {
          ${multiplySlabs(w, threadsM, threadsN).join('\n')}
        }
        workgroupBarrier();
      }
  `;
  return wgsl`
    // scratch: a slab [k][m / 4], then a slab [k][n / 4], rows padded by one against bank conflicts
    ${head}
    let lane_m = i32(lane) / ${threadsN};
    let lane_n = i32(lane) % ${threadsN};
    ${beginSums(w)}
    ${a.registers}
    ${b.registers}
    ${overSegments(w, loop)}
    ${finishSums(w, {
      m: `tile_m + (i / 4 * ${threadsM} + lane_m) * 4 + i % 4`,
      n: `tile_n + (j / 4 * ${threadsN} + lane_n) * 4 + j % 4`,
    })}
  `;
}

/** Quads of workgroup memory: both slabs, the left one first. */
export function slabQuads({ tileM, tileN, tileK }: ContractionTuning): number {
  return tileK * (quadsOfRow(tileM) + quadsOfRow(tileN));
}

/** WGSL of a slab's quad at a step of k, both as WGSL. */
function slabQuad({ tileM, tileN, tileK }: ContractionTuning, side: 'left' | 'right', k: string, quad: string): string {
  if (side === 'left') return `scratch[${k} * ${quadsOfRow(tileM)} + ${quad}]`;
  return `scratch[${k} * ${quadsOfRow(tileN)} + ${quad} + ${tileK * quadsOfRow(tileM)}]`;
}

/** Quads of four elements in a slab's row, its padding included. */
function quadsOfRow(tile: number): number {
  return tile / 4 + 1;
}

/** One step of k: a thread's quads of both slabs, and all their products. */
function multiplySlabs({ tuning }: ContractionParts, threadsM: number, threadsN: number): string[] {
  const { rows, columns } = tuning;
  const lines: string[] = [];
  for (let i = 0; i < rows / 4; i++)
    lines.push(`let a_${i} = ${slabQuad(tuning, 'left', 'k_in', plus('lane_m', i * threadsM))};`);
  for (let j = 0; j < columns / 4; j++)
    lines.push(`let b_${j} = ${slabQuad(tuning, 'right', 'k_in', plus('lane_n', j * threadsN))};`);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns / 4; j++) lines.push(`sum_${i}_${j} += a_${i >> 2}.${'xyzw'[i % 4]} * b_${j};`);
  return lines;
}

interface Slab {
  readonly letter: 'a' | 'b';
  readonly side: 'left' | 'right';
  /** WGSL of the tile's first position along m (or n), its length, and the axes of that class. */
  readonly start: string;
  readonly tile: number;
  readonly axes: readonly number[];
}

/** How a slab gets from memory to workgroup memory, in quads along m (or n) at one k, by way of registers. */
interface Staging {
  /** Registers that hold the next slab while this one is used. */
  readonly registers: string;
  readonly fetch: string;
  readonly store: string;
}

function staging(w: ContractionParts, { letter, side, start, tile, axes }: Slab, threads: number): Staging {
  const { tileK } = w.tuning;
  const quads = (tile / 4) * tileK;
  // Lanes follow whichever of k and m memory is contiguous in.
  const alongTile = isContiguous(w.s[side], axes, w.s.k);
  const registers: string[] = [];
  const fetch: string[] = [];
  const store: string[] = [];
  for (let first = 0; first < quads; first += threads) {
    const name = `next_${letter}_${first / threads}`;
    const index = first === 0 ? 'i32(lane)' : `(i32(lane) + ${first})`;
    const [quad, k] = alongTile
      ? [`${index} % ${tile / 4}`, `${index} / ${tile / 4}`]
      : [`${index} / ${tileK}`, `${index} % ${tileK}`];
    const partial = quads - first < threads ? `${index} < ${quads}` : '';
    const conditions = [partial, kIsExact(w) ? '' : 'k < k_to'].filter(Boolean);
    const quadAt = (k: string): string =>
      `${side === 'left' ? w.functions.leftQuad : w.functions.rightQuad}(batch, ${start} + ${quad} * 4, ${k})`;
    registers.push(`var ${name} = vec4<f32>();`);
    fetch.push(fetchQuad(name, k, conditions, quadAt));
    const put = `${slabQuad(w.tuning, side, `(${k})`, quad)} = ${name};`;
    store.push(partial === '' ? put : `if (${partial}) { ${put} }`);
  }
  return { registers: registers.join('\n'), fetch: fetch.join('\n'), store: store.join('\n') };
}

/** A quad into a register, zeros where a condition on `k` does not hold. */
function fetchQuad(name: string, kIn: string, conditions: readonly string[], quadAt: (k: string) => string): string {
  if (conditions.length === 0) return `${name} = ${quadAt(`k0 + ${kIn}`)};`;
  return wgsl`
    {
      let k = k0 + ${kIn};
      if (${conditions.join(' && ')}) { ${name} = ${quadAt('k')}; } else { ${name} = vec4<f32>(); }
    }
  `;
}

/** Every step of the k loop is a whole `tileK`. */
function kIsExact({ s, sizes, tuning }: ContractionParts): boolean {
  const isLimited = [...s.onLeft, ...s.onRight].some((c) => c.kind === 'nonnegative');
  return !isLimited && sizes.k % tuning.tileK === 0;
}

/** Whether the operand's first load is contiguous along its own axes rather than along k. */
function isContiguous(operand: Expression, own: readonly number[], k: readonly number[]): boolean {
  const first = loads(operand).find((l) => l.indices.length > 0);
  const flat = first?.indices[0];
  if (flat?.kind !== 'affine') return true;
  return leastStep(flat, own) <= leastStep(flat, k);
}
