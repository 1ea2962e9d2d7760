/**
 * Which stretch of k a tile needs. A domain such as `u <= t` between k and m (or n) cuts the loop short for a whole
 * tile; one between m and n, such as a causal mask of scores, leaves tiles with nothing to do, whose loop is empty.
 * Either axis may be one of several that are numbered as a whole: of positions (h, u) a tile of 128 takes in half a u of 256.
 *
 * The trap: only the last k axis is cut short. Where there are others too (`ContractionShape.limited`), the loop runs
 * over that axis alone, a segment of k, once for each value of the others.
 */
import { add, affine, axisIndex, coefficientOf, range, scale, subtract } from '../../../compiler/ir/affine.ts';
import type { Affine } from '../../../compiler/ir/program.ts';
import { packNumber } from '../../kernel.ts';
import { affineText } from '../../parts/address.ts';
import { coordinate, strides } from '../../parts/linear.ts';
import { indent, plus, wgsl } from '../../wgsl/text.ts';
import { chainOf, flushSums } from './block.ts';
import { type ContractionParts, scopeOf } from './functions.ts';
import type { ContractionShape } from './shape.ts';

/** Length of the stretch of k over which the loop runs at once. */
function segmentOf({ s, sizes }: ContractionParts): number {
  return s.limited ? s.equation.axes[s.k.at(-1)!].extent : sizes.k;
}

/** The most steps of k between `k_from` and `k_to`. */
export function longestLoop(w: ContractionParts): number {
  return Math.min(segmentOf(w), chainOf(w.sizes.k));
}

/** Every step of the k loop is a whole `tileK` inside k: what a domain leaves out of a step is 0 in one of the operands. */
export function kIsExact(w: ContractionParts): boolean {
  return segmentOf(w) % w.tuning.tileK === 0;
}

/** Of what `k_from` is a multiple: steps and quads of k begin where they would without a domain. */
function alignmentOf(w: ContractionParts): number {
  const ofQuads = w.quads.left.alongK || w.quads.right.alongK ? 4 : 1;
  return kIsExact(w) ? Math.max(w.tuning.tileK, ofQuads) : ofQuads;
}

/** The loop makes as many steps as it has, whichever tile it is for. */
export function isWholeLoop(w: ContractionParts): boolean {
  const isMasked = !storesNothingOutside(w) && w.s.onOutput.some((c) => c.kind === 'nonnegative');
  return !isLimited(w) && !isMasked && longestLoop(w) === w.sizes.k;
}

function isLimited({ s }: ContractionParts): boolean {
  return [...s.onLeft, ...s.onRight].some((c) => c.kind === 'nonnegative');
}

/** Whether every tile goes through all of k, whatever part of the output it is. */
function isOneRange({ onLeft, onRight, onOutput }: ContractionShape): boolean {
  return ![...onLeft, ...onRight, ...onOutput].some((c) => c.kind === 'nonnegative');
}

/** An end of the stretch that an axis goes through within a tile: WGSL, a number that divides it whichever tile it is, and what is added. */
interface End {
  readonly base: string;
  readonly divisor: number;
  readonly offset: number;
}

interface Stretch {
  readonly least: End;
  readonly greatest: End;
}

/**
 * What the axes of batch, m and n are within a tile. An axis that is merged with others is a digit of the tile's positions: the tile
 * takes in a stretch of it where it lies between two carries into the digit before, else possibly all.
 */
function stretches({ s, sizes, tuning }: ContractionParts): ReadonlyMap<number, Stretch> {
  const all = new Map<number, Stretch>();
  const put = (axes: readonly number[], start: string, tile: number, size: number): void => {
    const extents = axes.map((axis) => s.equation.axes[axis].extent);
    for (const [d, axis] of axes.entries()) all.set(axis, stretchOf({ start, tile, size }, extents, d));
  };
  put(s.batch, 'batch', 1, sizes.batch);
  put(s.m, 'tile_m', tuning.tileM, sizes.m);
  put(s.n, 'tile_n', tuning.tileN, sizes.n);
  return all;
}

function stretchOf(
  { start, tile, size }: { readonly start: string; readonly tile: number; readonly size: number },
  extents: readonly number[],
  d: number,
): Stretch {
  const step = strides(extents)[d];
  const mayCarry = d > 0 && (step * extents[d]) % tile !== 0;
  const zero = { base: '0', divisor: 0, offset: 0 };
  if (mayCarry) return { least: zero, greatest: { ...zero, offset: extents[d] - 1 } };
  const divisor = step > 1 ? 1 : d === 0 ? tile : greatestDivisor(tile, extents[d]);
  const least = { base: coordinate(start, extents, d), divisor, offset: 0 };
  if (step % tile === 0) return { least, greatest: least };
  const isWhole = size % tile === 0;
  if (step === 1 && isWhole) return { least, greatest: { ...least, offset: tile - 1 } };
  const last = isWhole ? `(${plus(start, tile - 1)})` : `min(${plus(start, tile - 1)}, ${size - 1})`;
  return { least, greatest: { base: coordinate(last, extents, d), divisor: 1, offset: 0 } };
}

/** Of two numbers; of 0 and another it is the other. */
const greatestDivisor = (a: number, b: number): number => (b === 0 ? Math.abs(a) : greatestDivisor(b, a % b));

/** The least or the greatest that an affine map of batch, m and n gets within the tile; undefined where it has other axes. */
function endOf(
  a: Affine,
  w: ContractionParts,
  end: 'least' | 'greatest',
): { readonly text: string; readonly divisor: number } | undefined {
  const known = stretches(w);
  const names = new Map<number, string>();
  let { constant } = a;
  let divisor = 0;
  for (const { axis, coefficient } of a.terms) {
    if (w.s.equation.axes[axis].extent === 1) continue;
    const stretch = known.get(axis);
    if (stretch === undefined) return undefined;
    const { base, divisor: own, offset } = coefficient > 0 === (end === 'greatest') ? stretch.greatest : stretch.least;
    names.set(axis, base);
    constant += coefficient * offset;
    divisor = greatestDivisor(divisor, coefficient * own);
  }
  return { text: affineText({ ...a, constant }, scopeOf(w, names)), divisor: greatestDivisor(divisor, constant) };
}

/** Whether the text is a number, one of those that are meant. */
function isNumber(text: string, isMeant: (value: number) => boolean): boolean {
  return /^-?\d+$/.test(text) && isMeant(Number(text));
}

/** Names of the ends of the stretch: of all of k, or within a segment. */
function rangeNames(w: ContractionParts): readonly [first: string, end: string] {
  const segment = segmentOf(w);
  const isWhole = segment === w.sizes.k && segment <= chainOf(segment);
  return isWhole ? ['k_from', 'k_to'] : ['k_first', 'k_end'];
}

/** Lines that define `k_from` and `k_to`, or `k_first` and `k_end` within a segment, for the tile and all that lie side by side with it. */
export function kRange(w: ContractionParts): string {
  return isPacked(w) && !isOneRange(w.s) ? packRange(w) : tileRange(w);
}

/** Whether tiles side by side meet at barriers. */
const isPacked = ({ tuning, sideBySide }: ContractionParts): boolean => tuning.form === 'tiled' && sideBySide > 1;

/** The stretch of all tiles of a larger workgroup, from the first begin to the last end: they meet at the same barriers. */
function packRange(w: ContractionParts): string {
  const [first, end] = rangeNames(w);
  return wgsl`
    var least_${first} = ${w.emitter.bound(segmentOf(w))};
    var most_${end} = 0;
    for (var tile_in_pack = 0u; tile_in_pack < ${w.sideBySide}u; tile_in_pack++) {
      let group = ${packNumber} * ${w.sideBySide}u + tile_in_pack;
      ${w.placeLines}
      ${tileRange(w)}
      if (${first} < ${end}) {
        least_${first} = min(least_${first}, ${first});
        most_${end} = max(most_${end}, ${end});
      }
    }
    let ${first} = least_${first};
    let ${end} = most_${end};
  `;
}

/** The same for the tile alone. */
function tileRange(w: ContractionParts): string {
  const { s } = w;
  const segment = segmentOf(w);
  const [first, end] = rangeNames(w);
  const isLeft = storesNothingOutside(w) && !isPacked(w);
  const leave = isLeft ? 'return;' : `${end} = ${first};`;
  const outside = s.onOutput.flatMap((constraint) => {
    if (constraint.kind !== 'nonnegative') return [];
    const most = endOf(constraint.affine, w, 'greatest')?.text;
    return most === undefined || isNumber(most, (end) => end >= 0)
      ? []
      : [`if (${most} < 0) { ${leave} } // the whole tile is outside the domain`];
  });
  const kind = outside.length === 0 || isLeft ? 'let' : 'var';
  const { from, to } = cutRange(w, segment);
  return [`let ${first} = ${from};`, `${kind} ${end} = ${to};`, ...outside].join('\n');
}

/**
 * Whether a tile that is outside the domain is of no use to anybody. In others all is stored: where each store has a condition, its
 * value is made behind it too, one after another (a softmax's gradient behind its product took 457 µs on an H100 in place of 248).
 */
function storesNothingOutside({ kernel }: ContractionParts): boolean {
  return [kernel, ...kernel.epilogue].every(({ stored, withinDomain }) => !stored || withinDomain);
}

/** Where the constraints between k and the tile's positions let the last k axis begin and end. */
function cutRange(w: ContractionParts, segment: number): { readonly from: string; readonly to: string } {
  const { s, emitter } = w;
  let from = '0';
  let divisor = 0;
  let to = emitter.bound(segment);
  const k = s.limited ? s.k.at(-1) : s.k.length === 1 ? s.k[0] : undefined;
  for (const constraint of new Set([...s.onLeft, ...s.onRight])) {
    if (constraint.kind !== 'nonnegative' || k === undefined) continue;
    const coefficient = coefficientOf(constraint.affine, k);
    if (Math.abs(coefficient) !== 1) continue;
    // k is at least, or at most, what is left of the map.
    const rest = scale(subtract(constraint.affine, scale(axisIndex(k), coefficient)), -coefficient);
    if (coefficient === 1) {
      const least = endOf(rest, w, 'least');
      if (least === undefined || isNumber(least.text, (b) => b <= 0)) continue;
      const mayPass = range(rest, s.equation.axes).max >= segment;
      from = `max(${from}, ${mayPass ? `min(${least.text}, ${segment - 1})` : least.text})`;
      divisor = greatestDivisor(divisor, mayPass ? 1 : least.divisor);
    } else {
      const end = endOf(add(rest, affine(1)), w, 'greatest');
      if (end !== undefined && !isNumber(end.text, (b) => b >= segment)) to = `min(${to}, ${end.text})`;
    }
  }
  const alignment = alignmentOf(w);
  return { from: divisor % alignment === 0 ? from : `${from} / ${alignment} * ${alignment}`, to };
}

/** The loops of all products of a kernel, one after another into the same sums. The head has the range of the first. */
export function overProducts(
  products: readonly ContractionParts[],
  /** What goes from `k_from` to `k_to`, and the variables that it needs. */
  loop: (w: ContractionParts) => string,
  declarations: (w: ContractionParts) => string = () => '',
  /** What ends a sum that is long enough. */
  flush: (w: ContractionParts) => string = flushSums,
): string {
  const texts = products.map((w, i) => {
    const lines = [...(i === 0 ? [] : [kRange(w)]), declarations(w), overSegments(w, loop(w), flush)];
    const text = lines.filter((line) => line !== '').join('\n');
    return i === 0 ? text : `{\n${indent(text)}\n}`;
  });
  return texts.join('\n');
}

/**
 * Puts around the loop from `k_from` to `k_to` what goes through all of k: the values of the other k axes, and blocks of
 * at most `chainOf(k)` steps, after each of which the sums are added to the totals (contraction/block.ts).
 */
function overSegments(w: ContractionParts, loop: string, flush: (w: ContractionParts) => string): string {
  const segment = segmentOf(w);
  const { k } = w.sizes;
  const chain = chainOf(k);
  const isLong = k > chain;
  if (segment === k && !isLong) return loop;
  const flushed = (text: string): string => (isLong ? `${text}\n${flush(w)}` : text);
  if (segment > chain) {
    const base = segment === k ? '' : 'k_base + ';
    const blocks = wgsl`
      for (var k_block = k_first; k_block < k_end; k_block += ${chain}) {
        let k_from = ${base}k_block;
        let k_to = ${base}min(k_block + ${chain}, k_end);
        ${flushed(loop)}
      }
    `;
    return segment === k ? blocks : `for (var k_base = 0; k_base < ${k}; k_base += ${segment}) {\n${indent(blocks)}\n}`;
  }
  const segments = (from: string, to: string): string => wgsl`
    for (var k_base = ${from}; k_base < ${to}; k_base += ${segment}) {
      let k_from = k_base + k_first;
      let k_to = k_base + k_end;
      ${loop}
    }
  `;
  if (!isLong) return segments('0', String(k));
  const group = Math.floor(chain / segment) * segment;
  return wgsl`
    for (var k_group = 0; k_group < ${k}; k_group += ${group}) {
      ${flushed(segments('k_group', `min(k_group + ${group}, ${k})`))}
    }
  `;
}
