/**
 * What streams on tensor cores take of a tile: all of a lane's elements, then those put to `none` that do not count, in tiles that have any.
 *
 *   weights = A                                        every element, whatever it is
 *   if (tile leaves the domain) { weights = select(0, weights, t >= u) }
 *
 * The trap: where an element is chosen as it is computed, `select(0, exp(…), t >= u)`, large kernels came out wrong on an H100, not finite or
 * 0 in rows of some subgroups, in one text and not in the next; chosen afterwards, behind a condition that is the same for all lanes, less
 * often (test/bench/records/2026-11-28-matrix-4.jsonl, 2026-11-28-masks-5.jsonl). Nor may a tile itself choose (`isStraight`, matrix-parts.ts).
 */
import { decide } from '../../../compiler/ir/affine.ts';
import type { Constraint, Equation, Expression } from '../../../compiler/ir/program.ts';
import { expressionText } from '../../parts/scalar.ts';
import { guarded } from '../../wgsl/text.ts';
import { elementOf, masks, overElements, type StreamCode, scopeOf } from './code.ts';
import { leavesOut, takenKey } from './shape.ts';

const openOf = ({ axes }: Equation, constraints: readonly Constraint[]): readonly Constraint[] =>
  constraints.filter((c) => decide(c, axes) !== 'always');

/**
 * WGSL of whether a tile has elements outside constraints of row and walk: `false` where none can be, true, but not to a compiler, where that is
 * not told of a tile as a whole.
 */
export function tileLeaves(equation: Equation, constraints: readonly Constraint[], w: StreamCode): string {
  const open = openOf(equation, constraints);
  return open.length === 0 ? 'false' : (leavesOut(open, w.kernel, w.rowTile, w.columnTile) ?? 'zero_bits == 0u');
}

/** Puts a lane's elements outside constraints to `none`; of each element of a tile that has some, `also` is done with whether it counts. */
export function leaveOut(
  name: string,
  none: string,
  equation: Equation,
  constraints: readonly Constraint[],
  w: StreamCode,
  also: (counts: string) => readonly string[] = () => [],
): string {
  const open = openOf(equation, constraints);
  if (open.length === 0) return '';
  const counts = masks(w, equation, open).join(' && ');
  const element = elementOf(name, w);
  const lines = [`${element} = select(${none}, ${element}, ${counts});`, ...also(counts)];
  return guarded([tileLeaves(equation, open, w)], overElements(w, lines.join('\n')));
}

/** A value at a lane's elements, 0 where it does not count: WGSL, and the array's name. What has been taken already is not taken again. */
export function takeElements(
  equation: Equation,
  value: Expression,
  constraints: readonly Constraint[],
  w: StreamCode,
): { readonly text: string; readonly name: string } {
  const key = takenKey({ left: value, onTile: constraints });
  const known = w.taken.get(key);
  if (known !== undefined) return { text: '', name: known };
  const name = w.emitter.fresh('weights');
  w.taken.set(key, name);
  const all = overElements(w, `${elementOf(name, w)} = ${expressionText(value, scopeOf(w, equation))};`);
  const text = [`var ${name} = array<vec4<f32>, 2>();`, all, leaveOut(name, '0.0', equation, constraints, w)];
  return { text: text.filter((line) => line !== '').join('\n'), name };
}
