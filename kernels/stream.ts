/**
 * Streams: rows made from tensors of row × walk that are computed tile by tile and never stored, such as attention of any score.
 *
 *   S[t, u] = Σ_r q[t, r]·k[u, r]        a workgroup keeps 64 rows t and goes along u in tiles of 64:
 *   m[t]    = max_u S[t, u]                a tile of S from two staged slabs, as a contraction makes one;
 *   l[t]    = Σ_u exp(S - m[t])            what was summed up so far rescaled to the new maximum;
 *   y[t, e] = Σ_u exp(S - m[t])·v[u, e]    the tile through workgroup memory into a second product.
 *
 * Every lane holds 4·rowQuads rows and 4 columns of each tile: rows `4·y … 4·y + 3` of its quad, columns x, x + X, x + 2X, x + 3X, so that
 * what it stores to workgroup memory and reads of it lies side by side. Results are of one order: same bits every run.
 *
 * The trap: all lanes meet every barrier, so rows and columns beyond the last are worked on too, at clamped places; what a column
 * beyond the last would add is left out by the mask of each result, and a row beyond it is not stored.
 */
import { leastStep } from '../compiler/ir/affine.ts';
import { load, loads, negate, product, sum, unary } from '../compiler/ir/expression.ts';
import { multiplyAddsOf } from '../compiler/ir/multiply-adds.ts';
import type { Affine, Constraint, Equation, Expression, Load } from '../compiler/ir/program.ts';
import { elementCount } from '../compiler/ir/program.ts';
import { affineText, constraintText } from './address.ts';
import type { Emitter } from './emitter.ts';
import type { KernelBody, StreamKernel, StreamStatement } from './kernel.ts';
import { coordinate, flattenLoads, strides } from './linear.ts';
import { expressionText } from './scalar.ts';
import type { Scope } from './scope.ts';
import {
  asProduct,
  asSum,
  columnDimensions,
  columnsOf,
  ownAxes,
  type RowTile,
  type StreamAxes,
  streamAxes,
  type TwoSided,
  tilesOf,
  touches,
  walkRange,
} from './stream-shape.ts';
import { type StreamTuning, stagedQuads } from './stream-tuning.ts';
import { shuffledLanes, type Target } from './target.ts';
import { f32Literal, guarded, indent, plus, wgsl } from './wgsl.ts';

/** What the parts of one stream's code share. */
interface StreamCode {
  readonly kernel: StreamKernel;
  readonly axes: StreamAxes;
  readonly emitter: Emitter;
  readonly tuning: StreamTuning;
  /** WGSL of the kernel's own axes. */
  readonly names: ReadonlyMap<number, string>;
  readonly tiles: ReadonlySet<string>;
  /** Variables: tiles and sums are arrays of vec4 (a row, four columns), what a row has is an array of vec4 of four rows. */
  readonly variables: ReadonlyMap<string, string>;
  readonly rowTile: RowTile;
  readonly columnTile: RowTile;
  readonly shuffles: boolean;
  /** Functions written so far, and the names of those that reduce over the lanes of a row. */
  readonly functions: string[];
  readonly reducers: Map<string, string>;
  /** Quads of workgroup memory: slabs or an exchanged tile, and behind them a sum's right side. */
  readonly exchangeQuads: number;
  stagedQuads: number;
}

const sizesOf = ({ threadRows, threadColumns, rowQuads }: StreamTuning) => ({
  threads: threadRows * threadColumns,
  tileRows: 4 * rowQuads * threadRows,
  tileColumns: 4 * threadColumns,
  /** Quads of rows, and one more, so that neighbours lie in other banks. */
  pitch: rowQuads * threadRows + 1,
});

export function emitStream(kernel: StreamKernel, emitter: Emitter, target: Target, tuning: StreamTuning): KernelBody {
  const axes = streamAxes(kernel);
  const { threads, tileRows, tileColumns, pitch } = sizesOf(tuning);
  const { batch, outer, row, walk } = kernel;
  const names = new Map<number, string>();
  [...batch, ...outer, row, walk].forEach(({ name, extent }, axis) => {
    names.set(axis, extent === 1 ? '0' : emitter.named(name));
  });
  const slabs = tuning.depth * (pitch + tuning.threadColumns);
  const w: StreamCode = {
    kernel,
    axes,
    emitter,
    tuning,
    names,
    tiles: tilesOf(kernel),
    variables: new Map(kernel.statements.map((s) => [s.tensor, emitter.named(s.tensor, 'value')])),
    rowTile: { start: 'row_start', rows: tileRows },
    columnTile: { start: 'walk_start', rows: tileColumns },
    shuffles: tuning.threadColumns <= shuffledLanes(target),
    functions: [],
    reducers: new Map(),
    exchangeQuads: Math.max(slabs, tileColumns * pitch, threads),
    stagedQuads: 0,
  };
  const batches = elementCount(batch.map(({ extent }) => extent));
  const tiles = Math.ceil(row.extent / tileRows);
  const bound = emitter.bound(walk.extent);
  const range = walkRange(kernel, w.rowTile, bound);
  const before = kernel.statements.flatMap((s) => beginResult(s, w));
  const steps = kernel.statements.map((s) => step(s, w)).filter((text) => text !== '');
  const after = finish(w);
  const number = batches === 1 ? 'work' : `work / ${batches}`;
  const rowNumber = tiles === 1 ? '0' : range.grows ? `${tiles - 1} - ${number}` : number;
  const walkLoop = wgsl`
    for (var walk_start = walk_from / ${tileColumns} * ${tileColumns}; walk_start < walk_to; walk_start += ${tileColumns}) {
      ${steps.join('\n')}
    }
  `;
  const loops = outer.reduceRight((text, { extent }, d) => {
    const name = names.get(batch.length + d)!;
    return name === '0'
      ? text
      : `for (var ${name} = 0; ${name} < ${emitter.bound(extent)}; ${name}++) {\n${indent(text)}\n}`;
  }, walkLoop);
  const body = wgsl`
    let work = i32(group);
    ${batch
      .map(({ extent }, d) =>
        extent === 1
          ? ''
          : `let ${names.get(d)} = ${coordinate(
              batches === 1 ? '0' : `(work % ${batches})`,
              batch.map((a) => a.extent),
              d,
            )};`,
      )
      .filter((l) => l !== '')
      .join('\n')}
    let lane_x = i32(lane) % ${tuning.threadColumns};
    let lane_y = i32(lane) / ${tuning.threadColumns};
    let row_start = ${tiles === 1 ? '0' : `(${rowNumber}) * ${tileRows}`};
    let walk_from = ${range.from};
    let walk_to = ${range.to};
    ${before.join('\n')}
    ${loops}
    ${after}
  `;
  const usesShuffles = w.shuffles && kernel.statements.some((s) => s.kind === 'extreme' || s.kind === 'total');
  return {
    functions: w.functions,
    sharedQuads: w.exchangeQuads + w.stagedQuads,
    workgroupSize: threads,
    groups: batches * tiles,
    body: [emitter.head(), body].filter((text) => text !== '').join('\n'),
    tuning: { ...tuning },
    enables: usesShuffles ? ['subgroups'] : [],
    multiplyAdds: kernel.statements.flatMap((s) => s.equations).reduce((n, e) => n + multiplyAddsOf(e), 0),
  };
}

const rowsOfLane = ({ tuning }: StreamCode): number => 4 * tuning.rowQuads;

/** WGSL of a lane's `own_row`-th row, of its `own_column`-th column, and of the same kept inside. */
function places({ kernel, tuning, rowTile, columnTile }: StreamCode) {
  const { threadRows, threadColumns, rowQuads } = tuning;
  const quad = rowQuads === 1 ? 'lane_y' : `(own_row / 4 * ${threadRows} + lane_y)`;
  const row = `row_start + ${quad} * 4 + ${rowQuads === 1 ? 'own_row' : 'own_row % 4'}`;
  const column = `walk_start + own_column * ${threadColumns} + lane_x`;
  const isWhole = (size: number, tile: RowTile): boolean => size % tile.rows === 0;
  return {
    row,
    column,
    rowsWhole: isWhole(kernel.row.extent, rowTile),
    columnsWhole: isWhole(kernel.walk.extent, columnTile),
  };
}

const clamped = (text: string, isWhole: boolean, size: number): string =>
  isWhole ? text : `min(${text}, ${size - 1})`;

/** Loops over the rows of a lane, and over its columns, which bind the axes; `body` may speak of `own_row` and `own_column`. */
function overRows(w: StreamCode, body: string): string {
  const { row, rowsWhole } = places(w);
  const name = w.names.get(w.axes.row)!;
  return wgsl`
    for (var own_row = 0; own_row < ${w.emitter.bound(rowsOfLane(w))}; own_row++) {
      ${name === '0' ? '' : `let ${name} = ${clamped(row, rowsWhole, w.kernel.row.extent)};`}
      ${body}
    }
  `;
}

function overElements(w: StreamCode, body: string): string {
  const { column, columnsWhole } = places(w);
  const name = w.names.get(w.axes.walk)!;
  return overRows(
    w,
    wgsl`
    for (var own_column = 0; own_column < ${w.emitter.bound(4)}; own_column++) {
      ${columnsWhole ? '' : `let column = ${column};`}
      ${name === '0' ? '' : `let ${name} = ${columnsWhole ? column : `min(column, ${w.kernel.walk.extent - 1})`};`}
      ${body}
    }
  `,
  );
}

/** Where an equation is written at an element of a tile, or at a row. */
function scopeOf(w: StreamCode, equation: Equation, more: ReadonlyMap<number, string> = new Map()): Scope {
  const { emitter, names, variables, kernel } = w;
  const kinds = new Map(kernel.statements.map((s) => [s.tensor, s.kind]));
  return {
    emitter,
    axes: equation.axes,
    axis: (axis) => (equation.axes[axis].extent === 1 ? '0' : (more.get(axis) ?? names.get(axis)!)),
    held: (l: Load) => {
      const kind = kinds.get(l.tensor);
      const name = variables.get(l.tensor);
      if (kind === undefined || name === undefined || kind === 'sum') return undefined;
      return kind === 'tile' || kind === 'map' ? `${name}[own_row][own_column]` : `${name}[own_row / 4][own_row % 4]`;
    },
  };
}

/** The equation with flat loads; what the kernel holds is told by its name alone. */
const readyOf = ({ emitter }: StreamCode, equation: Equation): Equation =>
  flattenLoads(equation, (name) => emitter.layout(name));

/** What holds of an element for it to count: its column exists, and it lies in the domain. */
function masks(w: StreamCode, equation: Equation, constraints: readonly Constraint[]): readonly string[] {
  const { columnsWhole } = places(w);
  const scope = scopeOf(w, equation);
  return [
    ...(columnsWhole ? [] : [`column < ${w.kernel.walk.extent}`]),
    ...constraints.map((c) => constraintText(c, scope)),
  ];
}

// What is kept through the walk.

function beginResult(s: StreamStatement, w: StreamCode): readonly string[] {
  const { rowQuads, threadColumns } = w.tuning;
  const name = w.variables.get(s.tensor)!;
  const perRow = (value: string): string => {
    const values = Array.from({ length: rowQuads }, () => `vec4<f32>(${value})`);
    return `var ${name} = array<vec4<f32>, ${rowQuads}>(${values.join(', ')});`;
  };
  switch (s.kind) {
    case 'tile':
    case 'map':
      return [];
    case 'extreme': {
      w.emitter.use('infinity_f32');
      const none = s.equations[0].reducer === 'max' ? '-infinity_f32()' : 'infinity_f32()';
      return [perRow(none), `var ${name}_found = array<vec4<f32>, ${rowQuads}>();`];
    }
    case 'total':
    case 'row':
      return [perRow('0.0')];
    case 'sum': {
      const quads = sumQuads(s, w);
      return [
        `var ${name} = array<vec4<f32>, ${rowsOfLane(w) * quads}>(); // ${threadColumns * quads * 4} columns in all`,
      ];
    }
    default:
      return s.kind satisfies never;
  }
}

function sumQuads(s: StreamStatement, w: StreamCode): number {
  const columns = columnsOf(s, w.emitter.layout(s.tensor).shape, w.axes);
  return Math.ceil(columns / (4 * w.tuning.threadColumns));
}

// One tile of the walk.

function step(s: StreamStatement, w: StreamCode): string {
  switch (s.kind) {
    case 'tile':
      return tileStep(s, w);
    case 'map':
      return mapStep(s, w);
    case 'extreme':
      return extremeStep(s, w);
    case 'total':
      return totalStep(s, w);
    case 'row':
      return isFollowed(s, w) ? followedStep(s, w) : '';
    case 'sum':
      return sumStep(s, w);
    default:
      return s.kind satisfies never;
  }
}

const isFollowed = (s: StreamStatement, { kernel }: StreamCode): boolean =>
  kernel.statements.some(({ follows }) => follows.includes(s.tensor));

function tileStep(s: StreamStatement, w: StreamCode): string {
  const name = w.variables.get(s.tensor)!;
  const lines = [`var ${name} = array<vec4<f32>, ${rowsOfLane(w)}>();`];
  for (const given of s.equations) {
    const equation = readyOf(w, given);
    const parts = asProduct(equation, w.axes, w.tiles);
    if (parts !== undefined) lines.push(productStage(parts, name, w));
    else lines.push(elementStage(equation, name, w));
  }
  return lines.join('\n');
}

/** Like a tile's, and stored: nothing else of the kernel reads it. */
function mapStep(s: StreamStatement, w: StreamCode): string {
  const { row, rowsWhole } = places(w);
  const exists = [...(rowsWhole ? [] : [`${row} < ${w.kernel.row.extent}`]), ...masks(w, s.equations[0], [])];
  const store = `${w.emitter.writes(s.tensor, storeText(s, s.equations[0], new Map(), w))} = ${w.variables.get(s.tensor)}[own_row][own_column];`;
  return [tileStep(s, w), overElements(w, guarded(exists, store))].join('\n');
}

/** A term computed element by element, whatever it is. */
function elementStage(equation: Equation, name: string, w: StreamCode): string {
  const own = ownAxes(equation, w.axes);
  const more = new Map(own.map((axis) => [axis, w.emitter.named(equation.axes[axis].name)]));
  const scope = scopeOf(w, equation, more);
  const guards = [...equation.domain].map((c) => constraintText(c, scope));
  const value = expressionText(equation.value, scope);
  const add = guarded(guards, `${name}[own_row][own_column] += ${value};`);
  const loops = own.reduceRight((text, axis) => {
    const index = more.get(axis)!;
    return `for (var ${index} = 0; ${index} < ${w.emitter.bound(equation.axes[axis].extent)}; ${index}++) {\n${indent(text)}\n}`;
  }, add);
  return overElements(w, loops);
}

/** A term from two slabs, which go through workgroup memory `depth` steps at a time. */
function productStage(p: TwoSided, name: string, w: StreamCode): string {
  const { kernel, tuning, emitter } = w;
  const { threadRows, threadColumns, rowQuads } = tuning;
  const { pitch, threads } = sizesOf(tuning);
  const { equation } = p;
  const steps = elementCount(p.own.map((axis) => equation.axes[axis].extent));
  const depth = Math.min(tuning.depth, steps);
  const left = operandFunction('left', p.left, p.onLeft, p, w.axes.row, w);
  const right = operandFunction('right', p.right, p.onRight, p, w.axes.walk, w);
  const slabRight = depth * pitch;
  const rowAt = (q: string, c: number): string =>
    clamped(plus(`row_start + ${q} * 4`, c), places(w).rowsWhole, kernel.row.extent);
  const columnAt = (q: string, c: number): string =>
    clamped(plus(`walk_start + ${q}`, c * threadColumns), places(w).columnsWhole, kernel.walk.extent);
  const isExact = steps % depth === 0;
  const stage = (
    quads: number,
    along: boolean,
    at: (k: string, q: string) => string,
    call: (q: string, k: string) => readonly string[],
  ): string => {
    const lines: string[] = [];
    for (let first = 0; first < quads * depth; first += threads) {
      const index = first === 0 ? 'i32(lane)' : `(i32(lane) + ${first})`;
      const k = along ? `${index} / ${quads}` : `${index} % ${depth}`;
      const q = along ? `${index} % ${quads}` : `${index} / ${depth}`;
      const value = `vec4<f32>(${call('quad', 'from_k + at_k').join(', ')})`;
      const put = `${at('at_k', 'quad')} = ${isExact ? value : 'staged'};`;
      const text = [`let at_k = ${k};`, `let quad = ${q};`];
      if (!isExact) text.push('var staged = vec4<f32>();', `if (from_k + at_k < ${steps}) { staged = ${value}; }`);
      text.push(put);
      const all =
        quads * depth - first < threads
          ? [`if (${index} < ${quads * depth}) {`, ...text.map((l) => `  ${l}`), '}']
          : ['{', ...text.map((l) => `  ${l}`), '}'];
      lines.push(all.join('\n'));
    }
    return lines.join('\n');
  };
  const four = [0, 1, 2, 3];
  const stageLeft = stage(
    rowQuads * threadRows,
    isContiguous(p.left, w.axes.row, p.own),
    (k, q) => `scratch[${k} * ${pitch} + ${q}]`,
    (q, k) => four.map((c) => `${left}(${[...batchNames(w), rowAt(q, c), k].join(', ')})`),
  );
  const stageRight = stage(
    threadColumns,
    isContiguous(p.right, w.axes.walk, p.own),
    (k, q) => `scratch[${slabRight} + ${k} * ${threadColumns} + ${q}]`,
    (q, k) => four.map((c) => `${right}(${[...batchNames(w), columnAt(q, c), k].join(', ')})`),
  );
  const multiply: string[] = [];
  for (let q = 0; q < rowQuads; q++) {
    multiply.push(`let left_${q} = scratch[at_k * ${pitch} + ${plus('lane_y', q * threadRows)}];`);
  }
  multiply.push(`let right = scratch[${slabRight} + at_k * ${threadColumns} + lane_x];`);
  const isPlain = p.onTile.length === 0 && p.scale.kind === 'constant';
  const target = isPlain && p.scale.kind === 'constant' && p.scale.value === 1 ? name : emitter.fresh('part');
  for (let i = 0; i < 4 * rowQuads; i++) multiply.push(`${target}[${i}] += left_${i >> 2}[${i % 4}] * right;`);
  const loop = wgsl`
    for (var from_k = 0; from_k < ${steps}; from_k += ${depth}) {
      workgroupBarrier();
      ${stageLeft}
      ${stageRight}
      workgroupBarrier();
      for (var at_k = 0; at_k < ${emitter.bound(depth)}; at_k++) {
        ${multiply.join('\n')}
      }
    }
  `;
  if (target === name) return loop;
  const begin = `var ${target} = array<vec4<f32>, ${rowsOfLane(w)}>();`;
  if (isPlain && p.scale.kind === 'constant') {
    const add = `for (var own_row = 0; own_row < ${emitter.bound(rowsOfLane(w))}; own_row++) { ${name}[own_row] += ${f32Literal(p.scale.value)} * ${target}[own_row]; }`;
    return `{\n${indent([begin, loop, add].join('\n'))}\n}`;
  }
  const scope = scopeOf(w, equation);
  const part = load(name, []);
  const scaled = expressionText(product([p.scale, part]), {
    ...scope,
    known: new Map([[part, `${target}[own_row][own_column]`]]),
  });
  const add = overElements(
    w,
    guarded(
      p.onTile.map((c) => constraintText(c, scope)),
      `${name}[own_row][own_column] += ${scaled};`,
    ),
  );
  const skip = touches(p.onTile, kernel, w.rowTile, w.columnTile);
  return `${skip.length === 0 ? '' : `if (${skip.join(' && ')}) `}{\n${indent([begin, loop, add].join('\n'))}\n}`;
}

const batchNames = (w: StreamCode): readonly string[] =>
  [...w.names].filter(([axis, name]) => axis < w.axes.row && name !== '0').map(([, name]) => name);

/** `fn left_S(b, h, t, k)`: one element of a side, 0 outside its domain. */
function operandFunction(
  side: string,
  value: Expression,
  constraints: readonly Constraint[],
  { equation, own }: TwoSided,
  position: number,
  w: StreamCode,
): string {
  const { emitter } = w;
  const name = emitter.global(`${side}_of_tile`);
  const k = emitter.fresh('at');
  const place = emitter.fresh(position === w.axes.row ? 'row' : 'column');
  const more = new Map<number, string>([[position, place]]);
  const lines: string[] = [];
  const extents = own.map((axis) => equation.axes[axis].extent);
  own.forEach((axis, d) => {
    if (own.length === 1) more.set(axis, k);
    else {
      const index = emitter.named(equation.axes[axis].name);
      lines.push(`let ${index} = ${coordinate(k, extents, d)};`);
      more.set(axis, index);
    }
  });
  const scope: Scope = { ...scopeOf(w, equation, more), unguarded: true };
  const conditions = constraints.map((c) => constraintText(c, scope));
  sideFunction(name, [place, k], lines, conditions, expressionText(value, scope), w);
  return name;
}

/** A function of the batch and two places more: a value where the conditions hold, else 0. */
function sideFunction(
  name: string,
  places: readonly [string, string],
  lines: readonly string[],
  conditions: readonly string[],
  value: string,
  w: StreamCode,
): void {
  const body =
    conditions.length === 0 ? `return ${value};` : `if (${conditions.join(' && ')}) { return ${value}; }\nreturn 0.0;`;
  const parameters = [...batchNames(w), ...places].map((p) => `${p}: i32`);
  w.functions.push(wgsl`
    fn ${name}(${parameters.join(', ')}) -> f32 {
      ${lines.join('\n')}
      ${body}
    }
  `);
}

/** Whether memory is contiguous along a position rather than along the equation's own axes. */
function isContiguous(operand: Expression, position: number, own: readonly number[]): boolean {
  const flat = loads(operand).find((l) => l.indices.length > 0)?.indices[0];
  if (flat?.kind !== 'affine') return true;
  return leastStep(flat, [position]) <= leastStep(flat, own);
}

// Rows.

/** `fn row_max(values, lane)`: a reduction over the lanes that share rows, four rows at once. */
function rowFunction(operator: 'sum' | 'max' | 'min', w: StreamCode): string {
  const known = w.reducers.get(operator);
  if (known !== undefined) return known;
  const name = w.emitter.global(`row_${operator}`);
  w.reducers.set(operator, name);
  const X = w.tuning.threadColumns;
  if (operator !== 'sum') w.emitter.use(`${operator}_f32`);
  const joined = (a: string, b: string): string =>
    operator === 'sum'
      ? `${a} + ${b}`
      : `vec4<f32>(${['x', 'y', 'z', 'w'].map((c) => `${operator}_f32(${a}.${c}, ${b}.${c})`).join(', ')})`;
  const lines: string[] = [];
  if (w.shuffles) {
    for (let width = X / 2; width >= 1; width /= 2) {
      lines.push('{', `  let other = subgroupShuffleXor(v, ${width}u);`, `  v = ${joined('v', 'other')};`, '}');
    }
  } else {
    lines.push(
      'workgroupBarrier();',
      'scratch[lane] = v;',
      'workgroupBarrier();',
      `let first = lane - lane % ${X}u;`,
      'v = scratch[first];',
      `for (var other = 1u; other < ${X}u; other++) {`,
      '  let next = scratch[first + other];',
      `  v = ${joined('v', 'next')};`,
      '}',
      'workgroupBarrier();',
    );
  }
  w.functions.push(wgsl`
    fn ${name}(values: vec4<f32>, lane: u32) -> vec4<f32> {
      var v = values;
      ${lines.join('\n')}
      return v;
    }
  `);
  return name;
}

function overQuads(w: StreamCode, body: (q: number) => string): string {
  return Array.from({ length: w.tuning.rowQuads }, (_, q) => body(q)).join('\n');
}

function extremeStep(s: StreamStatement, w: StreamCode): string {
  const equation = readyOf(w, s.equations[0]);
  const name = w.variables.get(s.tensor)!;
  const operator = equation.reducer === 'min' ? 'min' : 'max';
  const scope = scopeOf(w, equation);
  w.emitter.use(`${operator}_f32`);
  const take = [
    `${name}[own_row / 4][own_row % 4] = ${operator}_f32(${name}[own_row / 4][own_row % 4], ${expressionText(equation.value, scope)});`,
    `${name}_found[own_row / 4][own_row % 4] = 1.0;`,
  ].join('\n');
  const call = rowFunction(operator, w);
  return [
    overElements(w, guarded(masks(w, equation, equation.domain), take)),
    overQuads(w, (q) => `${name}[${q}] = ${call}(${name}[${q}], lane);`),
  ].join('\n');
}

/** A row tensor that moves with an extreme: what follows it is rescaled. */
function followedStep(s: StreamStatement, w: StreamCode): string {
  const equation = readyOf(w, s.equations[0]);
  const name = w.variables.get(s.tensor)!;
  const scope = scopeOf(w, equation);
  const [before, after] = [load(s.tensor, []), load(s.tensor, [])];
  const known = new Map([
    [before, `${name}[own_row / 4][own_row % 4]`],
    [after, 'moved'],
  ]);
  const factor = expressionText(unary('exp', sum([before, negate(after)])), { ...scope, known });
  const scaled = w.kernel.statements
    .filter(({ follows }) => follows.includes(s.tensor))
    .map((follower) => {
      const variable = w.variables.get(follower.tensor)!;
      if (follower.kind === 'total') return `${variable}[own_row / 4][own_row % 4] *= scale;`;
      const quads = sumQuads(follower, w);
      if (quads === 1) return `${variable}[own_row] *= scale;`;
      return `for (var quad = 0; quad < ${w.emitter.bound(quads)}; quad++) { ${variable}[own_row * ${quads} + quad] *= scale; }`;
    });
  return overRows(
    w,
    wgsl`
    let moved = ${expressionText(equation.value, scope)};
    let scale = ${factor};
    ${scaled.join('\n')}
    ${name}[own_row / 4][own_row % 4] = moved;
  `,
  );
}

function totalStep(s: StreamStatement, w: StreamCode): string {
  const name = w.variables.get(s.tensor)!;
  return s.equations
    .map((given) => {
      const equation = readyOf(w, given);
      const text = `${name}[own_row / 4][own_row % 4] += ${expressionText(equation.value, scopeOf(w, equation))};`;
      return overElements(w, guarded(masks(w, equation, equation.domain), text));
    })
    .join('\n');
}

// Sums.

function sumStep(s: StreamStatement, w: StreamCode): string {
  return s.equations.map((equation) => sumStage(s, readyOf(w, equation), w)).join('\n');
}

function sumStage(s: StreamStatement, equation: Equation, w: StreamCode): string {
  const { tuning, emitter, kernel } = w;
  const { threadRows, threadColumns, rowQuads } = tuning;
  const { pitch, threads, tileColumns } = sizesOf(tuning);
  const parts = asSum(equation, w.axes, w.tiles);
  if (parts === undefined) throw new Error(`${s.tensor} does not part into a tile and what is summed with it`);
  const name = w.variables.get(s.tensor)!;
  const columns = columnsOf(s, emitter.layout(s.tensor).shape, w.axes);
  const perLane = sumQuads(s, w);
  const { from, to } = columnSpan(s, equation, w);
  const [firstQuad, quads] = [Math.floor(from / 4), Math.ceil(to / 4) - Math.floor(from / 4)];
  const most = Math.max(1, 2 ** Math.floor(Math.log2(Math.max(1, stagedQuads / quads))));
  const depth = Math.min(tileColumns, tuning.depth, most);
  w.stagedQuads = Math.max(w.stagedQuads, depth * quads);
  const right = columnFunction(s, parts, w);
  const weight = emitter.fresh('weights');
  const scope = scopeOf(w, equation);
  const value = expressionText(parts.left, scope);
  const conditions = masks(w, equation, parts.onTile);
  const held = wgsl`
    var ${weight} = array<vec4<f32>, ${rowsOfLane(w)}>();
    ${overElements(w, guarded(conditions, `${weight}[own_row][own_column] = ${value};`))}
    workgroupBarrier();
  `;
  const put: string[] = [];
  for (let q = 0; q < rowQuads; q++) {
    for (let j = 0; j < 4; j++) {
      const rows = [0, 1, 2, 3].map((c) => `${weight}[${q * 4 + c}][${j}]`);
      put.push(
        `scratch[(${plus('lane_x', j * threadColumns)}) * ${pitch} + ${plus('lane_y', q * threadRows)}] = vec4<f32>(${rows.join(', ')});`,
      );
    }
  }
  const stage: string[] = [];
  for (let first = 0; first < depth * quads; first += threads) {
    const lane = first === 0 ? 'i32(lane)' : `(i32(lane) + ${first})`;
    const walk = clamped('walk_start + from_point + point', places(w).columnsWhole, kernel.walk.extent);
    const values = [0, 1, 2, 3].map((c) => {
      const e = plus('quad * 4', c + firstQuad * 4);
      const inside = (firstQuad + quads) * 4 <= columns ? e : `min(${e}, ${columns - 1})`;
      return `${right}(${[...batchNames(w), 'place', inside].join(', ')})`;
    });
    const text = [
      `let quad = ${lane} % ${quads};`,
      `let point = ${lane} / ${quads};`,
      `let place = ${walk};`,
      `scratch[${w.exchangeQuads} + point * ${quads} + quad] = vec4<f32>(${values.join(', ')});`,
    ];
    const isPart = depth * quads - first < threads;
    stage.push(`${isPart ? `if (${lane} < ${depth * quads}) ` : ''}{\n${indent(text.join('\n'))}\n}`);
  }
  const multiply: string[] = [];
  for (let q = 0; q < rowQuads; q++)
    multiply.push(`let weight_${q} = scratch[(from_point + point) * ${pitch} + ${plus('lane_y', q * threadRows)}];`);
  for (let e = 0; e < perLane; e++) {
    const quad = e === 0 ? 'lane_x' : `lane_x + ${e * threadColumns}`;
    const at = firstQuad === 0 ? quad : `${quad} - ${firstQuad}`;
    const lines = [`let summed = scratch[${w.exchangeQuads} + point * ${quads} + ${at}];`];
    for (let i = 0; i < 4 * rowQuads; i++)
      lines.push(`${name}[${i * perLane + e}] += weight_${i >> 2}[${i % 4}] * summed;`);
    const guards: string[] = [];
    if (e * threadColumns < firstQuad) guards.push(`${quad} >= ${firstQuad}`);
    if ((e + 1) * threadColumns > firstQuad + quads) guards.push(`${quad} < ${firstQuad + quads}`);
    multiply.push(guards.length === 0 ? `{\n${indent(lines.join('\n'))}\n}` : guarded(guards, lines.join('\n')));
  }
  const loop = wgsl`
    {
      ${held}
      ${put.join('\n')}
      for (var from_point = 0; from_point < ${tileColumns}; from_point += ${depth}) {
        ${stage.join('\n')}
        workgroupBarrier();
        for (var point = 0; point < ${emitter.bound(depth)}; point++) {
          ${multiply.join('\n')}
        }
        workgroupBarrier();
      }
    }
  `;
  const skip = touches(
    parts.onTile.filter((c) => c.kind === 'data'),
    kernel,
    w.rowTile,
    w.columnTile,
  );
  return skip.length === 0 ? loop : `if (${skip.join(' && ')}) ${loop}`;
}

/** The columns that an equation adds to: all, or where it has one dimension of them a stretch. */
function columnSpan(
  s: StreamStatement,
  equation: Equation,
  w: StreamCode,
): { readonly from: number; readonly to: number } {
  const { shape } = w.emitter.layout(s.tensor);
  const all = { from: 0, to: columnsOf(s, shape, w.axes) };
  const [only, ...others] = columnDimensions(s, shape, w.axes).filter(({ extent }) => extent > 1);
  if (only === undefined || others.length > 0 || only.base.terms.length > 0) return all;
  const index = equation.store[only.dimension] as Affine;
  const [term, ...more] = index.terms;
  if (more.length > 0) return all;
  if (term === undefined) return { from: index.constant, to: index.constant + 1 };
  return { from: index.constant, to: index.constant + (equation.axes[term.axis].extent - 1) * term.coefficient + 1 };
}

/** `fn right_y(b, h, u, e)`: what a column takes of a point of the walk; 0 for columns that the equation does not add to. */
function columnFunction(s: StreamStatement, p: TwoSided, w: StreamCode): string {
  const { emitter, axes } = w;
  const { equation } = p;
  const name = emitter.global('side_of_walk');
  const { shape } = emitter.layout(s.tensor);
  const dimensions = columnDimensions(s, shape, axes);
  const extents = dimensions.map(({ extent }) => extent);
  const [place, e] = [emitter.fresh('place'), emitter.fresh('element')];
  const more = new Map<number, string>([[axes.walk, place]]);
  const lines: string[] = [];
  const conditions: string[] = [];
  dimensions.forEach(({ dimension, extent }, i) => {
    if (extent === 1) return;
    const at = extents.filter((other) => other > 1).length === 1 ? e : coordinate(e, extents, i);
    const store = equation.store[dimension] as Affine;
    const term = store.terms.find(({ axis }) => axis >= axes.own);
    if (term === undefined) conditions.push(`${at} == ${store.constant}`);
    else {
      const axis = equation.axes[term.axis];
      const isWhole = store.constant === 0 && axis.extent === extent;
      if (isWhole && at === e) more.set(term.axis, e);
      else {
        const own = emitter.named(axis.name);
        lines.push(`let ${own} = ${store.constant === 0 ? at : `${at} - ${store.constant}`};`);
        more.set(term.axis, own);
        if (!isWhole && axis.extent > 1) conditions.push(`${own} >= 0`, `${own} < ${axis.extent}`);
        if (!isWhole && axis.extent === 1) conditions.push(`${own} == 0`);
      }
    }
  });
  const scope: Scope = { ...scopeOf(w, equation, more), unguarded: true };
  conditions.push(...p.onRight.map((c) => constraintText(c, scope)));
  sideFunction(name, [place, e], lines, conditions, expressionText(p.right, scope), w);
  return name;
}

// After the walk.

function finish(w: StreamCode): string {
  const { kernel, emitter, variables } = w;
  const lines: string[] = [];
  for (const s of kernel.statements) {
    const name = variables.get(s.tensor)!;
    if (s.kind === 'total') {
      const call = rowFunction('sum', w);
      lines.push(overQuads(w, (q) => `${name}[${q}] = ${call}(${name}[${q}], lane);`));
      if (s.finish !== undefined) {
        const factor = expressionText(s.finish, scopeOf(w, s.equations[0]));
        lines.push(overRows(w, `${name}[own_row / 4][own_row % 4] *= ${factor};`));
      }
    } else if (s.kind === 'extreme') {
      const call = rowFunction('max', w);
      lines.push(
        overQuads(
          w,
          (q) =>
            `${name}[${q}] = select(vec4<f32>(), ${name}[${q}], ${call}(${name}_found[${q}], lane) > vec4<f32>());`,
        ),
      );
    } else if (s.kind === 'row') {
      const equation = readyOf(w, s.equations[0]);
      lines.push(
        overRows(w, `${name}[own_row / 4][own_row % 4] = ${expressionText(equation.value, scopeOf(w, equation))};`),
      );
    }
  }
  const { row, rowsWhole } = places(w);
  const exists = rowsWhole ? [] : [`${row} < ${kernel.row.extent}`];
  const stores = kernel.statements
    .filter((s) => s.stored && ['extreme', 'total', 'row'].includes(s.kind))
    .map(
      (s) =>
        `${emitter.writes(s.tensor, storeText(s, s.equations[0], new Map(), w))} = ${variables.get(s.tensor)}[own_row / 4][own_row % 4];`,
    );
  if (stores.length > 0) lines.push(overRows(w, guarded(['lane_x == 0', ...exists], stores.join('\n'))));
  for (const s of kernel.statements) if (s.kind === 'sum') lines.push(finishSum(s, exists, w));
  return lines.join('\n');
}

/** The flat element of a statement's tensor; `columns` are names for its column dimensions. */
function storeText(
  s: StreamStatement,
  equation: Equation,
  columns: ReadonlyMap<number, string>,
  w: StreamCode,
): string {
  const { shape } = w.emitter.layout(s.tensor);
  const stride = strides(shape);
  const scope = scopeOf(w, equation);
  const terms = equation.store.flatMap((index, d) => {
    if (shape[d] === 1) return [];
    const at = columns.get(d) ?? affineText(index as Affine, scope);
    const whole = at.includes(' ') && stride[d] > 1 ? `(${at})` : at;
    return at === '0' ? [] : [stride[d] === 1 ? at : `${whole} * ${stride[d]}`];
  });
  return terms.length === 0 ? '0' : terms.join(' + ');
}

function finishSum(s: StreamStatement, exists: readonly string[], w: StreamCode): string {
  const { emitter, tuning, axes } = w;
  const name = w.variables.get(s.tensor)!;
  const { shape } = emitter.layout(s.tensor);
  const dimensions = columnDimensions(s, shape, axes);
  const columns = columnsOf(s, shape, axes);
  const quads = sumQuads(s, w);
  const lines: string[] = [];
  const factor = emitter.fresh('factor');
  if (s.finish !== undefined) lines.push(`let ${factor} = ${expressionText(s.finish, scopeOf(w, s.equations[0]))};`);
  const places = new Map<number, string>();
  const inner: string[] = [];
  const extents = dimensions.map(({ extent }) => extent);
  const isSingle = extents.filter((extent) => extent > 1).length === 1;
  // The columns' dimensions lie behind one another in memory more often than not, else each has its coordinate.
  const scope = scopeOf(w, s.equations[0]);
  dimensions.forEach(({ dimension, extent, base }, i) => {
    if (shape[dimension] === 1) return;
    const own = extent === 1 ? '0' : isSingle ? 'element' : `(${coordinate('element', extents, i)})`;
    places.set(dimension, base.terms.length === 0 ? own : `${affineText(base, scope)} + ${own}`);
  });
  const value = `${name}[own_row${quads === 1 ? '' : ` * ${quads} + quad`}][own_column]${s.finish === undefined ? '' : ` * ${factor}`}`;
  const store = `${emitter.writes(s.tensor, storeText(s, s.equations[0], places, w))} = ${value};`;
  const isExact = columns === quads * 4 * tuning.threadColumns;
  inner.push(`let element = ${quads === 1 ? 'lane_x' : `(lane_x + quad * ${tuning.threadColumns})`} * 4 + own_column;`);
  inner.push(isExact ? store : `if (element < ${columns}) { ${store} }`);
  const overColumns = `for (var own_column = 0; own_column < ${emitter.bound(4)}; own_column++) {\n  ${inner.join('\n  ')}\n}`;
  const overQuads =
    quads === 1
      ? overColumns
      : `for (var quad = 0; quad < ${emitter.bound(quads)}; quad++) {\n${indent(overColumns)}\n}`;
  return overRows(w, guarded(exists, [...lines, overQuads].join('\n')));
}
