/**
 * Contractions `C[batch, m, n] = Σ_k A[batch, m, k] · B[batch, k, n]` of any axis order, ragged sizes, with a mask and an epilogue.
 *
 * The axes of the equation fall into four classes by where they stand: in A and the output (m), in B and the output (n), in
 * both and the output (batch), reduced (k). Axes that walk through memory together become one; what is left of a class is
 * numbered as a whole and taken apart where an operand is read. An operand is any expression of its axes, so that a mask, a
 * softmax weight `exp(S - L)` or a scale is read in place. Five forms:
 *
 *   tiled    a workgroup computes a `tileM × tileN` tile from two staged slabs in workgroup memory, each thread `rows × columns`
 *            of it in registers, the register tiling of SGEMM (sources in the README of this folder);
 *   direct   a thread computes `rows × columns` reading memory directly, with no barrier: the form of software devices;
 *   subgroup the same, where neighbouring threads share rows: each reads its part of them and broadcasts it to the others;
 *   matrix   as tiled, but subgroups multiply matrices on tensor cores, f32 taken apart into two f16 each;
 *   lanes    the same as direct with neighbouring threads at neighbouring batches: for many small products that lie interleaved in memory.
 *
 * The trap: a partly filled tile must read nothing out of bounds, so positions are clamped when reading and checked when storing.
 */

import { multiplyAddsOf } from '../../../compiler/ir/multiply-adds.ts';
import { type ContractionKernel, type KernelBody, packNumber } from '../../kernel.ts';
import { kernelParts } from '../../statements.ts';
import { matrixExtensions, type Target } from '../../target.ts';
import type { Emitter } from '../../wgsl/emitter.ts';
import { flatThreads, tileOfGroup } from '../../wgsl/grid.ts';
import { wgsl } from '../../wgsl/text.ts';
import { finishRows, type SumsPlace } from './block.ts';
import { directBody, lanesBody, subgroupBody } from './direct.ts';
import { type ElementsEnd, finishElements } from './finish.ts';
import { type ContractionParts, nameFunctions, operandFunctions, operandQuads, type Products } from './functions.ts';
import { matrixBody } from './matrix.ts';
import { matrixMemory } from './matrix-staging.ts';
import { canStoreQuads } from './quads.ts';
import { kRange } from './range.ts';
import { finishInRows, finishRegisters, type RowsEnd } from './rows.ts';
import {
  type ContractionShape,
  type ContractionSizes,
  contractionSizes,
  scaleRatio,
  tileCount,
  tilesOf,
} from './shape.ts';
import { ofOneSlice } from './slices.ts';
import { chip, mostSharedBytes } from './tile-sizes.ts';
import { slabQuads, tiledBody } from './tiled.ts';
import { type ContractionTuning, contractionThreads, mostWholeLanes } from './tuning.ts';

export function emitContraction(
  kernel: ContractionKernel,
  shapes: readonly [ContractionShape, ...ContractionShape[]],
  emitter: Emitter,
  { tuning, workgroupSize }: { readonly tuning: ContractionTuning; readonly workgroupSize: number },
): KernelBody {
  const sideBySide = tuning.form === 'lanes' ? 1 : workgroupSize / contractionThreads(tuning);
  const [batch, m, n, k] = [emitter.fresh('batch'), emitter.fresh('m'), emitter.fresh('n'), emitter.fresh('k')];
  const [first, ...others] = shapes;
  const storesQuads = canStoreQuads({ kernel, s: first, emitter, tuning, sizes: contractionSizes(first) }, shapes);
  const partsOf = (s: ContractionShape, factor: number): ContractionParts => ({
    kernel,
    s,
    factor,
    sizes: contractionSizes(s),
    emitter,
    tuning,
    storesQuads,
    sideBySide,
    placeLines:
      tuning.form === 'lanes' ? laneLines(contractionSizes(s), tuning) : tileLines(contractionSizes(s), tuning),
    names: { batch, m, n, k },
    functions: nameFunctions(emitter),
    quads: operandQuads(s, tuning, (tensor) => emitter.layout(tensor), storesQuads),
  });
  const products: Products = [partsOf(first, 1), ...others.map((s) => partsOf(s, scaleRatio(first, s)!))];
  const [w] = products;
  const { text, groups } = tuning.form === 'lanes' ? lanesHead(w, workgroupSize) : tileHead(w);
  const operands = products.flatMap(operandFunctions);
  const owned = ofOneSlice(w);
  const finish = kernel.rowLength === undefined ? finishElements(w) : finishInRows(owned);
  const end = (place: SumsPlace): string =>
    finish.kind === 'rows' ? finishRegisters(owned, finish, place) : finishRows(owned, finish, place);
  return {
    functions: [...operands, ...finish.functions],
    sharedQuads: Math.max(sharedQuads(products), finish.kind === 'rows' ? finish.sharedQuads : 0),
    workgroupSize: workgroupSize / sideBySide,
    groups,
    sideBySide,
    body: bodyText(products, text, end, finish),
    tuning: { ...tuning },
    enables:
      kernel.rowLength === undefined ? enables[tuning.form] : [...new Set([...enables[tuning.form], 'subgroups'])],
    multiplyAdds: kernelParts(kernel)
      .flatMap((part) => part.equations)
      .reduce((total, e) => total + multiplyAddsOf(e), 0),
  };
}

/** WGSL extensions. */
const enables: Readonly<Record<ContractionTuning['form'], readonly string[]>> = {
  tiled: [],
  direct: [],
  subgroup: ['subgroups'],
  lanes: [],
  matrix: matrixExtensions,
};

function sharedQuads(products: Products): number {
  const { tuning } = products[0];
  if (tuning.form === 'matrix') return matrixMemory(products).total;
  return tuning.form === 'tiled' ? slabQuads(tuning) : 0;
}

/**
 * How many tiles a larger workgroup can do at once: no tile may be left over. A power of two. With an epilogue in rows, whose threads wait
 * for each other, no thread may be left over, and tiles that are about one for each multiprocessor stay so: 128 of 4096 × 64 × 256 with a
 * norm took 38 µs in 64 workgroups on an H100, 26 in 128.
 */
export function mostSideBySide(
  shapes: readonly [ContractionShape, ...ContractionShape[]],
  tuning: ContractionTuning,
  { limits }: Target,
  inRows = false,
): number {
  const threads = contractionThreads(tuning);
  const most = limits.maxComputeInvocationsPerWorkgroup / threads;
  if (tuning.form === 'lanes') return inRows ? Math.min(most, mostWholeLanes(shapes[0], tuning)) : most;
  const groups = tileCount(contractionSizes(shapes[0]), tuning);
  const isTiled = tuning.form === 'tiled';
  if (tuning.form === 'subgroup' || tuning.form === 'matrix') return 1;
  const sharedBytes = isTiled ? 16 * slabQuads(tuning) : 0;
  const memory = Math.min(mostSharedBytes, limits.maxComputeWorkgroupStorageSize);
  if (inRows && groups > chip.multiprocessors / 2 && groups <= chip.multiprocessors) return 1;
  let count = 1;
  while (groups % (2 * count) === 0 && 2 * count <= most && 2 * count * sharedBytes <= memory) count *= 2;
  return count;
}

function bodyText(
  products: Products,
  head: string,
  end: (place: SumsPlace) => string,
  finish: RowsEnd | ElementsEnd,
): string {
  const { form } = products[0].tuning;
  switch (form) {
    case 'tiled':
      return tiledBody(products, head, end);
    case 'subgroup':
      return subgroupBody(products, head);
    case 'direct':
      return directBody(products, head);
    case 'matrix':
      return matrixBody(products, head, finish);
    case 'lanes':
      return lanesBody(products, head, finish.kind === 'rows' ? finish : undefined);
    default:
      return form satisfies never;
  }
}

/** First lines of the body: `batch`, `tile_m`, `tile_n` and the range of k. */
interface Head extends Pick<KernelBody, 'groups'> {
  readonly text: string;
}

/** The lines between what all forms need. The trap: the range asks for hidden bounds, so it is written before the emitter's head. */
function headText(w: ContractionParts, lines: string): string {
  const range = kRange(w);
  return wgsl`
    ${w.emitter.head(w.sideBySide === 1 ? 'group' : packNumber)}
    ${lines}
    ${range}
  `;
}

/** A workgroup takes a tile. */
function tileHead(w: ContractionParts): Head {
  const [tilesM, tilesN] = tilesOf(w.sizes, w.tuning);
  return { groups: tilesM * tilesN * w.sizes.batch, text: headText(w, w.placeLines) };
}

/** Lines that say which tile workgroup `group` takes. */
function tileLines(sizes: ContractionSizes, tuning: ContractionTuning): string {
  const [tilesM, tilesN] = tilesOf(sizes, tuning);
  const { batch, tile } = tileOfGroup(tilesM * tilesN, sizes.batch);
  const row = tilesN === 1 ? tile : `${tile} / ${tilesN}`;
  const column = tilesM === 1 ? tile : `${tile} % ${tilesN}`;
  return wgsl`
    let batch = ${batch};
    let tile_m = ${tilesM === 1 ? '0' : `${row} * ${tuning.tileM}`};
    let tile_n = ${tilesN === 1 ? '0' : `${column} * ${tuning.tileN}`};
  `;
}

/** An invocation takes a tile; neighbouring invocations take neighbouring batches of it. */
function lanesHead(w: ContractionParts, workgroupSize: number): Head {
  const [tilesM, tilesN] = tilesOf(w.sizes, w.tuning);
  const { header, groups } = flatThreads(w.sizes.batch * tilesM * tilesN, 'invocation', workgroupSize);
  return { groups, text: headText(w, `${header}\n${w.placeLines}`) };
}

/** Lines that say which tile an `invocation` takes. */
function laneLines(sizes: ContractionSizes, tuning: ContractionTuning): string {
  const { tileM, tileN } = tuning;
  const [, tilesN] = tilesOf(sizes, tuning);
  return wgsl`
    let batch = invocation % ${sizes.batch};
    let tile = invocation / ${sizes.batch};
    let tile_m = ${tilesN === 1 ? 'tile' : `tile / ${tilesN}`} * ${tileM};
    let tile_n = ${tilesN === 1 ? '0' : `tile % ${tilesN} * ${tileN}`};
  `;
}
