/**
 * Sums across: of a tile's rows, for each point of its walk. What a workgroup's rows come to is added to memory, one tile of rows after
 * another, so that it is a sum of one order, as everything else of a stream is.
 *
 *   q[t, r] += Σ_u dS[u, t]·k[u, r]      rows u, walking t: a lane adds to columns 4·y … 4·y + 3, and those Y quads further, of points
 *                                        x, x + X, … of the tile, four at most
 *
 * The tile lies in workgroup memory as for the sums of its rows (sum.ts), and is read the other way: rows come in quads, so that a lane meets
 * four rows of its points at a time. A lane is the only one that adds to its elements, in each tile of rows the same ones, and the first
 * tile of rows begins them, so that nothing need be empty before, and no lane waits for what another has written.
 */
import type { Affine } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { StreamStatement } from '../../kernel.ts';
import { strides } from '../../parts/linear.ts';
import { guarded, indent, operand, plus, wgsl } from '../../wgsl/text.ts';
import type { Stage } from './ahead.ts';
import { loopOver, places, readyOf, type StreamCode, shapeOf, sizesOf, storeText } from './code.ts';
import { acrossLanes, columnPlaces, type Staged, stagedOf, sumQuads } from './columns.ts';
import { turnsOf } from './pieces.ts';
import { columnDimensions, columnsOf, type WalkRange } from './shape.ts';
import { partsOf, sideOf, sumOfSides, whereTouched } from './sum.ts';

/** WGSL of a lane's place among those that share points, and among those that share columns: neighbours have neighbouring columns. */
export function placeAcross(w: StreamCode): readonly string[] {
  const { columns } = acrossLanes(w);
  return [`let point_lane = i32(lane) / ${columns};`, `let column_lane = i32(lane) % ${columns};`];
}

export function acrossStep(s: StreamStatement, w: StreamCode): readonly Stage[] {
  const name = w.variables.get(s.tensor)!;
  const later = laterTurns(w);
  const held = overQuads(s, 'walk_start', (own, place) => takeQuad(`${name}[${own}]`, place), w);
  const begin = wgsl`
    var ${name} = array<vec4<f32>, ${acrossLanes(w).ofLane * sumQuads(s, w)}>();
    ${later.length === 0 ? '' : guarded(later, held)}
  `;
  const terms = s.equations.map((given) => {
    const equation = readyOf(w, given);
    const parts = partsOf(s, equation, w);
    const staged = stagedOf(s, equation, w);
    const side = sideOf(s, parts, staged, 0, w);
    return whereTouched(parts, sumOfSides(s, parts, [side], staged, multiplyRows(s, staged, w), w), w);
  });
  const store = overQuads(s, 'walk_start', (own, place) => storeQuad(place, `${name}[${own}]`), w);
  return [{ text: begin }, ...terms, { text: store }];
}

/** What the first tile of rows does not reach is 0: `store` makes it so at the tile of the walk that begins at `empty_start`. */
export function emptyAcross({ from, grows }: WalkRange, store: string, w: StreamCode): string {
  const { extent } = w.kernel.walk;
  const { tileColumns } = sizesOf(w.tuning);
  const outside = [
    ...(from === '0' ? [] : [`empty_start < walk_from / ${tileColumns} * ${tileColumns}`]),
    ...(grows ? ['empty_start >= walk_to'] : []),
  ];
  if (outside.length === 0) return '';
  const loop = wgsl`
    for (var empty_start = 0; empty_start < ${extent}; empty_start += ${tileColumns}) {
      ${guarded([outside.join(' || ')], store)}
    }
  `;
  return guarded(laterTurns(w).length === 0 ? [] : ['turn == 0'], loop);
}

/** WGSL of whether tiles of rows have come before; nothing where there is one alone. */
export const laterTurns = (w: StreamCode): readonly string[] => (turnsOf(w.kernel, w.tuning) === 1 ? [] : ['turn > 0']);

/** The store of its lanes. */
export const emptyTile = (s: StreamStatement, w: StreamCode): string =>
  overQuads(s, 'empty_start', (_, place) => storeQuad(place, 'vec4<f32>()'), w);

/** WGSL of where four columns lie in memory: as a quad, or one by one, of which some may not exist. */
export interface QuadPlace {
  readonly quad: string | undefined;
  readonly element: (c: number) => string;
  readonly exists: (c: number) => readonly string[];
}

export const takeQuad = (into: string, { quad, element, exists }: QuadPlace): string =>
  quad === undefined
    ? [0, 1, 2, 3].map((c) => guarded(exists(c), `${into}[${c}] = ${element(c)};`)).join('\n')
    : `${into} = ${quad};`;

export const storeQuad = ({ quad, element, exists }: QuadPlace, value: string): string =>
  quad === undefined
    ? [0, 1, 2, 3].map((c) => guarded(exists(c), `${element(c)} = ${value}[${c}];`)).join('\n')
    : `${quad} = ${value};`;

/** Of each of a lane's quads, `text` of its number and place, at the tile of the walk that begins at `start`. */
function overQuads(
  s: StreamStatement,
  start: string,
  text: (own: number, place: QuadPlace) => string,
  w: StreamCode,
): string {
  const { kernel, axes, names } = w;
  const lanes = acrossLanes(w);
  const columns = columnsOf(s, shapeOf(s, w), axes);
  const quads = sumQuads(s, w);
  const walk = names.get(axes.walk)!;
  const ofPoint = Array.from({ length: lanes.ofLane }, (_, c) => {
    const place = plus(`${start} + point_lane`, c * lanes.points);
    const ofQuads = Array.from({ length: quads }, (__, e) => {
      const isWhole = 4 * lanes.columns * (e + 1) <= columns;
      return wgsl`
        {
          let element = ${operand(plus('column_lane', e * lanes.columns))} * 4;
          ${guarded(isWhole ? [] : [`element < ${columns}`], text(c * quads + e, placeOfQuad(s, columns, w)))}
        }
      `;
    });
    const isInside = places(w).columnsWhole ? [] : [`place < ${kernel.walk.extent}`];
    const named = walk === '0' ? [] : [`let ${walk} = place;`];
    return wgsl`
      {
        let place = ${place};
        ${guarded(isInside, [...named, ...ofQuads].join('\n'))}
      }
    `;
  });
  return ofPoint.join('\n');
}

/** The place of the columns from `element` on. */
export function placeOfQuad(s: StreamStatement, columns: number, w: StreamCode): QuadPlace {
  const { emitter } = w;
  const at = storeText(s, s.equations[0], columnPlaces(s, w), w);
  const quad = isInQuads(s, columns, w) ? emitter.writesQuad(s.tensor, at) : undefined;
  return {
    quad,
    element: (c) => emitter.writes(s.tensor, storeText(s, s.equations[0], columnPlaces(s, w, plus('element', c)), w)),
    exists: (c) => (c === 0 || columns % 4 === 0 ? [] : [`${plus('element', c)} < ${columns}`]),
  };
}

/** Whether four columns are a quad of memory, wherever they are. */
function isInQuads(s: StreamStatement, columns: number, w: StreamCode): boolean {
  const shape = shapeOf(s, w);
  const [only, ...others] = columnDimensions(s, shape, w.axes).filter(({ extent }) => extent > 1);
  if (only === undefined || others.length > 0 || only.step !== 1 || columns % 4 !== 0) return false;
  const [{ store, axes }] = s.equations;
  const stride = strides(shape);
  const steps = store.flatMap((index, d) =>
    (index as Affine).terms
      .filter((t) => t.axis < w.axes.own && axes[t.axis].extent > 1)
      .map((t) => t.coefficient * stride[d]),
  );
  const { start } = w.emitter.layout(s.tensor);
  return stride[only.dimension] === 1 && [start, elementCount(shape), ...steps].every((n) => n % 4 === 0);
}

/** The staged rows, four at a time: a lane's four points times its quads of columns. */
function multiplyRows(s: StreamStatement, { columns, firstQuad, quads, depth }: Staged, w: StreamCode): string {
  const { exchangePitch } = sizesOf(w.tuning);
  const lanes = acrossLanes(w);
  const name = w.variables.get(s.tensor)!;
  const perLane = sumQuads(s, w);
  const points = Array.from({ length: lanes.ofLane }, (_, c) => c);
  const weights = points.map((c) => {
    const point = `${operand(plus('point_lane', c * lanes.points))} * ${exchangePitch}`;
    return `let weight_${c} = scratch[${point} + from_point / 4 + rows];`;
  });
  const isToTheEnd = firstQuad + quads === Math.ceil(columns / 4);
  const ofQuads = Array.from({ length: perLane }, (_, e) => {
    const quad = plus('column_lane', e * lanes.columns);
    const guards = [
      ...(e * lanes.columns < firstQuad ? [`${quad} >= ${firstQuad}`] : []),
      ...(!isToTheEnd && (e + 1) * lanes.columns > firstQuad + quads ? [`${quad} < ${firstQuad + quads}`] : []),
    ];
    const lines = [0, 1, 2, 3].flatMap((j) => [
      `let summed_${j} = scratch[${w.exchangeQuads} + (rows * 4 + ${j}) * ${quads} + ${plus(quad, -firstQuad)}];`,
      ...points.map((c) => `${name}[${c * perLane + e}] += weight_${c}[${j}] * summed_${j};`),
    ]);
    return guards.length === 0 ? `{\n${indent(lines.join('\n'))}\n}` : guarded(guards, lines.join('\n'));
  });
  return loopOver('rows', depth / 4, [...weights, ...ofQuads].join('\n'), w);
}
