/**
 * The sums of a stream: what is taken of a tile goes through workgroup memory, so that a lane meets all of a row's columns of the walk,
 * and is multiplied with the side of the walk, staged beside it.
 *
 *   y[t, e] += Σ_u A[t, u]·v[u, e]      a lane sums columns 4·x … 4·x + 3 of its rows, then those X quads further
 */
import type { Equation } from '../../../compiler/ir/program.ts';
import type { StreamStatement } from '../../kernel.ts';
import { expressionText, integerText } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import { guarded, indent, plus, wgsl } from '../../wgsl/text.ts';
import { aheadVariables, type Stage } from './ahead.ts';
import {
  batchNames,
  clamped,
  elementOf,
  loopOver,
  masks,
  overElements,
  overLanes,
  places,
  quadsOfLane,
  type StreamCode,
  scopeOf,
  sizesOf,
} from './code.ts';
import {
  columnLanes,
  levelsOfSum,
  type Staged,
  stagedColumns,
  stagedOf,
  stagedPoints,
  summedPoints,
  sumQuads,
} from './columns.ts';
import type { Joint } from './joint.ts';
import { blocksOfRows, type Levels, levelNames } from './levels.ts';
import {
  asSum,
  asSumAcross,
  columnsOf,
  type Place,
  type SummedTile,
  type TwoSided,
  takenKey,
  touches,
} from './shape.ts';

export function sumStep(s: StreamStatement, w: StreamCode): readonly Stage[] {
  const joint = w.joints.get(s.tensor);
  if (joint !== undefined) return joint.members[0].sum === s ? [jointStage(joint, w)] : [];
  const { levels, others } = levelsOfSum(s, w);
  const stages = others.map((equation) => sumStage(s, equation, w));
  return levels === undefined ? stages : [levelStage(s, levels, w), ...stages];
}

/** Sums of one tile: each one's columns are staged behind those of the one before. */
function jointStage({ members, quads }: Joint, w: StreamCode): Stage {
  const [{ sum, parts }] = members;
  const staged = { columns: 4 * quads, firstQuad: 0, quads, depth: stagedPoints(sum, quads, w) };
  const sides = members.map((member) => {
    const columns = columnsOf(member.sum, w.emitter.layout(member.sum.tensor).shape, w.axes);
    const own = { columns, firstQuad: 0, quads: member.quads, depth: staged.depth };
    return sideOf(member.sum, member.parts, own, member.firstQuad, w);
  });
  return sumOfSides(sum, parts, sides, staged, multiplyColumns(sum, staged, w), w);
}

export function partsOf(s: StreamStatement, equation: Equation, w: StreamCode): SummedTile {
  const parts = s.kind === 'across' ? asSumAcross(equation, w.axes, w.tiles) : asSum(equation, w.axes, w.tiles);
  if (parts === undefined) throw new Error(`${s.tensor} does not part into a tile and what is summed with it`);
  return parts;
}

/** All levels at once; their scales are for the finished sums. */
function levelStage(s: StreamStatement, levels: Levels, w: StreamCode): Stage {
  const stage = sumOfProducts(s, partsOf(s, levels.equation, w), w, levels);
  return onlyIf(levels.levels[0].block === undefined ? [] : [`${levelNames(levels, w).most} > 0`], stage, w);
}

function sumStage(s: StreamStatement, equation: Equation, w: StreamCode): Stage {
  const parts = partsOf(s, equation, w);
  const stage = parts.place === undefined ? sumOfProducts(s, parts, w) : { text: sumByPlace(s, parts, parts.place, w) };
  return whereTouched(parts, stage, w);
}

/** A term's stage, for tiles that lie in one of its blocks. */
export function whereTouched({ onTile }: TwoSided, stage: Stage, w: StreamCode): Stage {
  const ofBlocks = onTile.filter((c) => c.kind === 'data');
  return onlyIf(touches(ofBlocks, w.kernel, w.rowTile, w.columnTile), stage, w);
}

function onlyIf(conditions: readonly string[], stage: Stage, w: StreamCode): Stage {
  if (conditions.length === 0) return stage;
  w.exchanged = undefined;
  return { ...stage, text: `if (${conditions.join(' && ')}) ${stage.text}` };
}

/** What is taken of a tile times the side of the walk, which is staged beside it. */
function sumOfProducts(s: StreamStatement, parts: TwoSided, w: StreamCode, levels?: Levels): Stage {
  const staged = stagedOf(s, parts.equation, w);
  const side = sideOf(s, parts, staged, 0, w, levels && levelNames(levels, w).most);
  const products = levels === undefined ? multiplyColumns(s, staged, w) : multiplyLevels(s, staged, levels, w);
  return sumOfSides(s, parts, [side], staged, products, w);
}

/** What is staged for one sum: from quad `at` of those that are staged at each point. */
export interface Side {
  readonly sum: StreamStatement;
  /** WGSL of a quad. */
  readonly value: string;
  readonly staged: Staged;
  readonly at: number;
  /** Of levels: how many columns count. */
  readonly most: string | undefined;
  /** Variables of what is read ahead. */
  readonly ahead: readonly string[] | undefined;
}

export function sideOf(
  sum: StreamStatement,
  parts: TwoSided,
  staged: Staged,
  at: number,
  w: StreamCode,
  most?: string,
): Side {
  const value = stagedColumns(sum, parts, staged, w);
  const ahead = w.tuning.ahead ? aheadVariables(staged.depth * staged.quads, w) : undefined;
  return { sum, value, staged, at, most, ahead };
}

/** Tiles' weights once, and for each stretch of points all that is staged there, and its products. */
export function sumOfSides(
  s: StreamStatement,
  parts: TwoSided,
  sides: readonly Side[],
  { quads, depth }: Staged,
  products: string,
  w: StreamCode,
): Stage {
  const points = summedPoints(s, w);
  const lanes = columnLanes(s, w);
  // The lanes of the last point read to the end of their own quads.
  w.stagedQuads = Math.max(w.stagedQuads, (depth - 1) * quads + Math.ceil(quads / lanes) * lanes);
  const variables = sides.flatMap(({ ahead }) => ahead ?? []);
  const read = (from: string, walk: string): string => sides.map((side) => readSide(side, from, walk, w)).join('\n');
  const next = `from_point + ${depth}`;
  const isRead = variables.length > 0 && depth < points;
  const key = takenKey(parts);
  const exchange = w.exchanged === key ? 'workgroupBarrier();' : exchangeWeights(parts, w);
  w.exchanged = key;
  const text = wgsl`
    {
      ${exchange}
      for (var from_point = 0; from_point < ${points}; from_point += ${depth}) {
        ${depth === points ? '' : 'if (from_point > 0) { workgroupBarrier(); }'}
        ${sides.map((side) => stageSide(side, quads, w)).join('\n')}
        workgroupBarrier();
        ${isRead ? guarded([`${next} < ${points}`], read(next, 'walk_start')) : ''}
        ${products}
      }
    }
  `;
  return variables.length === 0 ? { text } : { text, ahead: { variables, first: (walk) => read('0', walk) } };
}

/** What is taken of a tile, each element added to the column that it is for. */
function sumByPlace(s: StreamStatement, parts: TwoSided, place: Place, w: StreamCode): string {
  const { threadRows, threadColumns, rowQuads } = w.tuning;
  const name = w.variables.get(s.tensor)!;
  const perLane = sumQuads(s, w);
  const weights = exchangeWeights(parts, w);
  w.exchanged = undefined;
  const placeOf = placeFunction(parts.equation, place, w);
  const { rowsWhole, columnsWhole } = places(w);
  const columns: string[] = [];
  for (let e = 0; e < perLane; e++)
    columns.push(`let columns_${e} = vec4<i32>((${plus('lane_x', e * threadColumns)}) * 4) + vec4<i32>(0, 1, 2, 3);`);
  const add: string[] = [];
  for (let i = 0; i < 4 * rowQuads; i++) {
    const quad = i < 4 ? 'lane_y' : `(${plus('lane_y', (i >> 2) * threadRows)})`;
    const row = clamped(plus(`row_start + ${quad} * 4`, i % 4), rowsWhole, w.kernel.row.extent);
    add.push(`let place_${i} = vec4<i32>(${placeOf}(${[...batchNames(w), row, 'walk'].join(', ')}));`);
    const value = `vec4<f32>(weight_${i >> 2}[${i % 4}])`;
    for (let e = 0; e < perLane; e++)
      add.push(`${name}[${i * perLane + e}] += select(vec4<f32>(), ${value}, columns_${e} == place_${i});`);
  }
  return wgsl`
    {
      ${weights}
      workgroupBarrier();
      ${columns.join('\n')}
      for (var point = 0; point < ${w.emitter.bound(sizesOf(w.tuning).tileColumns)}; point++) {
        let walk = ${clamped('walk_start + point', columnsWhole, w.kernel.walk.extent)};
        ${weightsAt('point', w)}
        ${add.join('\n')}
      }
      workgroupBarrier();
    }
  `;
}

/** `fn place_of(b, h, t, u)`: the column that an element of a tile is for. */
function placeFunction(equation: Equation, { at }: Place, w: StreamCode): string {
  const { emitter, axes } = w;
  const name = emitter.global('place_of');
  const [row, walk] = [emitter.fresh('row'), emitter.fresh('column')];
  const more = new Map([
    [axes.row, row],
    [axes.walk, walk],
  ]);
  const scope: Scope = { ...scopeOf(w, equation, more), unguarded: true };
  const parameters = [...batchNames(w), row, walk].map((p) => `${p}: i32`);
  w.functions.push(wgsl`
    fn ${name}(${parameters.join(', ')}) -> i32 {
      return ${integerText(at, scope)};
    }
  `);
  return name;
}

/** What the sum takes of a lane's elements, to workgroup memory: a quad of rows for each column of the walk. */
function exchangeWeights({ equation, left, onTile }: TwoSided, w: StreamCode): string {
  const { threadRows, threadColumns, rowQuads } = w.tuning;
  const { exchangePitch } = sizesOf(w.tuning);
  const weights = w.emitter.fresh('weights');
  const take = `${elementOf(weights, w)} = ${expressionText(left, scopeOf(w, equation))};`;
  const put: string[] = [];
  for (let q = 0; q < rowQuads; q++) {
    for (let j = 0; j < 4; j++) {
      const rows = [0, 1, 2, 3].map((c) => `${weights}[${q * 4 + c}][${j}]`);
      const place = `(${plus('lane_x', j * threadColumns)}) * ${exchangePitch} + ${plus('lane_y', q * threadRows)}`;
      put.push(`scratch[${place}] = vec4<f32>(${rows.join(', ')});`);
    }
  }
  return wgsl`
    var ${weights} = array<vec4<f32>, ${quadsOfLane(w)}>();
    ${overElements(w, guarded(masks(w, equation, onTile), take))}
    workgroupBarrier();
    ${put.join('\n')}
  `;
}

/** What a lane's rows have at a point of the walk: `weight_0`, of its first four rows, and on. */
function weightsAt(point: string, w: StreamCode): string {
  const { threadRows, rowQuads } = w.tuning;
  const { exchangePitch } = sizesOf(w.tuning);
  return Array.from(
    { length: rowQuads },
    (_, q) => `let weight_${q} = scratch[${point} * ${exchangePitch} + ${plus('lane_y', q * threadRows)}];`,
  ).join('\n');
}

/** One side to workgroup memory, `quads` at each point: what was read ahead, else from where it lies; of levels the columns that count. */
function stageSide({ sum, value, staged, at, most, ahead }: Side, quads: number, w: StreamCode): string {
  const ofColumns = `vec4<i32>(quad * 4) + vec4<i32>(0, 1, 2, 3) < vec4<i32>(${most})`;
  // A row beyond the last one has a tile's elements too, those of the last, which must not count again.
  const ofRows =
    sum.kind === 'across' && !places(w).rowsWhole
      ? `row_start + from_point + point < ${w.kernel.row.extent}`
      : undefined;
  const counts = most === undefined ? ofRows : ofColumns;
  return overLanes(w, staged.depth * staged.quads, (index, turn) => {
    const quad = ahead?.[turn] ?? value;
    return [
      ...placeInColumns(staged, index),
      ...(ahead === undefined ? [placeOfPoint(sum, 'from_point', 'walk_start', w)] : []),
      `scratch[${w.exchangeQuads + at} + point * ${quads} + quad] = ${counts === undefined ? quad : `select(vec4<f32>(), ${quad}, ${counts})`};`,
    ];
  });
}

/** Reads what a side stages from point `from` on. */
const readSide = ({ sum, value, staged, ahead }: Side, from: string, walk: string, w: StreamCode): string =>
  overLanes(w, staged.depth * staged.quads, (index, turn) => [
    ...placeInColumns(staged, index),
    placeOfPoint(sum, from, walk, w),
    `${ahead![turn]} = ${value};`,
  ]);

/** Which quad of columns, at which point, the piece of work `index` is. */
function placeInColumns({ quads }: Staged, index: string): readonly string[] {
  return [`let quad = ${index} % ${quads};`, `let point = ${index} / ${quads};`];
}

/** The point's place along the walk, or across of the rows, of those staged from `from` on. */
function placeOfPoint({ kind }: StreamStatement, from: string, walk: string, w: StreamCode): string {
  const { rowsWhole, columnsWhole } = places(w);
  const { row, walk: along } = w.kernel;
  const [start, isWhole, extent] =
    kind === 'across' ? ['row_start', rowsWhole, row.extent] : [walk, columnsWhole, along.extent];
  return `let place = ${clamped(from === '0' ? `${start} + point` : `${start} + ${from} + point`, isWhole, extent)};`;
}

/** The staged points of the walk: a lane's rows times its quads of columns, of levels (`most`) those that count. */
function multiplyColumns(s: StreamStatement, staged: Staged, w: StreamCode, most?: string): string {
  const { firstQuad, quads, depth } = staged;
  const { threadColumns } = w.tuning;
  const perLane = sumQuads(s, w);
  const weights = weightsAt('(from_point + point)', w);
  const over = (text: string): string => loopOver('point', depth, [weights, text].join('\n'), w);
  const texts: string[] = [];
  // Beyond the last quad of all lies something else, which is added to sums that nobody stores.
  const isToTheEnd = firstQuad + quads === Math.ceil(staged.columns / 4);
  for (let e = 0; e < perLane; e++) {
    const quad = plus('lane_x', e * threadColumns);
    const guards: string[] = [];
    if (e * threadColumns < firstQuad) guards.push(`${quad} >= ${firstQuad}`);
    if (!isToTheEnd && (e + 1) * threadColumns > firstQuad + quads) guards.push(`${quad} < ${firstQuad + quads}`);
    if (most !== undefined) guards.push(`${e === 0 ? quad : `(${quad})`} * 4 < ${most}`);
    const text = multiplyQuad(s, e, staged, w).join('\n');
    if (perLane === 1) return guarded(guards, over(text));
    texts.push(guards.length === 0 ? `{\n${indent(text)}\n}` : guarded(guards, text));
  }
  return over(texts.join('\n'));
}

/** A lane's e-th quad of columns at one point; `near`: of each block of rows only those that count. */
function multiplyQuad(s: StreamStatement, e: number, { firstQuad, quads }: Staged, w: StreamCode, near = false) {
  const { threadColumns, rowQuads } = w.tuning;
  const name = w.variables.get(s.tensor)!;
  const perLane = sumQuads(s, w);
  const quad = plus(plus('lane_x', e * threadColumns), -firstQuad);
  const lines = [`let summed = scratch[${w.exchangeQuads} + point * ${quads} + ${quad}];`];
  for (let q = 0; near && q < rowQuads; q++)
    lines.push(`let summed_${q} = select(vec4<f32>(), summed, walk - first_${q} < blocks);`);
  for (let i = 0; i < 4 * rowQuads; i++)
    lines.push(`${name}[${i * perLane + e}] += weight_${i >> 2}[${i % 4}] * summed${near ? `_${i >> 2}` : ''};`);
  return lines;
}

/** The same of levels: where not all of the tile's elements have the same columns, each is asked for its own. */
function multiplyLevels(s: StreamStatement, staged: Staged, levels: Levels, w: StreamCode): string {
  const { most, least } = levelNames(levels, w);
  const walk = 'let walk = vec4<u32>(u32(walk_start + from_point + point));';
  const perLane = sumQuads(s, w);
  const near = Array.from({ length: perLane }, (_, e) => {
    const lines = [weightsAt('(from_point + point)', w), walk, ...multiplyQuad(s, e, staged, w, true)];
    const products = loopOver('point', staged.depth, lines.join('\n'), w);
    const { threadColumns } = w.tuning;
    const isWhole = (e + 1) * threadColumns <= staged.quads;
    const guards = isWhole ? [] : [`${plus('lane_x', e * threadColumns)} < ${staged.quads}`];
    const text = [blocksOfRows(levels, e, w), products].join('\n');
    return perLane === 1 || !isWhole ? guarded(guards, text) : `{\n${indent(text)}\n}`;
  });
  return wgsl`
    if (${least} < ${most}) {
      ${near.join('\n')}
    } else {
      ${multiplyColumns(s, staged, w, most)}
    }
  `;
}
