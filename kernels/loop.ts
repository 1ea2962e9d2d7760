/**
 * Loop kernels: one thread an element of the output, whatever the equations are.
 *
 * A thread knows the element's position `o` and wants the points that store to it, so the store map is solved for its axes:
 * an index that is a sum of digits, `(k p) = k·P + p`, gives `k = o / P, p = o % P`; an index such as `t + s` leaves all its
 * axes but one as loops, and the last is `o - s`, with a check that it lies in its extent; a scatter through a gather loops over
 * all its axes and compares. Reduced axes are loops. No two threads write one element, so nothing is lost and nothing races.
 */
import { asAxis, coefficientOf, decide, evaluate } from '../compiler/ir/affine.ts';
import { reducedAxes } from '../compiler/ir/equation.ts';
import { affinesOfIndex } from '../compiler/ir/expression.ts';
import type { Affine, Constraint, Equation, Load } from '../compiler/ir/program.ts';
import { elementCount } from '../compiler/ir/program.ts';
import type { KernelCode, Layouts, LoopKernel, Statement } from './kernel.ts';
import { affinesOutsideStore, flatIndex, flattenLoads, mergeAll, mergeAxes, walkTogether } from './linear.ts';
import { type Emitter, type Scope, strides } from './scalar.ts';
import type { Target } from './target.ts';
import { indent, wgsl } from './wgsl.ts';

/** 64 threads a workgroup: two subgroups of NVIDIA, sixteen of SwiftShader; measured no slower than 128 or 256 on either. */
const loopWorkgroupSize = 64;

export function emitLoop(
  kernel: LoopKernel,
  emitter: Emitter,
  target: Target,
): Omit<KernelCode, 'wgsl' | 'bindings'> & { body: string } {
  const { shape, statements } = collapse(kernel, (tensor) => emitter.layout(tensor));
  const count = elementCount(shape);
  const id = emitter.fresh('element');
  const coordinates = coordinateNames(shape, statements, emitter, id);
  const held = new Map<string, string>();
  const body: string[] = [];
  for (const statement of statements) {
    body.push(emitStatement(statement, shape, coordinates.names, id, held, emitter));
  }
  const { header, workgroups } = flatGrid(count, id, loopWorkgroupSize, target);
  return {
    body: wgsl`
      @compute @workgroup_size(${loopWorkgroupSize})
      fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        ${emitter.head()}
        ${header}
        ${coordinates.code}
        ${body.join('\n')}
      }
    `,
    workgroups,
    tuning: { workgroupSize: loopWorkgroupSize },
    multiplyAdds: statements.reduce((total, s) => total + s.equations.reduce((n, e) => n + contractionPoints(e), 0), 0),
  };
}

/** Points of an equation that sums products of two or more loads: its multiply-adds. */
export function contractionPoints(equation: Equation): number {
  const factors = equation.value.kind === 'product' ? equation.value.factors.filter((f) => f.kind !== 'constant') : [];
  if (factors.length < 2 || equation.reducer !== 'sum') return 0;
  const reduced = reducedAxes(equation).filter((axis) => equation.axes[axis]!.extent > 1);
  return reduced.length === 0 ? 0 : equation.axes.reduce((n, axis) => n * axis.extent, 1);
}

/** Numbers workgroups over x, then y, then z, beyond the 65,535 that one dimension takes. */
export function flatGrid(
  count: number,
  id: string,
  workgroupSize: number,
  target: Target,
): { header: string; workgroups: [number, number, number] } {
  const groups = Math.ceil(count / workgroupSize);
  const most = target.limits.maxComputeWorkgroupsPerDimension;
  const x = Math.min(groups, most);
  const y = Math.min(Math.ceil(groups / x), most);
  const z = Math.ceil(groups / (x * y));
  if (z > most) throw new Error(`${groups} workgroups are beyond the grid of ${target.name}`);
  const row = z > 1 ? `(group.z * ${y}u + group.y)` : 'group.y';
  const group = y > 1 ? `(${row} * ${x}u + group.x)` : 'group.x';
  const check = count % workgroupSize === 0 && x * y * z === groups ? '' : `if (${id} >= ${count}) { return; }`;
  return {
    header: [`let ${id} = i32(${group} * ${workgroupSize}u + lane);`, check].filter(Boolean).join('\n'),
    workgroups: [x, y, z],
  };
}

/** Each dimension's own axis where every store map is plain (one distinct full axis a dimension), else undefined. */
function plainStore(equation: Equation, shape: readonly number[]): readonly number[] | undefined {
  const axes: number[] = [];
  for (const [d, index] of equation.store.entries()) {
    const axis = index.kind === 'affine' ? asAxis(index) : undefined;
    if (axis === undefined || axes.includes(axis) || equation.axes[axis]!.extent !== shape[d]) return undefined;
    axes.push(axis);
  }
  return axes;
}

/** Merges dimensions that every equation walks through together, and reduced axes that walk together. */
function collapse(kernel: LoopKernel, layouts: Layouts): LoopKernel {
  let statements: Statement[] = kernel.statements.map((s) => ({
    ...s,
    equations: s.equations.map((e) => flattenLoads(e, layouts)),
  }));
  let shape = [...kernel.shape];
  const all = (): Equation[] => statements.flatMap((s) => [...s.equations]);
  for (let d = shape.length - 2; d >= 0; d--) {
    const together = all().every((e) => {
      const axes = plainStore(e, shape);
      return axes !== undefined && walkTogether(affinesOutsideStore(e), axes[d]!, axes[d + 1]!, shape[d + 1]!);
    });
    if (!together) continue;
    const merge = (e: Equation): Equation => {
      const axes = plainStore(e, shape)!;
      const merged = mergeAxes(e, axes[d]!, axes[d + 1]!);
      return { ...merged, store: merged.store.filter((_, i) => i !== d) };
    };
    statements = statements.map((s) => ({ ...s, equations: s.equations.map(merge) }));
    shape = [...shape.slice(0, d), shape[d]! * shape[d + 1]!, ...shape.slice(d + 2)];
  }
  statements = statements.map((s) => ({
    ...s,
    equations: s.equations.map((e) => mergeAll(e, reducedAxes(e)).equation),
  }));
  return { family: 'loop', shape, statements };
}

function coordinateNames(
  shape: readonly number[],
  statements: readonly Statement[],
  emitter: Emitter,
  id: string,
): { names: string[]; code: string } {
  if (shape.length === 1) return { names: [id], code: '' };
  const first = statements[0]!.equations[0];
  const stride = strides(shape);
  const lines: string[] = [];
  const names = shape.map((extent, d) => {
    if (extent === 1) return '0';
    const index = first?.store[d];
    const axis = index?.kind === 'affine' ? asAxis(index) : undefined;
    const name = emitter.fresh(axis === undefined ? `o${d}` : first!.axes[axis]!.name);
    const quotient = stride[d] === 1 ? id : `${id} / ${stride[d]}`;
    const outermost = shape.slice(0, d).every((e) => e === 1);
    lines.push(
      `let ${name} = ${outermost ? quotient : stride[d] === 1 ? `${id} % ${extent}` : `${quotient} % ${extent}`};`,
    );
    return name;
  });
  return { names, code: lines.join('\n') };
}

function emitStatement(
  statement: Statement,
  shape: readonly number[],
  coordinates: readonly string[],
  id: string,
  held: Map<string, string>,
  emitter: Emitter,
): string {
  const name = emitter.value(statement.tensor, statement.stored);
  const isInteger = emitter.layout(statement.tensor).dtype === 'i32';
  const lines: string[] = [];
  const [first, ...others] = statement.equations;
  const single =
    first && others.length === 0 ? emitSingle(first, shape, coordinates, held, isInteger, emitter) : undefined;
  if (single !== undefined) lines.push(`let ${name} = ${single};`);
  else {
    const total = isInteger ? emitter.fresh('total') : name;
    lines.push(`var ${total} = 0.0;`);
    for (const equation of statement.equations)
      lines.push(emitEquation(equation, shape, coordinates, held, total, emitter));
    if (isInteger) lines.push(`let ${name} = i32(${total});`);
  }
  held.set(statement.tensor, name);
  if (statement.stored) lines.push(`${emitter.writes(statement.tensor)}[${id}] = ${name};`);
  return lines.join('\n');
}

/** A pointwise equation over the whole tensor is one expression. */
function emitSingle(
  equation: Equation,
  shape: readonly number[],
  coordinates: readonly string[],
  held: ReadonlyMap<string, string>,
  isInteger: boolean,
  emitter: Emitter,
): string | undefined {
  const axes = plainStore(equation, shape);
  if (!axes || equation.domain.length > 0 || equation.reducer === 'logsumexp') return undefined;
  if (equation.axes.some((axis, i) => axis.extent > 1 && !axes.includes(i))) return undefined;
  const scope = scopeOf(equation, shape, new Map(axes.map((axis, d) => [axis, coordinates[d]!])), held, emitter);
  if (!isInteger) return emitter.expression(equation.value, scope);
  return emitter.wholeNumber(equation.value, scope) ?? `i32(${emitter.expression(equation.value, scope)})`;
}

function scopeOf(
  equation: Equation,
  shape: readonly number[],
  names: ReadonlyMap<number, string>,
  held: ReadonlyMap<string, string>,
  emitter: Emitter,
): Scope {
  const store = flatIndex(shape, equation.store);
  const find = (l: Load): string | undefined => {
    const name = held.get(l.tensor);
    const flat = name === undefined ? undefined : flatIndex(emitter.layout(l.tensor).shape, l.indices);
    return flat && store && sameOffset(flat, store) ? name : undefined;
  };
  return {
    axis: (axis) => (equation.axes[axis]!.extent === 1 ? '0' : (names.get(axis) ?? unbound(equation, axis))),
    axes: equation.axes,
    held: (l) => {
      const name = find(l);
      return name !== undefined && emitter.layout(l.tensor).dtype === 'i32' ? `f32(${name})` : name;
    },
    heldInteger: find,
  };
}

function unbound(equation: Equation, axis: number): never {
  throw new Error(`axis ${equation.axes[axis]!.name} has no value here`);
}

function sameOffset(a: Affine, b: Affine): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Nested text: each step wraps what follows. */
type Step =
  | { readonly kind: 'let'; readonly name: string; readonly value: string }
  | { readonly kind: 'if'; readonly condition: string }
  | { readonly kind: 'for'; readonly name: string; readonly from: string; readonly to: string };

function emitEquation(
  equation: Equation,
  shape: readonly number[],
  coordinates: readonly string[],
  held: ReadonlyMap<string, string>,
  target: string,
  emitter: Emitter,
): string {
  const names = new Map<number, string>();
  const scope = scopeOf(equation, shape, names, held, emitter);
  const pending = new Set(equation.domain.filter((c) => decide(c, equation.axes) !== 'always'));
  const steps: Step[] = [];
  const bound = (axis: number): boolean => names.has(axis) || equation.axes[axis]!.extent === 1;
  const settle = (): void => {
    for (const c of pending) {
      if (!c.affine.terms.every((t) => bound(t.axis))) continue;
      steps.push({ kind: 'if', condition: emitter.constraint(c, scope) });
      pending.delete(c);
    }
  };
  const loop = (axis: number): void => {
    if (bound(axis)) return;
    const name = emitter.fresh(equation.axes[axis]!.name);
    const bounds = loopBounds(equation, axis, pending, bound, scope, emitter);
    steps.push({ kind: 'for', name, ...bounds });
    names.set(axis, name);
    settle();
  };
  const bind = (axis: number, value: string): void => {
    if (/^\w+$/.test(value)) names.set(axis, value);
    else {
      const name = emitter.fresh(equation.axes[axis]!.name);
      steps.push({ kind: 'let', name, value });
      names.set(axis, name);
    }
  };
  equation.store.forEach((index, d) => {
    if (index.kind === 'gather') {
      for (const a of affinesOfIndex(index)) for (const term of a.terms) loop(term.axis);
      steps.push({ kind: 'if', condition: `${emitter.gather(index, scope)} == ${coordinates[d]}` });
      return;
    }
    for (const step of solveIndex(index, shape[d]!, coordinates[d]!, equation, bound, loop, scope, emitter)) {
      if (step.kind === 'bind') bind(step.axis, step.value);
      else steps.push({ kind: 'if', condition: step.condition });
    }
    settle();
  });
  settle();
  for (const [axis] of equation.axes.entries()) loop(axis);
  settle();
  const value = emitter.expression(equation.value, scope);
  return nest(steps, reduction(equation, value, target, emitter));
}

/** Bounds of a loop over an axis, tightened by what the domain says of it once the other axes are known. */
export function loopBounds(
  equation: Equation,
  axis: number,
  pending: Set<Constraint>,
  bound: (axis: number) => boolean,
  scope: Scope,
  emitter: Emitter,
): { from: string; to: string } {
  let from = '0';
  let to = emitter.bound(equation.axes[axis]!.extent);
  for (const c of pending) {
    const coefficient = coefficientOf(c.affine, axis);
    if (c.kind !== 'nonnegative' || Math.abs(coefficient) !== 1) continue;
    const rest: Affine = { ...c.affine, terms: c.affine.terms.filter((t) => t.axis !== axis) };
    if (!rest.terms.every((t) => bound(t.axis))) continue;
    if (coefficient === -1) {
      const end = emitter.affine({ ...rest, constant: rest.constant + 1 }, scope);
      to = `min(${to}, ${end})`;
    } else {
      const negated: Affine = {
        kind: 'affine',
        constant: -rest.constant,
        terms: rest.terms.map((t) => ({ ...t, coefficient: -t.coefficient })),
      };
      from = `max(${from}, ${emitter.affine(negated, scope)})`;
    }
    pending.delete(c);
  }
  return { from, to };
}

type Solution =
  | { readonly kind: 'bind'; readonly axis: number; readonly value: string }
  | { readonly kind: 'check'; readonly condition: string };

/** Solves `index == coordinate` for the axes that are not bound yet; `loop` binds those that must be looped over. */
function* solveIndex(
  index: Affine,
  extent: number,
  coordinate: string,
  equation: Equation,
  bound: (axis: number) => boolean,
  loop: (axis: number) => void,
  scope: Scope,
  emitter: Emitter,
): Generator<Solution> {
  const open = index.terms
    .filter((t) => !bound(t.axis))
    .sort((a, b) => Math.abs(b.coefficient) - Math.abs(a.coefficient));
  const knownPart = (): Affine => ({
    ...index,
    terms: index.terms.filter((t) => bound(t.axis) && equation.axes[t.axis]!.extent > 1),
  });
  if (open.length === 0) {
    const known = knownPart();
    if (known.terms.length === 0 && extent === 1 && evaluate(known, []) === 0) return;
    yield { kind: 'check', condition: `${coordinate} == ${emitter.affine(known, scope)}` };
    return;
  }
  if (!areDigits(open, equation)) {
    for (const term of open.slice(0, -1)) loop(term.axis);
    const last = open.at(-1)!;
    const known = knownPart();
    const difference =
      known.terms.length === 0 && known.constant === 0
        ? coordinate
        : `${coordinate} - (${emitter.affine(known, scope)})`;
    const rest = last.coefficient < 0 ? `(${emitter.affine(known, scope)}) - ${coordinate}` : difference;
    const size = Math.abs(last.coefficient);
    if (size !== 1) yield { kind: 'check', condition: `(${rest}) % ${size} == 0` };
    yield { kind: 'bind', axis: last.axis, value: size === 1 ? rest : `(${rest}) / ${size}` };
    const solved = scope.axis(last.axis);
    yield { kind: 'check', condition: `${solved} >= 0 && ${solved} < ${equation.axes[last.axis]!.extent}` };
    return;
  }
  const known = knownPart();
  const exact = known.terms.length === 0 && known.constant === 0;
  const rest = exact ? coordinate : `(${coordinate} - (${emitter.affine(known, scope)}))`;
  if (!exact) yield { kind: 'check', condition: `${rest} >= 0` };
  let radix = exact ? extent : Number.POSITIVE_INFINITY;
  for (const term of open) {
    const axisExtent = equation.axes[term.axis]!.extent;
    const remainder = radix === (exact ? extent : Number.POSITIVE_INFINITY) ? rest : `${rest} % ${radix}`;
    const quotient =
      term.coefficient === 1
        ? remainder
        : `${remainder.includes('%') ? `(${remainder})` : remainder} / ${term.coefficient}`;
    if (axisExtent * term.coefficient < radix) yield { kind: 'check', condition: `${quotient} < ${axisExtent}` };
    yield { kind: 'bind', axis: term.axis, value: quotient };
    radix = term.coefficient;
  }
  if (radix > 1) yield { kind: 'check', condition: `${rest} % ${radix} == 0` };
}

/** Whether the terms (largest first) are digits of one number: no two points of them meet. */
function areDigits(terms: readonly { axis: number; coefficient: number }[], equation: Equation): boolean {
  return terms.every((term, i) => {
    if (term.coefficient <= 0) return false;
    const next = terms[i + 1];
    return (
      !next ||
      (term.coefficient % next.coefficient === 0 &&
        equation.axes[next.axis]!.extent * next.coefficient <= term.coefficient)
    );
  });
}

function nest(steps: readonly Step[], body: { before: string; inner: string; after: string }): string {
  let text = body.inner;
  for (const step of [...steps].reverse()) {
    switch (step.kind) {
      case 'let':
        text = `let ${step.name} = ${step.value};\n${text}`;
        break;
      case 'if':
        text = `if (${step.condition}) {\n${indent(text)}\n}`;
        break;
      case 'for':
        text = `for (var ${step.name} = ${step.from}; ${step.name} < ${step.to}; ${step.name}++) {\n${indent(text)}\n}`;
        break;
      default:
        step satisfies never;
    }
  }
  const block = [body.before, text, body.after].filter(Boolean).join('\n');
  return steps.some((step) => step.kind === 'let') ? `{\n${indent(block)}\n}` : block;
}

/** How a reducer takes one more value, and how its result joins the tensor's element. */
function reduction(
  equation: Equation,
  value: string,
  target: string,
  emitter: Emitter,
): { before: string; inner: string; after: string } {
  switch (equation.reducer) {
    case 'sum':
      return { before: '', inner: `${target} += ${value};`, after: '' };
    case 'max':
    case 'min': {
      const [best, found, next] = [emitter.fresh('best'), emitter.fresh('found'), emitter.fresh('value')];
      const keep = `${equation.reducer}(${best}, ${next})`;
      return {
        before: `var ${best} = 0.0;\nvar ${found} = false;`,
        inner: `let ${next} = ${value};\n${best} = select(${next}, ${keep}, ${found});\n${found} = true;`,
        after: `${target} += ${best};`,
      };
    }
    case 'logsumexp': {
      emitter.use('log_f32');
      const [peak, total, next] = [emitter.fresh('peak'), emitter.fresh('total'), emitter.fresh('value')];
      return {
        before: `var ${peak} = 0.0;\nvar ${total} = 0.0;`,
        inner: wgsl`
          let ${next} = ${value};
          if (${total} == 0.0) {
            ${total} = 1.0;
            ${peak} = ${next};
          } else if (${next} > ${peak}) {
            ${total} = ${total} * exp(${peak} - ${next}) + 1.0;
            ${peak} = ${next};
          } else {
            ${total} += exp(${next} - ${peak});
          }
        `,
        after: `if (${total} > 0.0) { ${target} += ${peak} + log_f32(${total}); }`,
      };
    }
    default:
      return equation.reducer satisfies never;
  }
}
