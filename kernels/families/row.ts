/**
 * Row kernels: several reductions and maps over the same rows in one dispatch, such as a softmax (largest value, sum, weights) or a
 * layer norm (mean, variance, normalise).
 *
 * A row is worked on by `lanes` invocations, which stride over its points; what a reduction finds is then known to all lanes
 * of the row. One lane a row on a software device, where a barrier costs more than the row. Where memory has four points of a row side by
 * side, a lane takes the four at once. The trap: a later statement may read what an earlier map wrote from other lanes' stores, so a
 * barrier stands between them; no lane may leave early.
 */
import { loads } from '../../compiler/ir/expression.ts';
import { multiplyAddsOf } from '../../compiler/ir/multiply-adds.ts';
import type { Affine, Expression, Reducer } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import type { KernelBody, RowKernel, RowStatement } from '../kernel.ts';
import { affineText, constraintText } from '../parts/address.ts';
import { collapseRow } from '../parts/collapse.ts';
import { hoistInvariants, type Invariants } from '../parts/invariant.ts';
import { coordinate } from '../parts/linear.ts';
import { loopBounds, type Nest, openNest } from '../parts/nest.ts';
import {
  type AcrossLanes,
  type LaneOperator,
  laneReduction,
  partialFunction,
  shuffleFunction,
} from '../parts/reducers.ts';
import { sharedText } from '../parts/repeats.ts';
import { blockedLoop, cutLoop, type Loop, loopText, withoutScale } from '../parts/sums.ts';
import { shuffledLanes, type Target } from '../target.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { flatThreads } from '../wgsl/grid.ts';
import { f32Literal, guarded, indent } from '../wgsl/text.ts';
import { openQuads, type Quad, type QuadLanes, quadPlace, quadText } from './row-quads.ts';

export interface RowTuning {
  /** Invocations that share a row: a power of two, at most `workgroupSize`. */
  readonly lanes: number;
  readonly workgroupSize: number;
  /** Reduce within a subgroup by shuffles instead of through workgroup memory. */
  readonly shuffle: boolean;
  /** A lane takes four points at once, of statements without a domain whose reads come in quads. */
  readonly quads?: boolean;
}

/** Rows at least so many keep a GPU busy with one subgroup each (132 multiprocessors of an H100 take 64 subgroups each). */
const manyRows = 2048;

export function defaultRowTuning(kernel: RowKernel, target: Target): RowTuning {
  const rows = elementCount(kernel.rows);
  if (target.class === 'cpu') return { lanes: 1, workgroupSize: cpuWorkgroup(rows), shuffle: false };
  const points = Math.max(1, ...kernel.statements.map((s) => pointsOfRow(s)));
  const most = Math.min(256, target.limits.maxComputeInvocationsPerWorkgroup);
  const isMany = rows >= manyRows;
  const wanted = isMany ? 32 : most;
  // Squares of all gradients of the language model of test/bench: 39 µs on an H100, 55 a point a lane (records/2026-11-28-small-5.jsonl).
  const isLong = points >= 4 * most;
  const inQuads = points % 4 === 0 && kernel.statements.every((s) => s.equation.domain.length === 0);
  const each = inQuads && (isMany || isLong) ? 4 : 1;
  let lanes = 1;
  while (lanes < wanted && lanes * 2 * each <= points) lanes *= 2;
  const shuffle = lanes > 1 && lanes <= shuffledLanes(target);
  return { lanes, workgroupSize: Math.max(lanes, 128), shuffle, quads: each === 4 };
}

/**
 * A software device computes four or eight invocations at once, and those beyond the last row do its work once more (`rowHead`): the
 * norm of all gradients, one row, took 22 ms of a step of 183 on SwiftShader with 32, and takes less than 4 with four.
 */
function cpuWorkgroup(rows: number): number {
  let size = 4;
  while (size < 32 && size < rows) size *= 2;
  return size;
}

function pointsOfRow(statement: RowStatement): number {
  const { equation, rowAxes } = statement;
  const isPoint = (axis: number): boolean => !rowAxes.includes(axis) && equation.axes[axis].symbol === undefined;
  return equation.axes.reduce((n, { extent }, axis) => (isPoint(axis) ? n * extent : n), 1);
}

/** What the statements of a kernel share while they are written. */
interface RowCode {
  readonly emitter: Emitter;
  readonly tuning: RowTuning;
  /** Lines of the body so far. */
  readonly lines: string[];
  /** WGSL of the lane's number in its row, and of the row's coordinates. */
  readonly lane: string;
  readonly rowNames: readonly string[];
  /** Conditions under which the row exists; none when all do. */
  readonly live: readonly string[];
  /** Row tensors known to every lane. */
  readonly held: Map<string, string>;
  /** Map tensors written since the last barrier. */
  readonly written: Set<string>;
  /** Names of the functions that reduce over the lanes of a row. */
  readonly reducers: Map<LaneOperator, string>;
  readonly invariants: Invariants;
  readonly quadLanes: QuadLanes;
}

export function emitRow(kernel: RowKernel, emitter: Emitter, tuning: RowTuning): KernelBody {
  const { lanes, workgroupSize, shuffle } = tuning;
  const { rows, statements } = collapseRow(kernel, (tensor) => emitter.layout(tensor));
  const { groups, ...head } = rowHead(rows, statements[0], emitter, tuning);
  const made = new Set(statements.map(({ tensor }) => tensor));
  const code: RowCode = {
    ...head,
    emitter,
    tuning,
    held: new Map(),
    written: new Set(),
    reducers: new Map(),
    invariants: new Map(),
    quadLanes: { lane: head.lane, lanes, mostTurns: fewTurns, kept: new Map(), isMade: (tensor) => made.has(tensor) },
  };
  for (const statement of statements) emitStatement(statement, code);
  const operators = [...code.reducers];
  return {
    functions: operators.map(([operator, name]) =>
      shuffle ? shuffleFunction(operator, name, lanes) : partialFunction(operator, name, lanes),
    ),
    sharedQuads: operators.length > 0 && !shuffle ? workgroupSize : 0,
    workgroupSize,
    groups,
    body: [emitter.head(), ...code.lines].filter((text) => text !== '').join('\n'),
    tuning: { lanes, workgroupSize },
    enables: shuffle && operators.length > 0 ? ['subgroups'] : [],
    multiplyAdds: statements.reduce((n, s) => n + multiplyAddsOf(s.equation), 0),
  };
}

/** Which row and lane an invocation is. Those beyond the last row work on it too, without storing: they meet the barriers. */
function rowHead(
  rows: readonly number[],
  first: RowStatement,
  emitter: Emitter,
  { lanes, workgroupSize }: RowTuning,
): Pick<RowCode, 'lines' | 'lane' | 'rowNames' | 'live'> & Pick<KernelBody, 'groups'> {
  const count = elementCount(rows);
  const [row, lane] = [emitter.fresh('row'), lanes > 1 ? emitter.fresh('lane_in_row') : '0'];
  const { header, groups } = flatThreads(count * lanes, 'invocation', workgroupSize);
  const isExact = count * lanes === groups * workgroupSize;
  const live = isExact ? [] : [emitter.fresh('live')];
  const lines = [header.split('\n')[0]];
  if (lanes > 1) lines.push(`let ${lane} = invocation % ${lanes};`);
  const rowOf = lanes > 1 ? `invocation / ${lanes}` : 'invocation';
  if (isExact) lines.push(`let ${row} = ${rowOf};`);
  else lines.push(`let ${live[0]} = ${rowOf} < ${count};`, `let ${row} = min(${rowOf}, ${count - 1});`);
  const isSingle = rows.filter((extent) => extent > 1).length === 1;
  const rowNames = rows.map((extent, d) => {
    if (extent === 1) return '0';
    if (isSingle) return row;
    const name = emitter.named(first.equation.axes[first.rowAxes[d]].name);
    lines.push(`let ${name} = ${coordinate(row, rows, d)};`);
    return name;
  });
  return { lines, lane, rowNames, live, groups };
}

/** A statement at the points of a row: the axes inside the row that have more than one, and the nest over them. */
interface RowPoints {
  readonly statement: RowStatement;
  readonly inner: readonly number[];
  readonly nest: Nest;
}

function emitStatement(statement: RowStatement, code: RowCode): void {
  const { equation, rowAxes } = statement;
  const inner = [...equation.axes.keys()].filter((axis) => {
    const { extent, symbol } = equation.axes[axis];
    return !rowAxes.includes(axis) && extent > 1 && symbol === undefined;
  });
  const names = new Map<number, string>(rowAxes.map((axis, d) => [axis, code.rowNames[d]]));
  const nest = openNest(equation, names, {
    emitter: code.emitter,
    axis: (axis) => (equation.axes[axis].extent === 1 ? '0' : names.get(axis)!),
    axes: equation.axes,
    held: (l) => code.held.get(l.tensor),
  });
  if (code.tuning.lanes > 1 && loads(equation.value).some((l) => code.written.has(l.tensor))) {
    code.lines.push('storageBarrier();', 'workgroupBarrier();');
    code.written.clear();
  }
  const points = { statement, inner, nest };
  switch (statement.kind) {
    case 'reduce':
      emitReduce(points, code);
      break;
    case 'map':
      emitMap(points, code);
      break;
    default:
      statement.kind satisfies never;
  }
}

interface LaneLoop {
  /** Undefined where the row has one point, or a lane four. */
  readonly loop: Loop | undefined;
  readonly lets: readonly string[];
  readonly guards: readonly string[];
  /** Where a turn is four points. */
  readonly quad?: Quad;
}

/**
 * So many turns are made whatever the domain: a GPU's compiler unrolls a loop whose turns it knows, and waits for all its reads at once.
 * On an H100 a step of in-context regression (d 64, 64 tokens) takes 1.94 ms in place of 2.03 (test/bench/records/2026-11-26-rows.jsonl).
 */
const fewTurns = 8;

/** The loop of a lane over its share of the row's points; binds the inner axes. */
function openLoop({ inner, nest }: RowPoints, code: RowCode, tighten: boolean): LaneLoop {
  const { emitter, lane, tuning } = code;
  const { axes } = nest.equation;
  const { lanes } = tuning;
  const lets: string[] = [];
  let loop: Loop | undefined;
  const quad = tuning.quads ? openQuads(nest, inner, code.quadLanes) : undefined;
  if (quad !== undefined) return { loop: quad.loop, lets: [], guards: [], quad };
  if (inner.length === 1) {
    const [axis] = inner as [number];
    const { extent } = axes[axis];
    if (lanes > 1 && extent % lanes === 0 && extent <= lanes * fewTurns) {
      const [name, turn] = [emitter.named(axes[axis].name), emitter.fresh('turn')];
      nest.names.set(axis, name);
      const count = extent / lanes;
      lets.push(`let ${name} = ${turn} * ${lanes} + ${lane};`);
      loop = { name: turn, from: '0', to: emitter.bound(count), step: 1, turns: count };
      return { loop, lets, guards: [...nest.pending].map((c) => constraintText(c, nest.scope)) };
    }
    const bounds = tighten ? loopBounds(nest, axis) : { from: '0', to: emitter.bound(axes[axis].extent) };
    const name = emitter.named(axes[axis].name);
    const from = lanes === 1 ? bounds.from : bounds.from === '0' ? lane : `${bounds.from} + ${lane}`;
    loop = { name, from, to: bounds.to, step: lanes, turns: Math.ceil(axes[axis].extent / lanes) };
    nest.names.set(axis, name);
  } else if (inner.length > 1) {
    const extents = inner.map((axis) => axes[axis].extent);
    const point = emitter.fresh('point');
    const count = elementCount(extents);
    loop = { name: point, from: lane, to: emitter.bound(count), step: lanes, turns: Math.ceil(count / lanes) };
    inner.forEach((axis, d) => {
      const name = emitter.named(axes[axis].name);
      lets.push(`let ${name} = ${coordinate(point, extents, d)};`);
      nest.names.set(axis, name);
    });
  }
  return { loop, lets, guards: [...nest.pending].map((c) => constraintText(c, nest.scope)) };
}

/** A value at a point, with what every point of the row shares computed before the loop. */
function valueInLoop(value: Expression, { inner, nest }: RowPoints, code: RowCode, quad?: Quad): Value {
  if (inner.length === 0) return sharedText(value, nest.scope);
  const hoisted = hoistInvariants(value, inner, nest.scope, code.invariants);
  code.lines.push(...hoisted.lines);
  if (quad === undefined) return sharedText(value, hoisted.scope);
  const { known = new Map<Expression, string>() } = hoisted.scope;
  return sharedText(value, { ...hoisted.scope, known: new Map([...known, ...quad.known]) });
}

/** What a lane does in a turn: `lines` at each of its points. */
function turnText({ lets, guards, quad }: LaneLoop, lines: readonly string[]): string {
  if (quad !== undefined) return quadText(quad, lines);
  return [...lets, guarded(guards, lines.join('\n'))].join('\n');
}

function storePlace({ statement, nest }: RowPoints, { emitter }: RowCode): string {
  const offset = affineText(nest.equation.store[0] as Affine, nest.scope);
  return emitter.writes(statement.tensor, offset);
}

function emitReduce(points: RowPoints, code: RowCode): void {
  const { emitter, lines, lane, live, tuning } = code;
  const { tensor, stored, equation } = points.statement;
  const result = emitter.value(tensor, stored);
  if (equation.reducer === 'sum') emitSum(points, result, code);
  else emitOther(points, equation.reducer, result, code);
  code.held.set(tensor, result);
  if (!stored) return;
  const conditions = [...live, ...(tuning.lanes > 1 ? [`${lane} == 0`] : [])];
  lines.push(guarded(conditions, `${storePlace(points, code)} = ${result};`));
}

/** What the lanes of a row find together; without a loop every lane has the row's one value already. */
function acrossLanes({ loop, quad }: LaneLoop, { emitter, reducers, tuning }: RowCode): AcrossLanes | undefined {
  if (tuning.lanes === 1 || (loop === undefined && quad === undefined)) return undefined;
  return (operator, variable) => {
    const name = reducers.get(operator) ?? emitter.global(`row_${operator}`);
    reducers.set(operator, name);
    if (operator === 'max' || operator === 'min') emitter.use(`${operator}_f32`);
    return tuning.shuffle ? `${name}(${variable})` : `${name}(${variable}, lane)`;
  };
}

function emitSum(points: RowPoints, result: string, code: RowCode): void {
  const { emitter, lines } = code;
  const turn = openLoop(points, code, true);
  const { loop, guards, quad } = turn;
  const given = points.nest.equation.value;
  if (loop === undefined && quad === undefined && guards.length === 0) {
    const { lines: shared, text } = valueInLoop(given, points, code);
    lines.push(...shared, `let ${result} = ${text};`);
    return;
  }
  const { value, scale } = withoutScale(given);
  const { lines: shared, text } = valueInLoop(value, points, code, quad);
  const sum = emitter.fresh('sum');
  const body = (into: string): string => turnText(turn, [...shared, `${into} += ${text};`]);
  lines.push(`var ${sum} = 0.0;`);
  if (loop === undefined) lines.push(body(sum));
  else lines.push(blockedLoop(loop, cutLoop(loop.turns, 1).blocks, sum, body, emitter));
  const total = acrossLanes(turn, code)?.('sum', sum) ?? sum;
  lines.push(`let ${result} = ${scale === 1 ? '' : `${f32Literal(scale)} * `}${total};`);
}

function emitOther(points: RowPoints, reducer: Exclude<Reducer, 'sum'>, result: string, code: RowCode): void {
  const { lines } = code;
  const mayBeEmpty = points.nest.pending.size > 0;
  const turn = openLoop(points, code, true);
  const { loop, quad } = turn;
  const { lines: shared, text: value } = valueInLoop(points.nest.equation.value, points, code, quad);
  const taken = { value, across: acrossLanes(turn, code), mayBeEmpty };
  const { before, inner, after } = laneReduction(reducer, taken, result, code.emitter);
  const text = turnText(turn, [...shared, inner]);
  lines.push(before, loop === undefined ? text : loopText(loop, text), after);
}

function emitMap(points: RowPoints, code: RowCode): void {
  const { lines, lane, tuning } = code;
  const turn = openLoop(points, code, false);
  const value = valueInLoop(points.nest.equation.value, points, code, turn.quad);
  const { quad } = turn;
  const text = quad === undefined ? storedText(points, turn, value, code) : storedInQuads(points, quad, value, code);
  if (turn.loop !== undefined) lines.push(loopText(turn.loop, text));
  else if (quad !== undefined) lines.push(text);
  else lines.push(tuning.lanes > 1 ? guarded([`${lane} == 0`], text) : `{\n${indent(text)}\n}`);
  code.written.add(points.statement.tensor);
  code.invariants.clear();
}

interface Value {
  readonly lines: readonly string[];
  readonly text: string;
}

function storedText(points: RowPoints, { lets, guards }: LaneLoop, { lines, text }: Value, code: RowCode): string {
  const { tensor, withinDomain } = points.statement;
  const { emitter, live } = code;
  const place = storePlace(points, code);
  const body = [...lets];
  if (guards.length === 0) body.push(...lines, guarded(live, `${place} = ${text};`));
  else if (withinDomain) body.push(guarded([...live, ...guards], [...lines, `${place} = ${text};`].join('\n')));
  else {
    const name = emitter.value(tensor, true);
    const assigned = [...lines, `${name} = ${text};`].join('\n');
    body.push(`var ${name} = 0.0;`, guarded(guards, assigned), guarded(live, `${place} = ${name};`));
  }
  return body.join('\n');
}

/** Four at a time, where they lie so in a buffer that is written so. */
function storedInQuads(points: RowPoints, quad: Quad, { lines, text }: Value, code: RowCode): string {
  const { emitter, live } = code;
  const { tensor, equation } = points.statement;
  const place = quadPlace(points.nest, quad, tensor, equation.store);
  if (place === undefined) return quadText(quad, [...lines, guarded(live, `${storePlace(points, code)} = ${text};`)]);
  const name = emitter.value(tensor, true);
  const assigned = quadText(quad, [...lines, `${name}[${quad.inQuad}] = ${text};`]);
  return [`var ${name} = vec4<f32>();`, assigned, guarded(live, `${place} = ${name};`)].join('\n');
}
