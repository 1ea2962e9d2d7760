/**
 * Row kernels: several reductions and maps over the same rows in one dispatch, such as a softmax (logsumexp, then exp) or a
 * layer norm (mean, variance, normalise).
 *
 * A row is worked on by `lanes` invocations, which stride over its points; what a reduction finds is then known to all lanes
 * of the row. One lane a row on a software device, where a barrier costs more than the row. The trap: a later statement may
 * read what an earlier map wrote from other lanes' stores, so a barrier stands between them; no lane may leave early.
 */
import { decide } from '../compiler/ir/affine.ts';
import { loads } from '../compiler/ir/expression.ts';
import type { Affine, Equation, Load } from '../compiler/ir/program.ts';
import { elementCount } from '../compiler/ir/program.ts';
import { hoistInvariants, type Invariants } from './invariant.ts';
import type { KernelCode, RowKernel, RowStatement } from './kernel.ts';
import { affinesOutsideStore, flatIndex, flattenLoads, mergeAll, mergeAxes, walkTogether } from './linear.ts';
import { contractionPoints, flatGrid, loopBounds } from './loop.ts';
import { type Emitter, type Scope, strides } from './scalar.ts';
import type { Target } from './target.ts';
import { f32Literal, indent, wgsl } from './wgsl.ts';

export interface RowTuning {
  /** Invocations that share a row: a power of two, at most `workgroupSize`. */
  readonly lanes: number;
  readonly workgroupSize: number;
  /** Reduce within a subgroup by shuffles instead of through workgroup memory. */
  readonly shuffle: boolean;
}

/** Empty lanes of a max hold this: below any finite f32. */
const lowest = -3.4028234663852886e38;

/** Rows at least so many keep a GPU busy with one subgroup each (132 multiprocessors of an H100 take 64 subgroups each). */
const manyRows = 2048;

export function defaultRowTuning(kernel: RowKernel, target: Target): RowTuning {
  if (target.class === 'cpu') return { lanes: 1, workgroupSize: 32, shuffle: false };
  const rows = elementCount(kernel.rows);
  const points = Math.max(1, ...kernel.statements.map((s) => pointsOfRow(s)));
  const most = Math.min(256, target.limits.maxComputeInvocationsPerWorkgroup);
  const wanted = rows >= manyRows ? 32 : most;
  let lanes = 1;
  while (lanes < wanted && lanes * 2 <= points) lanes *= 2;
  const shuffle = lanes > 1 && lanes <= (target.subgroupSize?.min ?? 0) && target.features.includes('subgroups');
  return { lanes, workgroupSize: Math.max(lanes, 128), shuffle };
}

function pointsOfRow(statement: RowStatement): number {
  return statement.equation.axes.reduce((n, axis, i) => (statement.rowAxes.includes(i) ? n : n * axis.extent), 1);
}

export function emitRow(
  kernel: RowKernel,
  emitter: Emitter,
  target: Target,
  tuning: RowTuning = defaultRowTuning(kernel, target),
): Omit<KernelCode, 'wgsl' | 'bindings'> & { body: string; enables: readonly string[] } {
  const { lanes, workgroupSize, shuffle } = tuning;
  const { rows, statements } = collapse(kernel, emitter);
  const rowsPerGroup = workgroupSize / lanes;
  const rowCount = elementCount(rows);
  const [row, lane] = [emitter.fresh('row'), lanes > 1 ? emitter.fresh('lane_in_row') : '0'];
  const { header, workgroups } = flatGrid(rowCount * lanes, 'invocation', workgroupSize, target);
  const exact = rowCount === elementCount(workgroups) * rowsPerGroup;
  const live = exact ? '' : emitter.fresh('live');
  const lines: string[] = [header.split('\n')[0]!];
  if (lanes > 1) lines.push(`let ${lane} = invocation % ${lanes};`);
  const rowOf = lanes > 1 ? `invocation / ${lanes}` : 'invocation';
  if (exact) lines.push(`let ${row} = ${rowOf};`);
  else lines.push(`let ${live} = ${rowOf} < ${rowCount};`, `let ${row} = min(${rowOf}, ${rowCount - 1});`);
  const rowNames = decode(rows, row, statements, emitter, lines);
  const state: RowState = {
    held: new Map(),
    written: new Set(),
    reducers: new Set(),
    invariants: new Map(),
    lane,
    live,
    rowNames,
    tuning,
  };
  for (const statement of statements) emitStatement(statement, state, emitter, lines);
  const parts = [
    ...[...state.reducers].map((op) => reducerFunction(op, tuning)),
    wgsl`
      @compute @workgroup_size(${workgroupSize})
      fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        ${emitter.head()}
        ${lines.join('\n')}
      }
    `,
  ];
  if (state.reducers.size > 0 && lanes > 1 && !shuffle)
    parts.unshift(`var<workgroup> partial: array<f32, ${workgroupSize}>;`);
  return {
    body: parts.join('\n\n'),
    workgroups,
    tuning: { lanes, workgroupSize },
    enables: shuffle && state.reducers.size > 0 ? ['subgroups'] : [],
    multiplyAdds: statements.reduce((n, s) => n + contractionPoints(s.equation), 0),
  };
}

interface RowState {
  /** Row tensors known to every lane. */
  readonly held: Map<string, string>;
  /** Map tensors written since the last barrier. */
  readonly written: Set<string>;
  readonly reducers: Set<'sum' | 'max' | 'min'>;
  readonly invariants: Invariants;
  readonly lane: string;
  /** Condition under which the row exists; '' when all do. */
  readonly live: string;
  readonly rowNames: readonly string[];
  readonly tuning: RowTuning;
}

/** Flat stores and loads, and row dimensions merged where every statement walks through them together. */
function collapse(
  kernel: RowKernel,
  emitter: Emitter,
): { rows: readonly number[]; statements: readonly RowStatement[] } {
  const layouts = (tensor: string): ReturnType<Emitter['layout']> => emitter.layout(tensor);
  let statements = kernel.statements.map((s): RowStatement => {
    const flat = flatIndex(layouts(s.tensor).shape, s.equation.store);
    if (!flat) throw new Error('a row statement stores through an affine map');
    return { ...s, equation: { ...flattenLoads(s.equation, layouts), store: [flat] } };
  });
  let rows = [...kernel.rows];
  const affines = (e: Equation): readonly Affine[] => [...affinesOutsideStore(e), e.store[0] as Affine];
  for (let d = rows.length - 2; d >= 0; d--) {
    if (!statements.every((s) => walkTogether(affines(s.equation), s.rowAxes[d]!, s.rowAxes[d + 1]!, rows[d + 1]!)))
      continue;
    statements = statements.map((s) => ({
      ...s,
      equation: mergeAxes(s.equation, s.rowAxes[d]!, s.rowAxes[d + 1]!),
      rowAxes: s.rowAxes.filter((_, i) => i !== d),
    }));
    rows = [...rows.slice(0, d), rows[d]! * rows[d + 1]!, ...rows.slice(d + 2)];
  }
  statements = statements.map((s) => {
    const inner = s.equation.axes.map((_, axis) => axis).filter((axis) => !s.rowAxes.includes(axis));
    return { ...s, equation: mergeAll(s.equation, inner, (e) => [e.store[0] as Affine]).equation };
  });
  return { rows, statements };
}

function decode(
  rows: readonly number[],
  row: string,
  statements: readonly RowStatement[],
  emitter: Emitter,
  lines: string[],
): string[] {
  const real = rows.filter((extent) => extent > 1).length;
  const stride = strides(rows);
  const first = statements[0]!;
  return rows.map((extent, d) => {
    if (extent === 1) return '0';
    if (real === 1) return row;
    const name = emitter.fresh(first.equation.axes[first.rowAxes[d]!]!.name);
    const quotient = stride[d] === 1 ? row : `${row} / ${stride[d]}`;
    const outermost = rows.slice(0, d).every((e) => e === 1);
    lines.push(`let ${name} = ${outermost ? quotient : `${quotient} % ${extent}`};`);
    return name;
  });
}

function emitStatement(statement: RowStatement, state: RowState, emitter: Emitter, lines: string[]): void {
  const { equation, rowAxes } = statement;
  const inner = equation.axes
    .map((_, axis) => axis)
    .filter((axis) => !rowAxes.includes(axis) && equation.axes[axis]!.extent > 1);
  const names = new Map<number, string>(rowAxes.map((axis, d) => [axis, state.rowNames[d]!]));
  const scope: Scope = {
    axis: (axis) => (equation.axes[axis]!.extent === 1 ? '0' : names.get(axis)!),
    axes: equation.axes,
    held: (l: Load) => state.held.get(l.tensor),
  };
  if (state.tuning.lanes > 1 && loads(equation.value).some((l) => state.written.has(l.tensor))) {
    lines.push('storageBarrier();', 'workgroupBarrier();');
    state.written.clear();
  }
  if (statement.kind === 'reduce') emitReduce(statement, inner, names, scope, state, emitter, lines);
  else emitMap(statement, inner, names, scope, state, emitter, lines);
}

/** Opens the loop of the lanes over a row's points, binding the inner axes; returns the lines that close it. */
function openLoop(
  equation: Equation,
  inner: readonly number[],
  names: Map<number, string>,
  scope: Scope,
  state: RowState,
  emitter: Emitter,
  tighten: boolean,
): { open: string; lets: string[]; guards: string[] } {
  const pending = new Set(equation.domain.filter((c) => decide(c, equation.axes) !== 'always'));
  const { lanes } = state.tuning;
  const step = (name: string): string => (lanes === 1 ? `${name}++` : `${name} += ${lanes}`);
  const lets: string[] = [];
  let open = '';
  if (inner.length === 1) {
    const [axis] = inner as [number];
    const bound = (x: number): boolean => names.has(x) || equation.axes[x]!.extent === 1;
    const bounds = tighten
      ? loopBounds(equation, axis, pending, bound, scope, emitter)
      : { from: '0', to: emitter.bound(equation.axes[axis]!.extent) };
    const name = emitter.fresh(equation.axes[axis]!.name);
    const from = lanes === 1 ? bounds.from : bounds.from === '0' ? state.lane : `${bounds.from} + ${state.lane}`;
    open = `for (var ${name} = ${from}; ${name} < ${bounds.to}; ${step(name)}) {`;
    names.set(axis, name);
  } else if (inner.length > 1) {
    const extents = inner.map((axis) => equation.axes[axis]!.extent);
    const point = emitter.fresh('point');
    open = `for (var ${point} = ${state.lane}; ${point} < ${emitter.bound(elementCount(extents))}; ${step(point)}) {`;
    const stride = strides(extents);
    inner.forEach((axis, d) => {
      const name = emitter.fresh(equation.axes[axis]!.name);
      const quotient = stride[d] === 1 ? point : `${point} / ${stride[d]}`;
      lets.push(`let ${name} = ${d === 0 ? quotient : `${quotient} % ${extents[d]}`};`);
      names.set(axis, name);
    });
  }
  return { open, lets, guards: [...pending].map((c) => emitter.constraint(c, scope)) };
}

function guarded(guards: readonly string[], text: string): string {
  return guards.length === 0 ? text : `if (${guards.join(' && ')}) {\n${indent(text)}\n}`;
}

function emitReduce(
  statement: RowStatement,
  inner: readonly number[],
  names: Map<number, string>,
  scope: Scope,
  state: RowState,
  emitter: Emitter,
  lines: string[],
): void {
  const { equation } = statement;
  const result = emitter.value(statement.tensor, statement.stored);
  const { open, lets, guards } = openLoop(equation, inner, names, scope, state, emitter, true);
  const value = valueInLoop(equation, inner, scope, state, emitter, lines);
  const wrap = (body: string): string => {
    const text = [...lets, guarded(guards, body)].join('\n');
    return open === '' ? text : `${open}\n${indent(text)}\n}`;
  };
  // Without inner axes every lane has the row's one value already.
  const combine = (op: 'sum' | 'max' | 'min', name: string): string => {
    if (state.tuning.lanes === 1 || open === '') return name;
    state.reducers.add(op);
    return `row_${op}(${name}, ${state.tuning.shuffle ? '0u' : 'lane'})`;
  };
  switch (equation.reducer) {
    case 'sum': {
      if (open === '' && guards.length === 0) {
        lines.push(`let ${result} = ${value};`);
        break;
      }
      const sum = emitter.fresh('sum');
      lines.push(`var ${sum} = 0.0;`, wrap(`${sum} += ${value};`), `let ${result} = ${combine('sum', sum)};`);
      break;
    }
    case 'max':
    case 'min': {
      const best = emitter.fresh('best');
      const none = f32Literal(equation.reducer === 'max' ? lowest : -lowest);
      lines.push(
        `var ${best} = ${none};`,
        wrap(`${best} = ${equation.reducer}(${best}, ${value});`),
        ...(combine(equation.reducer, best) === best ? [] : [`${best} = ${combine(equation.reducer, best)};`]),
        `let ${result} = select(${best}, 0.0, ${best} == ${none});`,
      );
      break;
    }
    case 'logsumexp': {
      emitter.use('log_f32');
      const [peak, total, next, all] = ['peak', 'total', 'value', 'row_peak'].map((n) => emitter.fresh(n)) as [
        string,
        string,
        string,
        string,
      ];
      lines.push(
        `var ${peak} = ${f32Literal(lowest)};`,
        `var ${total} = 0.0;`,
        wrap(wgsl`
          let ${next} = ${value};
          if (${next} > ${peak}) {
            ${total} = select(${total} * exp(${peak} - ${next}), 0.0, ${total} == 0.0) + 1.0;
            ${peak} = ${next};
          } else {
            ${total} += exp(${next} - ${peak});
          }
        `),
        `let ${all} = ${combine('max', peak)};`,
      );
      if (state.tuning.lanes > 1 && open !== '')
        lines.push(`${total} *= select(0.0, exp(${peak} - ${all}), ${total} > 0.0);`);
      if (combine('sum', total) !== total) lines.push(`${total} = ${combine('sum', total)};`);
      lines.push(`let ${result} = select(0.0, ${all} + log_f32(${total}), ${total} > 0.0);`);
      break;
    }
    default:
      equation.reducer satisfies never;
  }
  state.held.set(statement.tensor, result);
  if (!statement.stored) return;
  const offset = emitter.affine(equation.store[0] as Affine, scope);
  const conditions = [state.live, state.tuning.lanes > 1 ? `${state.lane} == 0` : ''].filter(Boolean);
  lines.push(guarded(conditions, `${emitter.writes(statement.tensor)}[${offset}] = ${result};`));
}

function emitMap(
  statement: RowStatement,
  inner: readonly number[],
  names: Map<number, string>,
  scope: Scope,
  state: RowState,
  emitter: Emitter,
  lines: string[],
): void {
  const { equation } = statement;
  const { open, lets, guards } = openLoop(equation, inner, names, scope, state, emitter, false);
  const value = valueInLoop(equation, inner, scope, state, emitter, lines);
  const target = `${emitter.writes(statement.tensor)}[${emitter.affine(equation.store[0] as Affine, scope)}]`;
  const body: string[] = [...lets];
  if (guards.length === 0) body.push(guarded(state.live ? [state.live] : [], `${target} = ${value};`));
  else {
    const name = emitter.value(statement.tensor, true);
    body.push(`var ${name} = 0.0;`, guarded(guards, `${name} = ${value};`));
    body.push(guarded(state.live ? [state.live] : [], `${target} = ${name};`));
  }
  const text = body.join('\n');
  if (open === '') lines.push(state.tuning.lanes > 1 ? guarded([`${state.lane} == 0`], text) : `{\n${indent(text)}\n}`);
  else lines.push(`${open}\n${indent(text)}\n}`);
  state.written.add(statement.tensor);
  state.invariants.clear();
}

/** The equation's value at a point, with what every point of the row shares computed in `lines` before the loop. */
function valueInLoop(
  equation: Equation,
  inner: readonly number[],
  scope: Scope,
  state: RowState,
  emitter: Emitter,
  lines: string[],
): string {
  if (inner.length === 0) return emitter.expression(equation.value, scope);
  const hoisted = hoistInvariants(equation.value, inner, scope, emitter, state.invariants);
  lines.push(...hoisted.lines);
  return emitter.expression(equation.value, hoisted.scope);
}

/** `row_sum` and its kin: every lane of a row gets the reduction over its lanes, in one fixed order. */
function reducerFunction(op: 'sum' | 'max' | 'min', tuning: RowTuning): string {
  const { lanes } = tuning;
  const join = (a: string, b: string): string => (op === 'sum' ? `${a} + ${b}` : `${op}(${a}, ${b})`);
  if (tuning.shuffle) {
    const steps: string[] = [];
    for (let width = lanes / 2; width >= 1; width /= 2)
      steps.push(`v = ${join('v', `subgroupShuffleXor(v, ${width}u)`)};`);
    return wgsl`
      fn row_${op}(value: f32, unused: u32) -> f32 {
        var v = value;
        ${steps.join('\n')}
        return v;
      }
    `;
  }
  return wgsl`
    fn row_${op}(value: f32, lane: u32) -> f32 {
      partial[lane] = value;
      workgroupBarrier();
      for (var width = ${lanes / 2}u; width > 0u; width >>= 1u) {
        if (lane % ${lanes}u < width) { partial[lane] = ${join('partial[lane]', 'partial[lane + width]')}; }
        workgroupBarrier();
      }
      let total = partial[lane - lane % ${lanes}u];
      workgroupBarrier();
      return total;
    }
  `;
}
