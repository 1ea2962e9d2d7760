/**
 * How far f32 may honestly be from float64, for one program and its inputs: Monte Carlo arithmetic (Parker 1997). The
 * interpreter runs the program with a random error at every rounding that a kernel may make, each of the size that
 * WGSL or `test/kernels/wgsl/library.test.ts` promises for that operation. How far the outputs then lie from float64 is the
 * error to expect: large where the program subtracts nearly equal numbers, and only there.
 *
 * The trap: an error that all elements share cancels where it must not, and a sum that is moved as a whole hides what
 * was lost in its terms. So each operation has an error of its own wherever its operands differ, and a reduction's is in
 * its terms. But along an axis that an operation does not see it computes the same again, with the same error: the sum of
 * n equal terms is off by n times what one is. Conditions stay exact: a comparison that turns over is no rounding.
 */
import { affine } from '../../compiler/ir/affine.ts';
import { equationsOf, reducedCount, storeAxes } from '../../compiler/ir/equation.ts';
import { axesOf, children, constant, loads, product, select, sum, unary } from '../../compiler/ir/expression.ts';
import { interpret } from '../../compiler/ir/interpret.ts';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import type { Axis, Equation, Expression, Program, Tensor, UnaryOperator } from '../../compiler/ir/program.ts';
import { relativeError } from './relative-error.ts';

type Values = ReadonlyMap<string, NdArray>;

/** Half a unit in f32's last place, relative to the number. */
const unit = 2 ** -24;
const samples = 4;
/** Samples may all be lucky where an output has few elements. Devices stay below a tenth of it, nearly always. */
const margin = 4;
/** Where hardly anything rounds, one element's last place. */
const least = 2e-6;
/** A bound above this says too little to catch anything but nonsense. */
export const blurred = 1e-3;

/** Values as the device holds them. */
export function asF32(inputs: Values): Map<string, NdArray> {
  return new Map([...inputs].map(([name, { shape, data }]) => [name, { shape, data: data.map(Math.fround) }]));
}

/** The largest relative error to allow for each output. */
export function roundingBounds(program: Program, inputs: Values, want: Values): Map<string, number> {
  const allowed = new Map(program.outputs.map((name) => [name, least]));
  for (let sample = 0; sample < samples; sample++) {
    const other = interpret(roughened(program, sample), inputs, program.outputs);
    for (const [name, bound] of allowed) {
      const error = margin * relativeError(other.get(name)!.data, want.get(name)!.data);
      if (!(error <= bound)) allowed.set(name, error);
    }
  }
  return allowed;
}

/** The program with an error of its own, by `sample`, in every operation. */
export function roughened(program: Program, sample: number): Program {
  const whole = new Set(program.tensors.filter((t) => t.dtype === 'i32').map((t) => t.name));
  const asked = new Set(program.tensors.flatMap((t) => equationsOf(t).flatMap((e) => askedFor(e.value))));
  let stream = 0;
  const tensors = program.tensors.map((tensor): Tensor => {
    if (tensor.source.kind !== 'computed' || tensor.dtype === 'i32') return tensor;
    const equations = tensor.source.equations.map((e): Equation => {
      // Which point has the maximum must stay as it is.
      if ((e.reducer === 'max' || e.reducer === 'min') && asked.has(tensor.name)) return e;
      const where: Where = { axes: e.axes, whole, sample, stream: () => stream++ };
      const rough = roughen(e.value, where);
      return { ...e, value: inReduction(rough, e, where) };
    });
    return { ...tensor, source: { kind: 'computed', equations } };
  });
  return { ...program, tensors };
}

/** Tensors with whose elements the expression compares something. */
function askedFor(e: Expression): readonly string[] {
  const compared = e.kind === 'select' && e.condition.kind === 'compare' ? [e.condition.left, e.condition.right] : [];
  return [...compared.flatMap(loads).map(({ tensor }) => tensor), ...children(e).flatMap(askedFor)];
}

interface Where {
  readonly axes: readonly Axis[];
  /** i32 tensors, which hold what they hold. */
  readonly whole: ReadonlySet<string>;
  readonly sample: number;
  readonly stream: () => number;
}

/**
 * Between -size and size, another at each point of the axes that are `seen`: the sine of a large angle. Draws would take ten times
 * as long. From point to point the angle grows as it does in no other sample: what cancels along an axis in one does not in all.
 */
function noise({ axes, sample, stream }: Where, size: number, seen: readonly number[]): Expression {
  let stride = 1;
  const terms = seen.map((axis) => {
    const term = { axis, coefficient: stride };
    stride *= axes[axis].extent;
    return term;
  });
  const at = stream();
  const position: Expression = { kind: 'index', affine: affine(1, terms) };
  const angle = sum([
    product([constant(100 + 1.618 * at + 0.73 * sample), position]),
    constant(2.4 * at + 1.7 * sample),
  ]);
  return product([constant(size), unary('sin', angle)]);
}

/** All in units of `unit`; `operand`: how far the argument counts as moved, as exp's error grows with it. */
interface Loss {
  readonly relative: number;
  readonly absolute?: number;
  readonly operand?: number;
}

const unaryLoss: Readonly<Record<UnaryOperator, Loss>> = {
  negate: { relative: 0 },
  abs: { relative: 0 },
  sign: { relative: 0 },
  relu: { relative: 0 },
  exp: { relative: 6, operand: 4 },
  log: { relative: 5, absolute: 2 },
  sqrt: { relative: 5 },
  rsqrt: { relative: 17 },
  tanh: { relative: 17 },
  erf: { relative: 17, absolute: 5 },
  sigmoid: { relative: 8, operand: 4 },
  silu: { relative: 8, operand: 4 },
  gelu: { relative: 17, absolute: 5 },
  sin: { relative: 0, absolute: 4 },
  cos: { relative: 0, absolute: 4 },
};

function roughen(e: Expression, where: Where): Expression {
  const go = (part: Expression): Expression => roughen(part, where);
  const off = (part: Expression, relative: number, absolute = 0): Expression => {
    const moved = (size: number): Expression => noise(where, size * unit, axesOf(part));
    const scaled = relative === 0 ? part : product([part, sum([constant(1), moved(relative)])]);
    return absolute === 0 ? scaled : sum([scaled, moved(absolute)]);
  };
  // An operand may be rounded once for each of its uses: `a (b - c)` may be computed as `a b - a c`.
  const operand = (part: Expression): Expression => {
    if (part.kind === 'load') return where.whole.has(part.tensor) ? part : off(part, 1);
    if (part.kind === 'constant') return Math.fround(part.value) === part.value ? part : off(part, 1);
    return go(part);
  };
  switch (e.kind) {
    case 'constant':
    case 'index':
    case 'load':
      return e;
    case 'sum':
      return off(sum(e.terms.map(operand)), e.terms.length - 1);
    case 'product':
      return off(product(e.factors.map(operand)), e.factors.length - 1);
    case 'unary': {
      const { relative, absolute, operand: moved = 0 } = unaryLoss[e.operator];
      return off({ ...e, operand: off(go(e.operand), moved) }, relative, absolute);
    }
    case 'binary': {
      if (e.operator === 'minimum' || e.operator === 'maximum') return { ...e, left: go(e.left), right: go(e.right) };
      if (e.operator === 'divide') return off({ ...e, left: operand(e.left), right: operand(e.right) }, 5);
      // x^y is exp2(y log2 x), but a constant whole power must stay whole: x may be negative.
      const right = e.right.kind === 'constant' ? e.right : off(go(e.right), 4);
      return off({ ...e, left: go(e.left), right }, 17);
    }
    case 'select':
      return select(e.condition, go(e.then), go(e.otherwise));
    case 'random':
      return e.distribution === 'uniform' ? e : off(e, 0, 50);
    default:
      return e satisfies never;
  }
}

/** n terms are rounded n - 1 times on their way into a sum, each time as the sum so far: half of n terms on average. */
function inReduction(value: Expression, e: Equation, where: Where): Expression {
  const size = ((reducedCount(e) - 1) / 2) * unit;
  const seen = [...new Set([...storeAxes(e), ...axesOf(e.value)])];
  const moved = (by: number): Expression => noise(where, by, seen);
  switch (e.reducer) {
    case 'max':
    case 'min':
      return value;
    case 'product':
      return product([value, sum([constant(1), moved(unit)])]);
    case 'sum':
      return size === 0 ? value : product([value, sum([constant(1), moved(size)])]);
    case 'logsumexp':
      return sum([product([value, sum([constant(1), moved(4 * unit)])]), moved(size + 8 * unit)]);
    default:
      return e.reducer satisfies never;
  }
}
