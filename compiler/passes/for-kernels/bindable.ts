/**
 * Keeps every tensor to the storage buffers that a kernel may bind; program → program.
 *
 *   y sum= a₀·b₀; y sum= a₁·b₁; … y sum= a₅·b₅     (8 buffers)   →   y~part1 of the first three; y sum= y~part1, and the rest
 *
 * Equations of one tensor add, so they are dealt out to partial tensors that hand their sum on. An equation that alone reads too
 * much is cut up first: a sum into an equation a few terms, anything else by making tensors of its operands at every point.
 *
 * The trap: an operand under a `select` may lie outside its tensor where the branch is not taken, so what is made of it is made
 * with the whole select around it.
 */
import { axisIndex, complement } from '../../ir/affine.ts';
import { dependencies, equationsOf, pointwise, readTensors } from '../../ir/equation.ts';
import { binary, constant, loadAxes, product, select, sum, unary } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import type { AffineTerm, Constraint, Equation, Expression, Program, Tensor } from '../../ir/program.ts';

/** Of the buffers of a kernel that makes one part: its own and the part before it. */
const ownBuffers = 2;

/** `allowed`: storage buffers that a kernel may bind. */
export function withinBindings(program: Program, allowed: number): Program {
  if (!program.tensors.some((tensor) => isTooWide(tensor, allowed))) return program;
  const taken = new Set(program.tensors.map(({ name }) => name));
  const tensors = program.tensors.flatMap((tensor) =>
    isTooWide(tensor, allowed) ? splitTensor(tensor, allowed - ownBuffers, taken) : [tensor],
  );
  return { ...program, tensors };
}

function isTooWide(tensor: Tensor, allowed: number): boolean {
  return tensor.source.kind === 'computed' && dependencies(tensor).length + 1 > allowed;
}

function splitTensor(tensor: Tensor, budget: number, taken: Set<string>): Tensor[] {
  const made: Tensor[] = [];
  const add = (shape: readonly number[], equations: readonly Equation[]): string => {
    let number = made.length + 1;
    while (taken.has(`${tensor.name}~part${number}`)) number++;
    const name = `${tensor.name}~part${number}`;
    taken.add(name);
    made.push({ name, dtype: 'f32', shape, source: { kind: 'computed', equations } });
    return name;
  };
  const narrow = equationsOf(tensor).flatMap((equation) => narrowEquations(equation, budget, add));
  const alike = new Map<string, Equation[]>();
  for (const equation of narrow) addTo(alike, storeKey(equation), equation);
  const groups = inGroups([...alike.values()].flat(), readTensors, budget);
  const { shape } = tensor;
  const axes = shape.map((extent, d) => ({ name: `o${d}`, extent }));
  const dimensions = [...axes.keys()];
  let before: readonly Equation[] = [];
  for (const group of groups.slice(0, -1)) {
    before = [pointwise(axes, loadAxes(add(shape, [...before, ...group]), dimensions))];
  }
  return [...made, { ...tensor, source: { kind: 'computed', equations: [...before, ...groups.at(-1)!] } }];
}

/** Which axes an equation stores along: those that store alike may be one kernel (`scaleRatio`), and so stand together. */
function storeKey({ store, axes }: Equation): string {
  const step = ({ axis, coefficient }: AffineTerm) => [axes[axis].extent, coefficient];
  const steps = store.map((index) =>
    index.kind === 'affine' ? index.terms.map(step).filter(([extent]) => extent > 1) : 'gather',
  );
  return JSON.stringify(steps);
}

/** Neighbours together as long as all that they read is within the budget. */
function inGroups<T>(items: readonly T[], reads: (item: T) => readonly string[], budget: number): T[][] {
  const groups: T[][] = [];
  let known = new Set<string>();
  for (const item of items) {
    const together = new Set([...known, ...reads(item)]);
    if (groups.length > 0 && together.size <= budget) {
      groups[groups.length - 1].push(item);
      known = together;
    } else {
      groups.push([item]);
      known = new Set(reads(item));
    }
  }
  return groups;
}

type Add = (shape: readonly number[], equations: readonly Equation[]) => string;

function narrowEquations(equation: Equation, budget: number, add: Add): Equation[] {
  const { value, reducer, store } = equation;
  if (readTensors(equation).length <= budget) return [equation];
  const stored = readTensors({ ...equation, value: constant(0) }).length;
  if (reducer === 'sum' && value.kind === 'sum' && store.length > 0 && value.terms.length > 1) {
    const groups = inGroups(value.terms, readsOf, budget - stored);
    if (groups.length > 1) return groups.flatMap((g) => narrowEquations({ ...equation, value: sum(g) }, budget, add));
  }
  return [{ ...equation, value: narrowExpression(value, equation, budget - stored, add) }];
}

function readsOf(expression: Expression): readonly string[] {
  return readTensors({ axes: [], domain: [], store: [], reducer: 'sum', value: expression });
}

/** The same value, reading at most `budget` tensors, some of them made for it. */
function narrowExpression(e: Expression, around: Equation, budget: number, add: Add): Expression {
  if (readsOf(e).length <= budget) return e;
  const inner = (part: Expression): Expression => narrowExpression(part, around, budget, add);
  const made = (part: Expression, within: readonly Constraint[] = []): Expression => {
    const place = { ...around, domain: [...around.domain, ...within] };
    const value = narrowExpression(part, place, budget, add);
    const all = [...place.axes.keys()];
    const shape = place.axes.map(({ extent }) => extent);
    return loadAxes(add(shape, [{ ...place, store: all.map(axisIndex), reducer: 'sum', value }]), all);
  };
  const joined = (parts: readonly Expression[], join: (parts: readonly Expression[]) => Expression): Expression => {
    const groups = inGroups(parts.map(inner), readsOf, budget);
    if (groups.length === 1) return join(groups[0]);
    return inner(join(groups.map((group) => (readsOf(join(group)).length <= 1 ? join(group) : made(join(group))))));
  };
  switch (e.kind) {
    case 'sum':
      return joined(e.terms, sum);
    case 'product':
      return joined(e.factors, product);
    case 'unary':
      return unary(e.operator, inner(e.operand));
    case 'binary':
      return binary(e.operator, made(e.left), made(e.right));
    case 'select': {
      const { condition, then, otherwise } = e;
      const zero = constant(0);
      if (condition.kind === 'domain') {
        const taken = isZero(then) ? [] : [made(then, condition.constraints)];
        const ways = isZero(otherwise) ? [] : complement(condition.constraints);
        return inner(sum([...taken, ...ways.map((failing) => made(otherwise, failing))]));
      }
      const compared = { ...condition, left: made(condition.left), right: made(condition.right) };
      const [yes, no] = [then, otherwise].map((part) => (isZero(part) ? part : made(part)));
      const choice = select(compared, yes, no);
      if (readsOf(choice).length <= budget || isZero(yes) || isZero(no)) return choice;
      return sum([made(select(compared, yes, zero)), made(select(compared, zero, no))]);
    }
    case 'constant':
    case 'index':
    case 'load':
    case 'random':
      return e;
    default:
      return e satisfies never;
  }
}

function isZero(e: Expression): boolean {
  return e.kind === 'constant' && e.value === 0;
}
