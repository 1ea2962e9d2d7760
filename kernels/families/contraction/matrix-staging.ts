/**
 * How slabs of the matrix form (contraction/matrix.ts) get from memory to workgroup memory: which thread reads what, where it lies, and
 * how it is scaled (contraction/matrix-scales.ts) and taken apart on the way.
 *
 * A slab's row is one position along m (or n) and its k, or one k and its positions, whichever way memory runs; matrices are loaded
 * from either. Its elements lie in quads, eight f16 each, its rows are padded by one against bank conflicts.
 */

import { matrixLanes, matrixSize } from '../../target.ts';
import { guarded, plus } from '../../wgsl/text.ts';
import { inside, quadInside } from './block.ts';
import type { ContractionParts, Products } from './functions.ts';
import { kIsExact } from './range.ts';
import { type ContractionTuning, contractionThreads } from './tuning.ts';

/** Elements of f16 in a quad of workgroup memory. */
export const perQuad = 8;
export type SideName = 'left' | 'right';
export const sides = ['left', 'right'] as const;

/** Where things lie in workgroup memory, in quads. */
export interface MatrixMemory {
  /** Slabs of the operands. */
  readonly left: 0;
  readonly right: number;
  /** Sums take the place of slabs: quads from one row of a strip to the next, and where the strip of low sums begins. */
  readonly stripStride: number;
  readonly lowStrip: number;
  /** Of what each subgroup staged, a quad each: exponents of the largest of both sides. */
  readonly exponents: number;
  /** A quad that says whether something outgrew its scale. */
  readonly outgrown: number;
  readonly total: number;
}

export function matrixMemory(products: Products): MatrixMemory {
  const { tuning } = products[0];
  const { tileM, tileN, rows } = tuning;
  const slabsOf = (side: SideName): number => Math.max(...products.map((w) => slabOf(w, side).quads));
  const right = slabsOf('left');
  const slabs = right + slabsOf('right');
  const stripStride = tileN / 4 + 1;
  const lowStrip = (tileM / rows) * matrixSize * stripStride;
  const exponents = Math.max(slabs, 2 * lowStrip);
  const outgrown = exponents + contractionThreads(tuning) / matrixLanes;
  return { left: 0, right, stripStride, lowStrip, exponents, outgrown, total: outgrown + 1 };
}

/** A row of a slab holds its high parts, then its low ones, and a quad that is left free. */
export interface Slab {
  readonly alongK: boolean;
  /** Quads from a row to the next, from its high parts to the low ones, and of all rows. */
  readonly stride: number;
  readonly low: number;
  readonly quads: number;
}

export function slabOf({ quads, tuning }: ContractionParts, side: SideName): Slab {
  const { alongK } = quads[side];
  const tile = side === 'left' ? tuning.tileM : tuning.tileN;
  const low = (alongK ? tuning.tileK : tile) / perQuad;
  const stride = 2 * low + 1;
  return { alongK, stride, low, quads: (alongK ? tile : tuning.tileK) * stride };
}

/** A block of a slab, and the quads of it that a thread stages, by the names of their variables. */
interface StagedBlock {
  readonly name: string;
  /** WGSL of the block's number. */
  readonly block: string;
  readonly quads: readonly string[];
  /** Subgroups that stage one, where they are not all. */
  readonly only: number | undefined;
}

/** Every subgroup stages as many, or one where there are fewer than subgroups. */
function stagedBlocks(tuning: ContractionTuning, side: SideName): StagedBlock[] {
  const [letter, tile] = side === 'left' ? ['a', tuning.tileM] : ['b', tuning.tileN];
  const subgroups = contractionThreads(tuning) / matrixLanes;
  const blocks = tile / matrixSize;
  const quads = (matrixSize * tuning.tileK) / perQuad / matrixLanes;
  return Array.from({ length: Math.ceil(blocks / subgroups) }, (_, i) => ({
    name: `${letter}_${i}`,
    block: i === 0 ? 'subgroup' : `(${plus('subgroup', i * subgroups)})`,
    quads: Array.from({ length: quads }, (_, q) => `${letter}_${i}_${q}`),
    only: blocks < subgroups ? blocks : undefined,
  }));
}

/** Names of the two vectors of each quad that a thread stages of a side. */
export function stagedVectors(tuning: ContractionTuning, side: SideName): readonly (readonly [string, string])[] {
  const quads = stagedBlocks(tuning, side).flatMap((block) => block.quads);
  return quads.map((quad) => [`first_${quad}`, `second_${quad}`]);
}

/** What a thread holds of the next slabs. */
export function stagedVariables(tuning: ContractionTuning): string {
  const names = sides.flatMap((side) => stagedVectors(tuning, side)).flat();
  return names.map((name) => `var ${name} = vec4<f32>();`).join('\n');
}

export interface MatrixStaging {
  /** Where a thread's quads of both slabs lie. */
  readonly places: string;
  /** Reads them at `k_at`. */
  readonly fetch: string;
  /** Scales what was read, takes it apart, and puts the parts into workgroup memory. */
  readonly store: string;
}

export function matrixStaging(w: ContractionParts, memory: MatrixMemory): MatrixStaging {
  const blocks = sides.flatMap((side) => stagedBlocks(w.tuning, side).map((block) => ({ side, block })));
  const places = blocks.flatMap(({ side, block }) => block.quads.map((quad, q) => placeText(w, side, block, quad, q)));
  const each = (text: (side: SideName, block: StagedBlock) => string): string =>
    blocks.map(({ side, block }) => text(side, block)).join('\n');
  return {
    places: places.join('\n'),
    fetch: each((side, block) => {
      const lines = block.quads.map((quad) => fetchText(w, side, quad));
      return guarded(guardOf(block), lines.join('\n'));
    }),
    store: each((side, block) => storeText(w, side, block, memory)),
  };
}

const guardOf = ({ only }: StagedBlock): string[] => (only === undefined ? [] : [`subgroup < ${only}`]);

/**
 * Neighbouring lanes stage neighbouring quads of a row, as they lie in memory. Eight lanes store at once; where they have `perRow` quads of a
 * row, their rows are as many apart, so that they meet in no bank: rows are an odd number of quads long.
 */
function placeText(w: ContractionParts, side: SideName, { block }: StagedBlock, quad: string, q: number): string {
  const { alongK } = slabOf(w, side);
  const perRow = (alongK ? w.tuning.tileK : matrixSize) / perQuad;
  const unit = q === 0 ? 'lane_in' : `(${plus('lane_in', q * matrixLanes)})`;
  const row = `${unit} / ${8 * perRow} * 8 + ${unit} / 8 % ${perRow} + ${unit} / ${perRow} % ${8 / perRow} * ${perRow}`;
  const column = `${unit} % ${perRow} * ${perQuad}`;
  const [p, k] = alongK ? [row, column] : [column, row];
  return `let p_${quad} = ${block} * ${matrixSize} + ${p};\nlet k_${quad} = ${k};`;
}

function fetchText(w: ContractionParts, side: SideName, quad: string): string {
  const { alongK, load } = w.quads[side];
  const [name, start, tile, size] =
    side === 'left'
      ? [w.functions.leftQuad, 'tile_m', w.tuning.tileM, w.sizes.m]
      : [w.functions.rightQuad, 'tile_n', w.tuning.tileN, w.sizes.n];
  const half = (part: string, offset: number): string => {
    const k = plus(`k_at + k_${quad}`, alongK ? offset : 0);
    const position = plus(`${start} + p_${quad}`, alongK ? 0 : offset);
    const isQuad = !alongK && load !== undefined;
    const kept = isQuad ? quadInside(position, 0, size, tile) : inside(position, 0, size, tile);
    const read = `${part}_${quad} = ${name}(batch, ${isQuad || alongK ? kept : position}, ${k});`;
    return kIsExact(w) ? read : `if (${k} < k_to) { ${read} } else { ${part}_${quad} = vec4<f32>(); }`;
  };
  return `${half('first', 0)}\n${half('second', 4)}`;
}

function storeText(w: ContractionParts, side: SideName, block: StagedBlock, memory: MatrixMemory): string {
  const slab = slabOf(w, side);
  const lines = block.quads.flatMap((quad) => {
    const [row, column] = slab.alongK ? [`p_${quad}`, `k_${quad}`] : [`k_${quad}`, `p_${quad}`];
    const place = `${row} * ${slab.stride} + ${column} / ${perQuad}`;
    return [
      `let parts_${quad} = split_f16(first_${quad}, second_${quad}, ${side}_scale, zero_bits);`,
      `scratch[${plus(place, memory[side])}] = parts_${quad}.high;`,
      `scratch[${plus(place, memory[side] + slab.low)}] = parts_${quad}.low;`,
    ];
  });
  return guarded(guardOf(block), lines.join('\n'));
}
