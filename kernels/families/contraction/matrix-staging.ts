/**
 * How slabs of the matrix form (contraction/matrix.ts) get from memory to workgroup memory: which thread reads what, where it lies, and
 * how it is scaled (contraction/matrix-scales.ts) and taken apart on the way. What lies in memory so (parts/halves.ts) is copied.
 *
 * A slab's row is one position along m (or n) and its k, or one k and its positions, whichever way memory runs; matrices are loaded
 * from either. Its elements lie in quads, eight f16 each, its rows are padded by one against bank conflicts.
 */

import { octet } from '../../parts/halves.ts';
import { matrixLanes, matrixSize } from '../../target.ts';
import { guarded, plus } from '../../wgsl/text.ts';
import { inside, quadInside } from './block.ts';
import type { ContractionParts, Products } from './functions.ts';
import { kIsExact } from './range.ts';
import { type ContractionTuning, contractionThreads } from './tuning.ts';

/** Elements of f16 in a quad of workgroup memory. */
export const perQuad = octet;
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

/** What differs between the sides: names of functions and variables, the tile's extent along m (or n), and the product's. */
function sideOf({ functions, tuning, sizes }: ContractionParts, side: SideName) {
  const { leftQuad, leftOffset, rightQuad, rightOffset } = functions;
  return side === 'left'
    ? { quad: leftQuad, offset: leftOffset, start: 'tile_m', tile: tuning.tileM, size: sizes.m }
    : { quad: rightQuad, offset: rightOffset, start: 'tile_n', tile: tuning.tileN, size: sizes.n };
}

/** A row of a slab holds its high parts, then its low ones, and a quad that is left free. */
export interface Slab {
  readonly alongK: boolean;
  /** Quads from a row to the next, from its high parts to the low ones, and of all rows. */
  readonly stride: number;
  readonly low: number;
  readonly quads: number;
}

export function slabOf(w: ContractionParts, side: SideName): Slab {
  const { alongK } = w.quads[side];
  const { tileK } = w.tuning;
  const { tile } = sideOf(w, side);
  const low = (alongK ? tileK : tile) / perQuad;
  const stride = 2 * low + 1;
  return { alongK, stride, low, quads: (alongK ? tile : tileK) * stride };
}

/** Eight elements that a thread stages at once: two vectors of memory, a quad of high parts and one of low ones. */
interface Octet {
  readonly name: string;
  /** WGSL of its number in the slab. */
  readonly number: string;
}

interface StagedSide {
  readonly octets: readonly Octet[];
  /** Threads that stage any, where they are not all. */
  readonly only: number | undefined;
}

function stagedSide(tuning: ContractionTuning, side: SideName): StagedSide {
  const [letter, tile] = side === 'left' ? ['a', tuning.tileM] : ['b', tuning.tileN];
  const threads = contractionThreads(tuning);
  const all = (tile * tuning.tileK) / perQuad;
  const octets = Array.from({ length: Math.ceil(all / threads) }, (_, i) => ({
    name: `${letter}_${i}`,
    number: i === 0 ? 'i32(lane)' : `(${plus('i32(lane)', i * threads)})`,
  }));
  return { octets, only: all < threads ? all : undefined };
}

/** Names of the two vectors of each octet that a thread stages of a side. */
export function stagedVectors(tuning: ContractionTuning, side: SideName): readonly (readonly [string, string])[] {
  return stagedSide(tuning, side).octets.map(({ name }) => [`first_${name}`, `second_${name}`]);
}

/** What a thread holds of the next slabs. */
export function stagedVariables(tuning: ContractionTuning): string {
  const names = sides.flatMap((side) => stagedVectors(tuning, side)).flat();
  return names.map((name) => `var ${name} = vec4<f32>();`).join('\n');
}

export interface MatrixStaging {
  /** Where a thread's octets of both slabs lie. */
  readonly places: string;
  /** Reads them at `k_at`. */
  readonly fetch: string;
  /** Reads one of a thread's vectors of each side there. */
  readonly sample: string;
  /** Scales what was read, takes it apart, and puts the parts into workgroup memory. */
  readonly store: string;
}

export function matrixStaging(w: ContractionParts, memory: MatrixMemory): MatrixStaging {
  const each = (text: (side: SideName, name: string, i: number) => readonly string[]): string => {
    const ofSides = sides.map((side) => {
      const { octets, only } = stagedSide(w.tuning, side);
      const lines = octets.flatMap(({ name }, i) => text(side, name, i));
      return guarded(only === undefined ? [] : [`lane < ${only}u`], lines.join('\n'));
    });
    return ofSides.join('\n');
  };
  const places = sides.flatMap((side) =>
    stagedSide(w.tuning, side).octets.flatMap((octet) => placeLines(w, side, octet)),
  );
  return {
    places: places.join('\n'),
    fetch: each((side, name) => halves.map((half) => fetchLine(w, side, name, half))),
    sample: each((side, name, i) => (i === 0 ? [fetchLine(w, side, name, halves[0])] : [])),
    store: each((side, name) => storeLines(w, side, name, memory)),
  };
}

/** The two vectors of an octet, and where they begin in it. */
const halves = [
  { part: 'first', from: 0 },
  { part: 'second', from: 4 },
] as const;
type Half = (typeof halves)[number];

/**
 * Neighbouring threads stage neighbouring octets of a row, as they lie in memory: 8 × 512×2048×1024 of operands that lie along m and n took
 * 267 µs on an H200 where a subgroup read 64 bytes of a row, the same loop by hand with whole rows of the slab 196. Eight store at once; where
 * they have `perRow` octets of a row, fewer than eight, their rows are as many apart, so that they meet in no bank: rows are an odd number of
 * quads long.
 */
function placeLines(w: ContractionParts, side: SideName, { name, number }: Octet): string[] {
  const { alongK, low: perRow } = slabOf(w, side);
  const apart = `${number} / ${8 * perRow} * 8 + ${number} / 8 % ${perRow} + ${number} / ${perRow} % ${8 / perRow} * ${perRow}`;
  const row = perRow < 8 ? apart : `${number} / ${perRow}`;
  const column = `${number} % ${perRow} * ${perQuad}`;
  const [p, k] = alongK ? [row, column] : [column, row];
  const offsets = w.quads[side].stepOfK === undefined ? [] : offsetLines(w, side, name);
  return [`let p_${name} = ${p};`, `let k_${name} = ${k};`, ...offsets];
}

/** Where an octet's vectors of the slab at k 0 lie in memory: of the second one too where the tile may reach beyond the operand. */
function offsetLines(w: ContractionParts, side: SideName, name: string): string[] {
  const { offset } = sideOf(w, side);
  const own = isSecondFourOn(w, side) ? halves.slice(0, 1) : halves;
  return own.map(({ part, from }) => {
    const { position, k } = placeOf(w, side, name, from);
    return `let ${part}_at_${name} = ${offset}(batch, ${position}, ${k});`;
  });
}

/** Whether the second vector always lies right behind the first. */
function isSecondFourOn(w: ContractionParts, side: SideName): boolean {
  const { tile, size } = sideOf(w, side);
  return w.quads[side].alongK || size % tile === 0;
}

/** WGSL of the place of an octet's elements from `from` on: kept inside along m (or n), and their k in the slab. */
function placeOf(w: ContractionParts, side: SideName, name: string, from: number) {
  const { alongK, load } = w.quads[side];
  const { start, tile, size } = sideOf(w, side);
  const k = plus(`k_${name}`, alongK ? from : 0);
  const position = plus(`${start} + p_${name}`, alongK ? 0 : from);
  if (alongK) return { position: inside(position, 0, size, tile), k };
  // Quads of single elements keep each of them inside.
  return { position: load === undefined ? position : quadInside(position, 0, size, tile), k };
}

function fetchLine(w: ContractionParts, side: SideName, name: string, { part, from }: Half): string {
  const { stepOfK } = w.quads[side];
  const { quad } = sideOf(w, side);
  const { position, k } = placeOf(w, side, name, from);
  const base = isSecondFourOn(w, side) ? plus(`first_at_${name}`, from) : `${part}_at_${name}`;
  const value =
    stepOfK === undefined
      ? `${quad}(batch, ${position}, k_at + ${k})`
      : `${quad}(${base} + k_at${stepOfK === 1 ? '' : ` * ${stepOfK}`})`;
  const read = `${part}_${name} = ${value};`;
  return kIsExact(w) ? read : `if (k_at + ${k} < k_to) { ${read} } else { ${part}_${name} = vec4<f32>(); }`;
}

function storeLines(w: ContractionParts, side: SideName, name: string, memory: MatrixMemory): string[] {
  const slab = slabOf(w, side);
  const [row, column] = slab.alongK ? [`p_${name}`, `k_${name}`] : [`k_${name}`, `p_${name}`];
  const place = `${row} * ${slab.stride} + ${column} / ${perQuad}`;
  const store = (high: string, low: string): string[] => [
    `scratch[${plus(place, memory[side])}] = ${high};`,
    `scratch[${plus(place, memory[side] + slab.low)}] = ${low};`,
  ];
  if (w.quads[side].inHalves) return store(`first_${name}`, `second_${name}`);
  return [
    `let parts_${name} = split_f16(first_${name}, second_${name}, ${side}_scale, zero_bits);`,
    ...store(`parts_${name}.high`, `parts_${name}.low`),
  ];
}
