/**
 * What a program costs to run, counted from its equations.
 *
 *   y~1[n, r] sum= R[j, r] * x[n, j]   over n: 1, r: 8, j: 64   →   512 multiply-adds
 *
 * One multiply-add for each point of a contraction's box (`ir/contraction.ts`): digit axes count as they loop, the domain is not
 * subtracted, pointwise work and reductions of one operand count nothing.
 *
 * The trap: an equation of many operands is one loop here, as a kernel would run it; what its operands would cost one after
 * another is `leftToRightMultiplyAdds`, which wants the program inlined and not yet ordered.
 */
import type { AxisSet } from '../ir/contraction.ts';
import {
  axesOfConstraint,
  axesOfExpression,
  axesOfStore,
  contractionOperands,
  isContraction,
  pointsOf,
} from '../ir/contraction.ts';
import { dependencies, equationsOf, pointCount, tensorMap } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import { printEquation } from '../ir/print.ts';
import type { Dtype, Equation, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';

export const dtypeBytes: Readonly<Record<Dtype, number>> = { f32: 4, f16: 2, i32: 4 };

/** One contraction of the order that was chosen. */
export interface OrderStep {
  readonly tensor: string;
  readonly equation: string;
  readonly multiplyAdds: number;
  /** Of the tensor that the step stores to. */
  readonly shape: readonly number[];
  readonly bytes: number;
}

export function equationMultiplyAdds(equation: Equation): number {
  return isContraction(equation) ? pointCount(equation) : 0;
}

export function multiplyAdds(program: Program): number {
  return program.tensors.flatMap(equationsOf).reduce((total, equation) => total + equationMultiplyAdds(equation), 0);
}

export function orderSteps(program: Program): readonly OrderStep[] {
  return program.tensors.flatMap((tensor) =>
    equationsOf(tensor)
      .filter(isContraction)
      .map((equation) => ({
        tensor: tensor.name,
        equation: printEquation(equation, tensor.name),
        multiplyAdds: equationMultiplyAdds(equation),
        shape: tensor.shape,
        bytes: tensorBytes(tensor),
      })),
  );
}

export function tensorBytes(tensor: Tensor): number {
  return elementCount(tensor.shape) * dtypeBytes[tensor.dtype];
}

/** Bytes that the program's computed tensors write and its equations read, each operand once an equation. */
export function trafficBytes(program: Program): number {
  const tensors = tensorMap(program);
  const bytesOf = (name: string): number => tensorBytes(tensors.get(name) as Tensor);
  return program.tensors
    .filter((tensor) => tensor.source.kind === 'computed')
    .reduce(
      (total, tensor) => dependencies(tensor).reduce((sum, name) => sum + bytesOf(name), total + tensorBytes(tensor)),
      0,
    );
}

/** Number of elements of all params, those kept from training included. */
export function paramCount(program: Program): number {
  return program.tensors
    .filter((tensor) => tensor.source.kind === 'param')
    .reduce((total, tensor) => total + elementCount(tensor.shape), 0);
}

/** What the contractions would cost if their operands were joined one after another as they are written. */
export function leftToRightMultiplyAdds(program: Program): number {
  return program.tensors.flatMap(equationsOf).reduce((total, equation) => total + leftToRight(equation), 0);
}

function leftToRight(equation: Equation): number {
  const operands = contractionOperands(equation)?.map(axesOfExpression);
  if (operands === undefined) return 0;
  const outside = equation.domain.map(axesOfConstraint).reduce((all, axes) => all | axes, axesOfStore(equation));
  let joined: AxisSet = operands[0];
  let total = 0;
  for (let next = 1; next < operands.length; next++) {
    // The last join is the equation's own loop: it also repeats what it makes along axes that the store alone has.
    const isLast = next === operands.length - 1;
    const loop = joined | operands[next] | (isLast ? axesOfStore(equation) : 0n);
    total += pointsOf(loop, equation.axes);
    const later = operands.slice(next + 1).reduce((all, axes) => all | axes, outside);
    joined = loop & later;
  }
  return total;
}

/**
 * What a dense matrix in the place of every structured one would cost. For a matrix structure, one input x[n, j] and one output
 * y[n, i], that is n·i·j. Otherwise, for each contraction of the program as it was written, the box of the axes of its
 * input-dependent operands and of its store: all its params together are one dense tensor.
 */
export function denseMultiplyAdds(program: Program): number {
  const whole = matrixShape(program);
  if (whole !== undefined) return whole.batch * whole.rows * whole.columns;
  const dependent = dependentTensors(program);
  return program.tensors.flatMap(equationsOf).reduce((total, equation) => {
    const operands = contractionOperands(equation);
    const fed = operands?.filter((operand) => loads(operand).some((l) => dependent.has(l.tensor))) ?? [];
    if (fed.length === 0) return total;
    const box = fed.map(axesOfExpression).reduce((all, axes) => all | axes, axesOfStore(equation));
    return total + pointsOf(box, equation.axes);
  }, 0);
}

export interface MatrixShape {
  readonly input: string;
  readonly output: string;
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
}

/** The program as y[n, i] = W[i, j] x[n, j], where its inputs and outputs have that form. */
export function matrixShape(program: Program): MatrixShape | undefined {
  const [x, ...inputs] = program.tensors.filter((tensor) => tensor.source.kind === 'input');
  const y = program.tensors.find((tensor) => tensor.name === program.outputs[0]);
  if (x === undefined || y === undefined || inputs.length > 0 || program.outputs.length > 1) return undefined;
  if (x.dtype === 'i32' || x.shape.length !== 2 || y.shape.length !== 2 || x.shape[0] !== y.shape[0]) return undefined;
  return { input: x.name, output: y.name, batch: x.shape[0], rows: y.shape[1], columns: x.shape[1] };
}

/** Names of the tensors whose values depend on an input. */
function dependentTensors(program: Program): ReadonlySet<string> {
  const found = new Set<string>();
  for (const tensor of program.tensors) {
    if (tensor.source.kind === 'input' || dependencies(tensor).some((name) => found.has(name))) found.add(tensor.name);
  }
  return found;
}

/**
 * Most bytes alive at once if the tensors are computed in program order: what is given and what is put out lives throughout,
 * everything else from its making to its last reader. A view takes no memory of its own.
 */
export function peakBytes(program: Program): number {
  const kept = new Set([...program.outputs, ...program.updates.map((update) => update.next)]);
  const last = new Map<string, number>();
  program.tensors.forEach((tensor, i) => {
    for (const name of dependencies(tensor)) last.set(name, i);
  });
  // A base lives as long as its views.
  for (const { name, source } of program.tensors.toReversed()) {
    if (source.kind === 'view') last.set(source.base, Math.max(last.get(source.base) ?? 0, last.get(name) ?? 0));
  }
  const given = program.tensors.filter(({ source }) => source.kind === 'input' || source.kind === 'param');
  let alive = given.reduce((total, tensor) => total + tensorBytes(tensor), 0);
  let peak = alive;
  const ending = new Map<number, number>();
  program.tensors.forEach((tensor, i) => {
    if (tensor.source.kind === 'computed' || tensor.source.kind === 'concat') {
      const bytes = tensorBytes(tensor);
      alive += bytes;
      const end = kept.has(tensor.name) ? program.tensors.length : (last.get(tensor.name) ?? i);
      ending.set(end, (ending.get(end) ?? 0) + bytes);
    }
    peak = Math.max(peak, alive);
    alive -= ending.get(i) ?? 0;
  });
  return peak;
}
