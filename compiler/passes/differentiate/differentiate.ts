/**
 * Reverse-mode differentiation: program → the same program with, for each tensor T that matters, the derivative of the outputs
 * with respect to it, its *cotangent*. The derivative of an equation is equations, with a load's map exchanged for the store's:
 *
 *   y[b, i] sum= W[i, j] * x[b, j]      →   grad.W[i, j] sum= cot.y[b, i] * x[b, j]
 *                                           grad.x[b, j] sum= cot.y[b, i] * W[i, j]        over the same axes and domain
 *
 * A slice thus becomes a padded store, a diagonal a diagonal store, a gather a scatter-add, a broadcast a sum. Within the value the
 * chain rule runs from the root to each load (`chain-rule.ts`). Reducers:
 *
 *   T = logsumexp(v)   cot.v = cot.T * exp(v - T)
 *   T = max(v)         cot.v = cot.T / count where v == T, the count of ties being a tensor of its own
 *   T = Π v            cot.v = cot.T * T / v; where one factor is 0, for it alone, cot.T times the product of the others
 *
 * The trap: a load under `select(i >= 1, x[i - 1], 0)` lies inside its tensor only in that branch, so the store that it becomes
 * needs the branch's condition in its domain.
 */
import { add, affine, axisIndex, scale } from '../../ir/affine.ts';
import { equation as makeEquation, pointwise, tensorMap } from '../../ir/equation.ts';
import { constant, divide, load, loadAxes, negate, select, sum, unary } from '../../ir/expression.ts';
import { stridesOf } from '../../ir/ndarray.ts';
import type { Affine, Axis, Condition, Equation, Expression, Program, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import type { Facts } from '../facts.ts';
import { factsOf } from '../facts.ts';
import { freshName } from '../names.ts';
import type { Contribution, Path } from './chain-rule.ts';
import { factorStep, flow, flowingLoads, guardStep, merge } from './chain-rule.ts';
import { outline } from './outline.ts';
import { storedExponential, storedResult } from './stored.ts';

export interface DifferentiateOptions {
  /**
   * Outputs to differentiate: `'input'` takes the cotangent from the caller, as an input `cot.NAME` of the output's shape; `'one'`
   * is for a loss, a scalar, whose cotangent is 1.
   */
  readonly seeds: Readonly<Record<string, 'input' | 'one'>>;
  /** Tensors to find `grad.NAME` of; zero where one takes no part. */
  readonly wrt: readonly string[];
}

/**
 * Keeps all tensors, outputs and updates and adds `grad.NAME` for each `wrt` to the outputs. A name that is taken (a second
 * derivative) gets `~2` appended. Throws if a seed or `wrt` names no floating tensor, or a seed of one no scalar.
 */
export function differentiate(program: Program, options: DifferentiateOptions): Program {
  checkOptions(program, options);
  const concerned = between(program, options);
  const outlined = outline(program, concerned);
  const context = new Backward(outlined, options);
  const reversed = outlined.tensors.toReversed().filter((tensor) => context.concerned.has(tensor.name));
  for (const tensor of reversed) context.pass(tensor);
  const gradients = options.wrt.map((name) => context.gradient(name));
  return {
    ...outlined,
    tensors: [...outlined.tensors, ...context.made],
    outputs: [...program.outputs, ...new Set(gradients)],
  };
}

function checkOptions(program: Program, { seeds, wrt }: DifferentiateOptions): void {
  const tensors = tensorMap(program);
  for (const name of [...Object.keys(seeds), ...wrt]) {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`cannot differentiate by ${name}: there is no such tensor`);
    if (tensor.dtype === 'i32') throw new Error(`cannot differentiate by ${name}: it holds integers`);
    if (seeds[name] === 'one' && elementCount(tensor.shape) !== 1) {
      throw new Error(
        `the cotangent of ${name} cannot be 1: its shape is [${tensor.shape.join(', ')}], not a scalar's`,
      );
    }
  }
}

/** Tensors that depend on a `wrt` tensor and that a seeded output depends on: what derivatives flow through. */
function between(program: Program, { seeds, wrt }: DifferentiateOptions): ReadonlySet<string> {
  const tensors = tensorMap(program);
  const sources = (tensor: Tensor): readonly string[] =>
    differentiableSources(tensor).filter((name) => tensors.get(name)?.dtype !== 'i32');
  const dependent = new Set(wrt);
  for (const tensor of program.tensors) {
    if (tensor.dtype !== 'i32' && sources(tensor).some((name) => dependent.has(name))) dependent.add(tensor.name);
  }
  const active = new Set(Object.keys(seeds));
  for (const tensor of program.tensors.toReversed()) {
    if (active.has(tensor.name) && tensor.dtype !== 'i32') for (const name of sources(tensor)) active.add(name);
  }
  return new Set(program.tensors.map((t) => t.name).filter((name) => dependent.has(name) && active.has(name)));
}

function differentiableSources({ source }: Tensor): readonly string[] {
  switch (source.kind) {
    case 'input':
    case 'param':
      return [];
    case 'computed':
      return source.equations.flatMap((e) => flowingLoads(e.value).map((l) => l.tensor));
    case 'view':
      return [source.base];
    case 'concat':
      return source.parts.map((part) => part.tensor);
    default:
      return source satisfies never;
  }
}

/** The tensors made so far, and the equations collected for cotangents that are not complete yet. */
class Backward {
  readonly concerned: ReadonlySet<string>;
  readonly made: Tensor[] = [];
  private readonly options: DifferentiateOptions;
  private readonly program: Program;
  private readonly tensors: ReadonlyMap<string, Tensor>;
  private readonly facts: Facts;
  private readonly taken: Set<string>;
  private readonly pending = new Map<string, Equation[]>();
  private readonly seeds: ReadonlyMap<string, string>;
  private readonly gradients = new Map<string, string>();

  constructor(program: Program, options: DifferentiateOptions) {
    this.program = program;
    this.options = options;
    this.tensors = tensorMap(program);
    this.facts = factsOf(program.tensors);
    this.taken = new Set(this.tensors.keys());
    this.concerned = between(program, options);
    const seeds = Object.entries(options.seeds);
    this.seeds = new Map(seeds.map(([name, from]) => [name, this.makeSeed(this.tensorNamed(name), from)]));
  }

  /** Completes the tensor's cotangent and hands it on to what the tensor was made from. */
  pass(tensor: Tensor): void {
    const cotangent = this.complete(tensor);
    if (cotangent === undefined) return;
    const { source, shape } = tensor;
    switch (source.kind) {
      case 'input':
      case 'param':
        return;
      case 'computed':
        for (const equation of source.equations) this.passEquation(equation, tensor, cotangent);
        return;
      case 'view': {
        const axes = axesOfShape(shape);
        const store = [add(affine(source.offset), flatPosition(shape))];
        const value = loadAxes(cotangent, [...axes.keys()]);
        this.collect(source.base, makeEquation({ axes, store, value }));
        return;
      }
      case 'concat':
        for (const { tensor: part, offset } of source.parts) {
          const partShape = this.tensorNamed(part).shape;
          const value = load(cotangent, [add(affine(offset), flatPosition(partShape))]);
          this.collect(part, pointwise(axesOfShape(partShape), value));
        }
        return;
      default:
        source satisfies never;
    }
  }

  /** The name of a `wrt` tensor's gradient; zero where nothing flowed to it. */
  gradient(name: string): string {
    const known = this.gradients.get(name);
    if (known !== undefined) return known;
    const { shape, dtype } = this.tensorNamed(name);
    const made = this.make(`grad.${name}`, shape, dtype, []);
    this.gradients.set(name, made);
    return made;
  }

  private tensorNamed(name: string): Tensor {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return tensor;
  }

  private make(
    wanted: string,
    shape: readonly number[],
    dtype: Tensor['dtype'],
    equations: readonly Equation[],
  ): string {
    const name = freshName(wanted, this.taken);
    this.add({ name, dtype, shape, source: { kind: 'computed', equations } });
    return name;
  }

  private add(tensor: Tensor): void {
    this.made.push(tensor);
    this.facts.add(tensor);
  }

  private collect(target: string, equation: Equation): void {
    if (!this.concerned.has(target)) return;
    const equations = this.pending.get(target);
    if (equations === undefined) this.pending.set(target, [equation]);
    else equations.push(equation);
  }

  /** The tensor that holds the cotangent of `tensor`, all of whose consumers have passed; undefined if it is zero. */
  private complete(tensor: Tensor): string | undefined {
    const { name, shape, dtype } = tensor;
    const collected = this.pending.get(name) ?? [];
    const seed = this.seeds.get(name);
    const isWanted = this.options.wrt.includes(name);
    if (seed !== undefined && collected.length === 0 && !isWanted) return seed;
    const axes = axesOfShape(shape);
    const seeded = seed === undefined ? [] : [pointwise(axes, loadAxes(seed, [...axes.keys()]))];
    const equations = [...seeded, ...collected];
    if (equations.length === 0) return undefined;
    const made = this.make(isWanted ? `grad.${name}` : `cot~${name}`, shape, dtype, equations);
    if (isWanted) this.gradients.set(name, made);
    return made;
  }

  /** The tensor that holds the cotangent that an output is given, by the caller or as the constant 1. */
  private makeSeed({ name, shape, dtype }: Tensor, from: 'input' | 'one'): string {
    if (from === 'one') return this.make(`cot.${name}`, shape, dtype, [pointwise(axesOfShape(shape), constant(1))]);
    const made = freshName(`cot.${name}`, this.taken);
    this.add({ name: made, dtype, shape, source: { kind: 'input' } });
    return made;
  }

  private passEquation(equation: Equation, tensor: Tensor, cotangent: string): void {
    const { axes, span } = equation;
    const root = this.root(equation, tensor, cotangent);
    const found: Contribution[] = [];
    flow(equation.value, root, equation.domain, storedResult(equation, tensor), {
      wanted: (name) => this.concerned.has(name),
      axes,
      facts: this.facts,
      found,
    });
    for (const { load: l, domain, value } of merge(found)) {
      this.collect(l.tensor, { ...makeEquation({ axes, domain, store: l.indices, value }), ...(span && { span }) });
    }
  }

  /** From the tensor's cotangent to that of the equation's value at a point. */
  private root(equation: Equation, tensor: Tensor, cotangent: string): Path {
    const { axes, domain, store, reducer, value } = equation;
    const root: Path = { cotangent: load(cotangent, store), steps: [] };
    const result = load(tensor.name, store);
    if (reducer !== 'sum' && tensor.source.kind === 'computed' && tensor.source.equations.length > 1) {
      throw new Error(`${tensor.name} adds a ${reducer} to other equations, whose result alone is not stored`);
    }
    switch (reducer) {
      case 'sum':
        return root;
      case 'logsumexp': {
        const weight =
          storedExponential(this.program, equation, tensor.name) ?? unary('exp', sum([value, negate(result)]));
        return { ...root, steps: [factorStep(weight)] };
      }
      case 'max':
      case 'min': {
        const tied: Condition = { kind: 'compare', operator: '==', left: value, right: result };
        const counting = makeEquation({ axes, domain, store, value: select(tied, constant(1), constant(0)) });
        const count = this.make(`${tensor.name}~ties`, tensor.shape, tensor.dtype, [counting]);
        return { ...root, steps: [guardStep(tied), factorStep(divide(constant(1), load(count, store)))] };
      }
      case 'product': {
        const isZero: Condition = { kind: 'compare', operator: '==', left: value, right: constant(0) };
        const { name, shape, dtype } = tensor;
        const over = (e: Expression, by: 'sum' | 'product') =>
          makeEquation({ axes, domain, store, reducer: by, value: e });
        const counting = over(select(isZero, constant(1), constant(0)), 'sum');
        const zeros = load(this.make(`${name}~zeros`, shape, dtype, [counting]), store);
        const multiplying = over(select(isZero, constant(1), value), 'product');
        const others = load(this.make(`${name}~others`, shape, dtype, [multiplying]), store);
        const none = (count: number, then: Expression): Expression =>
          select({ kind: 'compare', operator: '==', left: zeros, right: constant(count) }, then, constant(0));
        return { ...root, steps: [factorStep(select(isZero, none(1, others), none(0, divide(others, value))))] };
      }
      default:
        return reducer satisfies never;
    }
  }
}

function axesOfShape(shape: readonly number[]): readonly Axis[] {
  return shape.map((extent, d) => ({ name: `i${d}`, extent }));
}

/** Row-major position of the element at the axes 0, 1, … of a tensor of this shape. */
function flatPosition(shape: readonly number[]): Affine {
  return stridesOf(shape).reduce((flat, stride, d) => add(flat, scale(axisIndex(d), stride)), affine(0));
}
