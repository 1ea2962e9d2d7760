/**
 * Which stretch of k a tile needs. A domain such as `u <= t` between k and m (or n) cuts the loop short for a whole
 * tile; one between m and n, such as a causal mask of scores, leaves tiles with nothing to do, whose loop is empty.
 *
 * The trap: only the last k axis is cut short. Where there are others too (`ContractionShape.limited`), the loop runs
 * over that axis alone, a segment of k, once for each value of the others.
 */
import { coefficientOf } from '../../../compiler/ir/affine.ts';
import type { Affine, Constraint } from '../../../compiler/ir/program.ts';
import { indent, plus, wgsl } from '../../wgsl/text.ts';
import { chainOf, flushSums } from './block.ts';
import type { ContractionParts } from './functions.ts';
import type { ContractionShape } from './shape.ts';

/** Length of the stretch of k over which the loop runs at once. */
function segmentOf({ s, sizes }: ContractionParts): number {
  return s.limited ? s.equation.axes[s.k.at(-1)!].extent : sizes.k;
}

/** The most steps of k between `k_from` and `k_to`. */
export function longestLoop(w: ContractionParts): number {
  return Math.min(segmentOf(w), chainOf(w.sizes.k));
}

/** Every step of the k loop is a whole `tileK`. */
export function kIsExact(w: ContractionParts): boolean {
  return !isLimited(w) && w.sizes.k % w.tuning.tileK === 0;
}

/** The loop makes as many steps as it has, whichever tile it is for. */
export function isWholeLoop(w: ContractionParts): boolean {
  const isMasked = w.s.onOutput.some((c) => c.kind === 'nonnegative');
  return !isLimited(w) && !isMasked && longestLoop(w) === w.sizes.k;
}

function isLimited({ s }: ContractionParts): boolean {
  return [...s.onLeft, ...s.onRight].some((c) => c.kind === 'nonnegative');
}

/** m or n: where a tile lies in it. */
interface Side {
  /** The class's axis, where it is one. */
  readonly axis: number | undefined;
  readonly start: string;
  readonly tile: number;
  readonly size: number;
  /** Constraints between k and this side. */
  readonly constraints: readonly Constraint[];
}

const onlyAxis = (axes: readonly number[]): number | undefined => (axes.length === 1 ? axes[0] : undefined);

/** The largest that a side's term of an affine map gets within the tile; undefined where it has none. */
function reach(a: Affine, { axis, start, tile, size }: Side): string | undefined {
  const coefficient = coefficientOf(a, axis!);
  if (coefficient === 0) return undefined;
  const position = coefficient > 0 ? `min(${start} + ${tile - 1}, ${size - 1})` : start;
  const factor = Math.abs(coefficient);
  return `${coefficient < 0 ? '-' : ''}${factor === 1 ? '' : `${factor} * `}${position}`;
}

/** Whether every tile goes through all of k, whatever part of the output it is. */
export function isOneRange({ onLeft, onRight, onOutput }: ContractionShape): boolean {
  return ![...onLeft, ...onRight, ...onOutput].some((c) => c.kind === 'nonnegative');
}

/** Lines that define `k_from` and `k_to` for the tile, or `k_first` and `k_end` within a segment. */
export function tileRange(w: ContractionParts): string {
  const { s, sizes, tuning, emitter } = w;
  const segment = segmentOf(w);
  const m: Side = {
    axis: onlyAxis(s.m),
    start: 'tile_m',
    tile: tuning.tileM,
    size: sizes.m,
    constraints: s.onLeft,
  };
  const n: Side = {
    axis: onlyAxis(s.n),
    start: 'tile_n',
    tile: tuning.tileN,
    size: sizes.n,
    constraints: s.onRight,
  };
  let from = '0';
  let to = emitter.bound(segment);
  const k = s.limited ? s.k.at(-1) : onlyAxis(s.k);
  for (const side of [m, n]) {
    for (const constraint of side.constraints) {
      if (constraint.kind !== 'nonnegative') continue;
      const { affine } = constraint;
      if (k === undefined || !isOver(affine, k, side.axis)) continue;
      const far = reach(affine, side);
      const coefficient = coefficientOf(affine, k);
      if (far === undefined || Math.abs(coefficient) !== 1) continue;
      const bound = plus(far, affine.constant);
      if (coefficient === -1) to = `min(${to}, ${bound} + 1)`;
      else from = `max(${from}, -(${bound}))`;
    }
  }
  const isWhole = segment === sizes.k && segment <= chainOf(segment);
  const [first, end] = isWhole ? ['k_from', 'k_to'] : ['k_first', 'k_end'];
  const outside = s.onOutput.flatMap((constraint) => {
    if (constraint.kind !== 'nonnegative') return [];
    const { affine } = constraint;
    if (!isOver(affine, m.axis, n.axis)) return [];
    const terms = [reach(affine, m), reach(affine, n)].filter((term) => term !== undefined);
    if (terms.length === 0) return [];
    const most = plus(terms.join(' + ').replace('+ -', '- '), affine.constant);
    return [`if (${most} < 0) { ${end} = ${first}; } // the whole tile is outside the domain`];
  });
  const kind = outside.length === 0 ? 'let' : 'var';
  return [`let ${first} = ${from};`, `${kind} ${end} = ${to};`, ...outside].join('\n');
}

/** Whether an affine map has terms of these two axes only, both of them known. */
function isOver(a: Affine, one: number | undefined, other: number | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return a.terms.every((t) => t.axis === one || t.axis === other);
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
    const lines = [...(i === 0 ? [] : [tileRange(w)]), declarations(w), overSegments(w, loop(w), flush)];
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
