/**
 * What a program costs to run, counted from its equations. What a multiply-add is stands in `ir/multiply-adds.ts`.
 *
 *   y~1[n, r] sum= R[j, r] * x[n, j]   over n: 1, r: 8, j: 64   →   512 multiply-adds
 *
 * The trap: an equation of many operands is one loop here, as a kernel would run it; what its operands would cost one after
 * another is `leftToRightMultiplyAdds`, which wants the program inlined and not yet ordered.
 */
import type { AxisSet } from '../ir/contraction.ts';
import {
  axesOfConstraint,
  axesOfExpression,
  axesOfStore,
  factorsOf,
  isContraction,
  pointsOf,
  readsTensor,
} from '../ir/contraction.ts';
import { dependencies, equationsOf, tensorMap } from '../ir/equation.ts';
import { multiplyAddsOf, multiplyAddsWithin } from '../ir/multiply-adds.ts';
import { printEquation } from '../ir/print.ts';
import type { Dtype, Equation, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';

export const dtypeBytes: Readonly<Record<Dtype, number>> = { f32: 4, f16: 2, i32: 4 };

/** One equation that multiplies, in the order that was chosen. */
export interface OrderStep {
  readonly tensor: string;
  readonly equation: string;
  readonly multiplyAdds: number;
  /** Of the tensor that the step stores to. */
  readonly shape: readonly number[];
  readonly bytes: number;
}

export function multiplyAdds(program: Program): number {
  return program.tensors.flatMap(equationsOf).reduce((total, equation) => total + multiplyAddsOf(equation), 0);
}

export function orderSteps(program: Program): readonly OrderStep[] {
  return program.tensors.flatMap((tensor) =>
    equationsOf(tensor)
      .filter((equation) => multiplyAddsOf(equation) > 0)
      .map((equation) => ({
        tensor: tensor.name,
        equation: printEquation(equation, tensor.name),
        multiplyAdds: multiplyAddsOf(equation),
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

/** What the program would cost if the operands of its contractions were joined one after another as they are written, on whole boxes. */
export function leftToRightMultiplyAdds(program: Program): number {
  return program.tensors.flatMap(equationsOf).reduce((total, equation) => total + leftToRight(equation), 0);
}

function leftToRight(equation: Equation): number {
  if (!isContraction(equation)) return multiplyAddsOf(equation);
  const factors = factorsOf(equation.value).factors.filter(readsTensor);
  const operands = factors.map(axesOfExpression);
  const outside = equation.domain.map(axesOfConstraint).reduce((all, axes) => all | axes, axesOfStore(equation));
  let joined: AxisSet = operands[0];
  // What is multiplied inside the factors comes on top, at every point.
  let total = factors.reduce((sum, factor) => sum + multiplyAddsWithin({ ...equation, domain: [] }, factor), 0);
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
