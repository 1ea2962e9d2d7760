/**
 * Row kernels whose lanes take four neighbouring points at once, where memory has them side by side.
 *
 *   y[row, i] = x[row, i] * g[row]   →   let i = quad * 4;  let x_value = x[(row * 32 + i) >> 2u];
 *                                        for (var c = 0; c < 4; c++) { y_value[c] = x_value[c] * g_of_row; }
 *                                        y[(row * 32 + i) >> 2u] = y_value;
 *
 * A row of 16 then needs 4 lanes, not 16: of 131072 such rows each with its mean and variance a dispatch took 100 µs on an H100 with a
 * lane a point, 53 with two points a lane one by one.
 *
 * Where a lane has four points and no more, what it has read for one statement is there for the next.
 *
 * The trap: what is read at a point stands in `known`, which is of use inside the loop over the four only.
 */
import { loads } from '../../compiler/ir/expression.ts';
import type { Expression, Index } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import { affineText } from '../parts/address.ts';
import { coordinate } from '../parts/linear.ts';
import { type WideLoad, wideLoad, wideText } from '../parts/loads.ts';
import type { Nest } from '../parts/nest.ts';
import type { Loop } from '../parts/sums.ts';
import { operand, wgsl } from '../wgsl/text.ts';

/** Four neighbouring points of a row. */
export interface Quad {
  /** The loop over those of a lane, if it has more than one, and what it begins with. */
  readonly loop: Loop | undefined;
  readonly lets: readonly string[];
  readonly axis: number;
  /** WGSL of the axis at the first of them, of the number of one among them, and of the axis there. */
  readonly first: string;
  readonly inQuad: string;
  readonly point: string;
  /** The loads that are read four at a time, at one of them. */
  readonly known: ReadonlyMap<Expression, string>;
}

/** The lanes of a row, and what they keep from one statement to the next: WGSL of what a variable holds → its name. */
export interface QuadLanes {
  readonly lane: string;
  readonly lanes: number;
  readonly mostTurns: number;
  readonly kept: Map<string, string>;
  /** Whether a tensor is made in this kernel, so that it changes between statements. */
  readonly isMade: (tensor: string) => boolean;
}

/**
 * Binds the inner axes; undefined where the row is no whole quads or has too few for its lanes, or nothing of it comes in quads. Lanes of a long row
 * stride over its quads, some of them a turn longer than others.
 */
export function openQuads(
  { equation, scope, names, pending }: Nest,
  inner: readonly number[],
  { lane, lanes, mostTurns, kept, isMade }: QuadLanes,
): Quad | undefined {
  const { axes, value } = equation;
  const { emitter } = scope;
  const quads = elementCount(inner.map((axis) => axes[axis].extent)) / 4;
  const turns = quads / lanes;
  const isEven = Number.isInteger(turns) && turns <= mostTurns;
  const isLong = !isEven && lanes > 1 && turns > 1;
  if (pending.size > 0 || !Number.isInteger(quads) || !(isEven || isLong)) return undefined;
  const wideAlong = (axis: number): readonly (readonly [Expression, WideLoad])[] =>
    loads(value).flatMap((l) => {
      const wide = wideLoad(l, axis, axes, (name) => emitter.layout(name));
      return wide === undefined ? [] : [[l, wide] as const];
    });
  const [axis] = [...inner].sort((a, b) => wideAlong(b).length - wideAlong(a).length);
  const wides = axis === undefined ? [] : wideAlong(axis);
  if (wides.length === 0) return undefined;
  const lets: string[] = [];
  const variable = (text: string, fresh: () => string, mayKeep = turns === 1): string => {
    if (/^\w+$/.test(text)) return text;
    const name = kept.get(text) ?? fresh();
    if (!kept.has(text)) lets.push(`let ${name} = ${text};`);
    if (mayKeep) kept.set(text, name);
    return name;
  };
  const turn = turns === 1 ? undefined : emitter.fresh(isLong ? 'quad' : 'turn');
  const number = turn === undefined ? lane : lanes === 1 || isLong ? turn : `${turn} * ${lanes} + ${lane}`;
  const quad = variable(number, () => emitter.fresh('quad'));
  const others = inner.filter((other) => other !== axis);
  const extents = [...others, axis].map((a) => axes[a].extent / (a === axis ? 4 : 1));
  const coordinateOf = (d: number): string => (extents[d] === 1 ? '0' : coordinate(quad, extents, d));
  for (const [d, other] of others.entries())
    names.set(
      other,
      variable(coordinateOf(d), () => emitter.named(axes[other].name)),
    );
  const inRow = coordinateOf(others.length);
  const start = inRow === '0' ? '0' : `${operand(inRow)} * 4`;
  const first = variable(start, () => emitter.named(axes[axis].name));
  names.set(axis, first);
  const inQuad = emitter.fresh('c');
  const read = new Map<string, string>();
  const known = wides.map(([l, wide]): [Expression, string] => {
    const text = wideText(wide, scope);
    const fresh = () => emitter.named(wide.tensor, 'value');
    const name = read.get(text) ?? variable(text, fresh, turns === 1 && !isMade(wide.tensor));
    read.set(text, name);
    return [l, `${name}[${inQuad}]`];
  });
  const point = first === '0' ? inQuad : emitter.named(axes[axis].name);
  names.set(axis, point);
  const strides = { from: isLong ? lane : '0', to: emitter.bound(isLong ? quads : turns), step: isLong ? lanes : 1 };
  const loop = turn === undefined ? undefined : { name: turn, ...strides, turns: Math.ceil(turns) };
  return { loop, lets, axis, first, inQuad, point, known: new Map(known) };
}

/** What a lane does with four points: `lines` at each of them. */
export function quadText({ lets, first, inQuad, point }: Quad, lines: readonly string[]): string {
  const text = lines.join('\n');
  const isNamed = point !== inQuad && new RegExp(`(?<![\\w.])${point}(?!\\w)`, 'u').test(text);
  return wgsl`
    ${lets.join('\n')}
    for (var ${inQuad} = 0; ${inQuad} < 4; ${inQuad}++) {
      ${isNamed ? `let ${point} = ${first} + ${inQuad};` : ''}
      ${text}
    }
  `;
}

/** Where all four of a tensor are stored at once; undefined where they do not lie so, or its buffer is bound as elements. */
export function quadPlace(
  { equation, scope, names }: Nest,
  { axis, first, point }: Quad,
  tensor: string,
  store: readonly Index[],
): string | undefined {
  const { emitter } = scope;
  const wide = wideLoad({ kind: 'load', tensor, indices: store }, axis, equation.axes, (name) => emitter.layout(name));
  if (wide === undefined) return undefined;
  names.set(axis, first);
  const offset = affineText(wide.offset, scope);
  names.set(axis, point);
  return emitter.writesQuad(tensor, offset);
}
