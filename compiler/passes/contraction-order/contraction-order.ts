/**
 * The order of every contraction: an equation with three or more operands becomes a chain of equations with two.
 *
 *   y[n, 8·α + β] sum= L[β, α, γ] * R[γ, δ, β] * x[n, 8·γ + δ]
 *   →  y~1[n, γ, β]  sum= R[γ, δ, β] * x[n, 8·γ + δ]
 *      y[n, 8·α + β] sum= L[β, α, γ] * y~1[n, γ, β]
 *
 * Intermediates have one dimension for each of the equation's axes that is still live (`network.ts`), rows of data first
 * (`axesOfJoin`), under the user's names. What else is decided here:
 *  - a factor that is more than a load and spans less than its step's loop is computed once, as a tensor (`W / max(1, ρ / σ)`);
 *  - axis-free factors join the smallest such factor, or the smallest operand; constants go to the last step;
 *  - a step that sums nothing and has its parent's loop is part of its parent (row reductions of a product stay one equation);
 *  - a constraint is asked in every step that has all its axes, an axis of an unasked one is kept;
 *  - an intermediate that some tensor of the program already holds is read from there, and costs nothing in the search.
 *
 * The traps: a load may lie inside its tensor only because of the domain. Where a step could not ask the constraint that guards a
 * load, the equation is left as it is. And a factor may be infinite where the domain excludes it, which an empty sum of the other
 * operands does not undo: the steps of such an equation ask for the domain's shadow on their loop too.
 */
import { affine, axisIndex, range, subtract } from '../../ir/affine.ts';
import type { AxisSet } from '../../ir/contraction.ts';
import {
  axesIn,
  axesOfExpression,
  axesOfStore,
  axisSet,
  factorsOf,
  pointsOf,
  readsTensor,
} from '../../ir/contraction.ts';
import { equationsOf, usedAxes } from '../../ir/equation.ts';
import {
  affinesOfIndex,
  axisRenaming,
  constant,
  load,
  loadAxes,
  loads,
  product,
  renameAxes,
  rewriteConstraint,
} from '../../ir/expression.ts';
import { findPoint } from '../../ir/feasible.ts';
import { addTo } from '../../ir/lists.ts';
import type { Affine, Axis, Dtype, Equation, Expression, Index, Program, Tensor } from '../../ir/program.ts';
import type { Shadow } from '../../ir/shadow.ts';
import { shadowOf } from '../../ir/shadow.ts';
import { canonicalSum } from '../canonical.ts';
import { factsOf } from '../facts.ts';
import { plainStore, storesOnce } from '../store.ts';
import type { Tree } from './network.ts';
import { liveAxes } from './network.ts';
import type { Plan } from './plan.ts';
import { constraintsWithin, intermediateKey, isPlainLoad, planEquation, unionOf } from './plan.ts';
import { sharedIntermediates } from './shared.ts';
import { orderNetwork } from './tree.ts';

export function orderContractions(program: Program): Program {
  const workshop = new Workshop(program, sharedIntermediates(program));
  for (const tensor of program.tensors) workshop.add(tensor);
  return { ...program, tensors: workshop.tensors };
}

interface Held {
  readonly tensor: string;
  /** Canonical axis number → dimension. */
  readonly dimension: ReadonlyMap<number, number>;
}

/** A tensor with one dimension for each of `kept`, which holds the sum of `value`. */
interface Holding {
  readonly name: string;
  readonly dtype: Dtype;
  readonly within: Equation;
  readonly value: Expression;
  readonly kept: readonly number[];
}

/** The program as it grows, and what its tensors hold. */
class Workshop {
  readonly tensors: Tensor[] = [];
  private readonly names: Set<string>;
  private readonly shapes = new Map<string, readonly number[]>();
  /** Canonical key with type → where it is held, of the signatures that were asked for. */
  private readonly held = new Map<string, Held>();
  /** Sums by signature, until one of that signature is asked for: few are, and a key takes time. */
  private readonly waiting = new Map<string, Holding[]>();
  /** Names of the tensors that a held product reads: a quick no for most subsets. */
  private readonly signatures = new Set<string>();

  readonly facts = factsOf([]);
  /** Keys of intermediates that several equations had better share, made already or not. */
  readonly shared: ReadonlySet<string>;

  constructor(program: Program, shared: ReadonlySet<string>) {
    this.names = new Set(program.tensors.map((tensor) => tensor.name));
    this.shared = shared;
  }

  add(tensor: Tensor): void {
    const equations = equationsOf(tensor);
    const ordered = equations.map((equation) => new Orderer(this, tensor, equation).order());
    const changed = ordered.some((equation, i) => equation !== equations[i]);
    this.push(changed ? { ...tensor, source: { kind: 'computed', equations: ordered } } : tensor);
  }

  push(tensor: Tensor): void {
    this.tensors.push(tensor);
    this.facts.add(tensor);
    this.names.add(tensor.name);
    this.shapes.set(tensor.name, tensor.shape);
    const [only, ...others] = equationsOf(tensor);
    if (only === undefined || others.length > 0 || only.reducer !== 'sum') return;
    // A repeated point is nothing that a key tells.
    if (usedAxes(only).length < only.axes.length) return;
    const kept = plainStore(only);
    if (kept === undefined || kept.some((axis, d) => only.axes[axis].extent !== tensor.shape[d])) return;
    this.hold(tensor.name, tensor.dtype, only, only.value, kept);
  }

  /** Notes that a tensor with one dimension for each of `kept` holds the sum of `value`. */
  hold(name: string, dtype: Dtype, within: Equation, value: Expression, kept: readonly number[]): void {
    const own = signature([value]);
    this.signatures.add(own);
    addTo(this.waiting, own, { name, dtype, within, value, kept });
  }

  /** Files what waits under a signature, in the order in which it was made. */
  private file(asked: string): void {
    for (const { name, dtype, within, value, kept } of this.waiting.get(asked) ?? []) {
      const { key, numbering } = canonicalSum({ axes: within.axes, domain: within.domain, value, kept });
      const dimension = new Map(kept.map((axis, d) => [numbering.get(axis) as number, d]));
      if (!this.held.has(`${dtype} ${key}`)) this.held.set(`${dtype} ${key}`, { tensor: name, dimension });
    }
    this.waiting.delete(asked);
  }

  /** A load of the tensor that holds the sum, over the equation's axes. */
  find(dtype: Dtype, within: Equation, value: Expression, kept: readonly number[]): Expression | undefined {
    const asked = signature([value]);
    if (!this.signatures.has(asked)) return undefined;
    this.file(asked);
    const { key, numbering } = canonicalSum({ axes: within.axes, domain: within.domain, value, kept });
    const found = this.held.get(`${dtype} ${key}`);
    if (found === undefined) return undefined;
    const indices = new Array<Affine>(kept.length);
    for (const axis of kept) indices[found.dimension.get(numbering.get(axis) as number) as number] = axisIndex(axis);
    return load(found.tensor, indices);
  }

  mayHold(factors: readonly Expression[]): boolean {
    return this.signatures.has(signature(factors));
  }

  shapeOf(name: string): readonly number[] {
    return this.shapes.get(name) as readonly number[];
  }

  /** `y~1`, `y~2`, … */
  freshName(target: string): string {
    const stem = target.replace(/~\d+$/, '');
    for (let i = 1; ; i++) if (!this.names.has(`${stem}~${i}`)) return `${stem}~${i}`;
  }
}

function signature(factors: readonly Expression[]): string {
  return factors
    .flatMap((factor) => loads(factor).map((l) => l.tensor))
    .sort()
    .join(' ');
}

class Orderer {
  private readonly workshop: Workshop;
  private readonly target: Tensor;
  private readonly equation: Equation;
  private readonly dtype: Dtype;
  private readonly isSingular: boolean;
  private made = false;

  constructor(workshop: Workshop, target: Tensor, equation: Equation) {
    this.workshop = workshop;
    this.target = target;
    this.equation = equation;
    this.dtype = target.dtype === 'i32' ? 'f32' : target.dtype;
    const { axes, domain } = equation;
    const isTame = (factor: Expression): boolean => {
      const asked = constraintsWithin(equation, axesOfExpression(factor));
      return workshop.facts.surelyFinite(factor, { axes, domain: asked });
    };
    this.isSingular = domain.length > 0 && !factorsOf(equation.value).factors.every(isTame);
  }

  order(): Equation {
    const { equation } = this;
    const plan = planEquation(equation);
    if (plan === undefined || storesOnce(equation) || !plan.factors.every((factor) => this.isGuarded(factor)))
      return equation;
    const { tree } = orderNetwork({
      ...plan.network,
      isAvailable: (members) => this.isHeld(plan, members),
    });
    const last = this.lastLoop(plan, tree);
    if (this.isSingular && ![last, ...loopsOf(tree)].every((loop) => this.shadow(loop).exact)) return equation;
    const value = this.emit(plan, tree, last);
    return this.made ? this.restrict(product([constant(plan.constant), value]), axesIn(last)) : equation;
  }

  /** The loop of the equation that stores: the root's, or a copy's where the store needs axes that no operand has. */
  private lastLoop({ network }: Plan, tree: Tree): AxisSet {
    const owned = network.operands.reduce((all, axes) => all | axes, 0n);
    const unasked = network.constraints.filter((axes) => (axes & ~owned) !== 0n);
    const needed = unasked.reduce((all, axes) => all | axes, network.store);
    const scatters = this.equation.store.some((index) => index.kind === 'gather');
    if ((needed & ~owned) === 0n && !scatters) return tree.kind === 'join' ? tree.loop : tree.axes;
    return tree.axes | needed;
  }

  /** The subtree as an expression over the equation's axes, for a step with the given loop; makes the tensors that it needs. */
  private emit(plan: Plan, tree: Tree, loop: AxisSet): Expression {
    if (tree.kind === 'leaf') {
      const factor = plan.factors[tree.operand];
      const own = plan.network.operands[tree.operand];
      if (tree.summed) return this.make(factor, () => factor, own, inOrderOfUse(factor, tree.axes));
      return own === loop || isPlainLoad(factor) || !readsTensor(factor)
        ? factor
        : this.make(factor, () => factor, own, inOrderOfUse(factor, own));
    }
    const value = (): Expression =>
      product([this.emit(plan, tree.left, tree.loop), this.emit(plan, tree.right, tree.loop)]);
    // The root sums into the target itself, unless a copy follows; a step that sums nothing is part of a step over the same points.
    const isLast = tree.loop === loop && this.isRoot(plan, tree);
    if (isLast || (tree.loop === loop && tree.axes === tree.loop)) return value();
    const flat = product(operandsOf(tree).map((operand) => plan.factors[operand]));
    return this.make(flat, value, tree.loop, axesOfJoin(tree, this.equation.axes), operandsOf(tree), plan);
  }

  private isRoot(plan: Plan, tree: Tree): boolean {
    return operandsOf(tree).length === plan.factors.length;
  }

  /** A load of the tensor that holds `Σ flat`; where there is none yet, one is made from `value`, which means the same. */
  private make(
    flat: Expression,
    value: () => Expression,
    loop: AxisSet,
    kept: readonly number[],
    members?: readonly number[],
    plan?: Plan,
  ): Expression {
    this.made = true;
    const whole = members && plan ? this.within(unionOf(members, plan)) : this.within(loop);
    const found = this.workshop.find(this.dtype, whole, flat, kept);
    if (found !== undefined) return found;
    const expression = value();
    const name = this.workshop.freshName(this.target.name);
    const axes = [...kept, ...axesIn(loop & ~axisSet(kept))];
    const restricted = this.restrict(expression, axes);
    const position = new Map(axes.map((axis, i) => [axis, i]));
    const equation: Equation = {
      ...restricted,
      store: kept.map((axis) => axisIndex(position.get(axis) as number)),
    };
    const shape = kept.map((axis) => this.equation.axes[axis].extent);
    this.workshop.push({ name, dtype: this.dtype, shape, source: { kind: 'computed', equations: [equation] } });
    this.workshop.hold(name, this.dtype, whole, flat, kept);
    return loadAxes(name, kept);
  }

  /** Whether the intermediate of some operands is there already, or is to be made for others as well. */
  private isHeld(plan: Plan, members: readonly number[]): boolean {
    if (this.workshop.shared.size > 0) {
      const key = intermediateKey(this.equation, plan, members);
      if (this.workshop.shared.has(`${this.dtype} ${key}`)) return true;
    }
    const factors = members.map((member) => plan.factors[member]);
    if (!this.workshop.mayHold(factors)) return false;
    const kept = axesIn(liveAxes(plan.network, members));
    return this.workshop.find(this.dtype, this.within(unionOf(members, plan)), product(factors), kept) !== undefined;
  }

  /** The equation with only the constraints that a loop over these axes can ask. */
  private within(loop: AxisSet): Equation {
    const asked = constraintsWithin(this.equation, loop);
    return { ...this.equation, domain: this.isSingular ? [...asked, ...this.shadow(loop).constraints] : asked };
  }

  private shadow(loop: AxisSet): Shadow {
    const { axes, domain } = this.equation;
    return shadowOf(domain, axes, (axis) => ((loop >> BigInt(axis)) & 1n) === 1n);
  }

  /** The equation over a part of its axes, with the constraints that these can ask. */
  private restrict(value: Expression, axes: readonly number[]): Equation {
    const { equation } = this;
    const loop = axisSet(axes);
    const positions: number[] = [];
    axes.forEach((axis, position) => {
      positions[axis] = position;
    });
    const rename = axisRenaming(positions);
    const renameIndex = (index: Index): Index =>
      index.kind === 'affine' ? rename(index) : { ...index, indices: index.indices.map(renameIndex) };
    const isWhole = (axesOfStore(equation) & ~loop) === 0n;
    return {
      ...equation,
      axes: axes.map((axis) => equation.axes[axis]),
      domain: this.within(loop).domain.map((c) => rewriteConstraint(c, { affine: rename })),
      store: isWhole ? equation.store.map(renameIndex) : [],
      value: renameAxes(value, positions),
    };
  }

  /** Whether every load of a factor lies inside its tensor by what the factor's own axes can say. */
  private isGuarded(factor: Expression): boolean {
    const { axes } = this.equation;
    const own = axesOfExpression(factor);
    const guards = this.within(own).domain;
    const inside = (tensor: string, indices: readonly Index[]): boolean =>
      indices.every((index, d) => {
        if (index.kind === 'gather') return inside(index.tensor, index.indices);
        const extent = this.workshop.shapeOf(tensor)[d];
        const { min, max } = range(index, axes);
        if (min >= 0 && max < extent) return true;
        return [subtract(affine(-1), index), subtract(index, affine(extent))].every(
          (beyond) => findPoint(axes, [...guards, { kind: 'nonnegative', affine: beyond }]).kind === 'none',
        );
      });
    return loads(factor).every((l) => inside(l.tensor, l.indices));
  }
}

/** The axes in the order in which the largest read of a factor has them, so that a lifted operand keeps its layout. */
function inOrderOfUse(factor: Expression, set: AxisSet): readonly number[] {
  const reads = loads(factor).map((read) => [...new Set(read.indices.flatMap(affinesOfIndex).flatMap(axesOfAffine))]);
  const longest = reads.reduce((a, b) => (b.length > a.length ? b : a), []);
  const first = longest.filter((axis) => ((set >> BigInt(axis)) & 1n) === 1n);
  return [...first, ...axesIn(set).filter((axis) => !first.includes(axis))];
}

/**
 * How an intermediate lies in memory: the axes of the larger operand alone first, then those of both, last those of the smaller,
 * as a matrix product lays out rows of data times a matrix; a batch axis in the innermost place would scatter every row.
 */
function axesOfJoin(tree: Extract<Tree, { kind: 'join' }>, axes: readonly Axis[]): readonly number[] {
  const [left, right] = [tree.left.axes, tree.right.axes];
  const [larger, smaller] = pointsOf(left, axes) >= pointsOf(right, axes) ? [left, right] : [right, left];
  return [tree.axes & larger & ~smaller, tree.axes & larger & smaller, tree.axes & ~larger].flatMap(axesIn);
}

function axesOfAffine(a: Affine): readonly number[] {
  return [...a.terms].sort((x, y) => y.coefficient - x.coefficient).map((term) => term.axis);
}

function loopsOf(tree: Tree): readonly AxisSet[] {
  return tree.kind === 'leaf' ? [tree.axes] : [tree.loop, ...loopsOf(tree.left), ...loopsOf(tree.right)];
}

function operandsOf(tree: Tree): readonly number[] {
  return tree.kind === 'leaf' ? [tree.operand] : [...operandsOf(tree.left), ...operandsOf(tree.right)];
}
