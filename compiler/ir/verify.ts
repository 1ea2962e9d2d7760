/**
 * Holds a program to every rule of `program.ts`; run between passes in tests. An empty list is a valid program, otherwise each
 * string names the tensor, the equation and what is wrong.
 *
 * The trap: whether a load lies inside its tensor depends on the domain and on the `select` branches around it. Branches that
 * compare values guard nothing, branches on a domain do.
 */
import { affine, complement, isAffine, range, subtract } from './affine.ts';
import { dependencies } from './equation.ts';
import { constraintOperands } from './expression.ts';
import { findPoint } from './feasible.ts';
import { axisNames, printAffine, printEquation, printExpression } from './print.ts';
import type { Affine, Condition, Constraint, Equation, Expression, Index, Program, Tensor } from './program.ts';
import { elementCount } from './program.ts';
import { integers32, wholeBounds } from './whole.ts';

type Report = (problem: string) => void;
type Tensors = ReadonlyMap<string, Tensor>;

export function verify(program: Program): string[] {
  const problems: string[] = [];
  const all = new Map(program.tensors.map((tensor) => [tensor.name, tensor]));
  const before = new Map<string, Tensor>();
  for (const tensor of program.tensors) {
    const report: Report = (problem) => problems.push(`${tensor.name}: ${problem}`);
    if (before.has(tensor.name)) report('the name is used twice');
    for (const name of dependencies(tensor)) {
      if (!before.has(name))
        report(all.has(name) ? `reads ${name}, which comes after it` : `reads ${name}, which is nowhere`);
    }
    verifyTensor(tensor, before, report);
    before.set(tensor.name, tensor);
  }
  verifyInterface(program, all, (problem) => problems.push(problem));
  return problems;
}

/** Throws with the problems and the pass that made them; for use between passes. */
export function assertValid(program: Program, after: string): Program {
  const problems = verify(program);
  if (problems.length > 0) throw new Error(`invalid program after ${after}:\n${problems.join('\n')}`);
  return program;
}

function verifyInterface(program: Program, tensors: Tensors, report: Report): void {
  program.outputs.forEach((name, i) => {
    if (!tensors.has(name)) report(`the output ${name} is nowhere`);
    if (program.outputs.indexOf(name) !== i) report(`the output ${name} is listed twice`);
  });
  const states = new Set<string>();
  for (const { state, next } of program.updates) {
    const from = tensors.get(state);
    const to = tensors.get(next);
    if (from === undefined || to === undefined) {
      report(`the update ${state} = ${next} names a tensor that is nowhere`);
      continue;
    }
    if (from.source.kind !== 'input' && from.source.kind !== 'param') {
      report(`the state ${state} is ${from.source.kind}, not given by the caller`);
    }
    if (from.dtype !== to.dtype || !sameShape(from.shape, to.shape)) {
      report(`the update ${state} = ${next} changes ${describe(from)} into ${describe(to)}`);
    }
    if (states.has(state)) report(`the state ${state} is updated twice`);
    states.add(state);
  }
}

function verifyTensor(tensor: Tensor, before: Tensors, report: Report): void {
  const { name, shape, source } = tensor;
  if (name === '') report('a tensor without a name');
  if (!shape.every((extent) => Number.isInteger(extent) && extent >= 1))
    report(`the shape [${shape}] is not of whole sizes >= 1`);
  switch (source.kind) {
    case 'input':
      return;
    case 'param':
      if (tensor.dtype === 'i32') report('an i32 param');
      return;
    case 'computed':
      if (source.equations.length > 1 && source.equations.some((e) => e.reducer !== 'sum')) {
        report('a reducer other than sum beside other equations');
      }
      source.equations.forEach((equation, i) => {
        verifyEquation(equation, tensor, before, (problem) => {
          report(`equation ${i}, ${printEquation(equation, name)}: ${problem}`);
        });
      });
      return;
    case 'view': {
      const base = before.get(source.base);
      if (base === undefined) return;
      if (base.shape.length !== 1) report(`the base ${describe(base)} of the view is not flat`);
      if (base.dtype !== tensor.dtype) report(`a view of type ${tensor.dtype} into ${describe(base)}`);
      if (!inside(source.offset, elementCount(shape), elementCount(base.shape))) {
        report(`the view from ${source.offset} leaves ${describe(base)}`);
      }
      return;
    }
    case 'concat': {
      if (shape.length !== 1) report(`a concat is flat, this is ${describe(tensor)}`);
      let end = 0;
      for (const { tensor: partName, offset } of [...source.parts].sort((a, b) => a.offset - b.offset)) {
        const part = before.get(partName);
        if (part === undefined) continue;
        const count = elementCount(part.shape);
        if (part.dtype !== tensor.dtype) report(`the part ${describe(part)} has another type`);
        if (!inside(offset, count, elementCount(shape))) report(`the part ${describe(part)} at ${offset} does not fit`);
        if (offset < end) report(`the part ${partName} at ${offset} overlaps the one before it`);
        end = offset + count;
      }
      return;
    }
    default:
      source satisfies never;
  }
}

function inside(offset: number, count: number, whole: number): boolean {
  return Number.isInteger(offset) && offset >= 0 && offset + count <= whole;
}

function verifyEquation(equation: Equation, target: Tensor, tensors: Tensors, report: Report): void {
  const { axes, domain } = equation;
  const names = axisNames(axes);
  for (const [i, { extent, symbol }] of axes.entries()) {
    if (!Number.isInteger(extent) || extent < 1) report(`the axis ${names[i]} has extent ${extent}`);
    const value = symbol === undefined ? undefined : tensors.get(symbol);
    if (value !== undefined && (value.dtype !== 'i32' || value.shape.length > 0)) {
      report(`the axis ${names[i]} is ${describe(value)}, which is no i32 scalar`);
    }
  }

  const checkAffine = (a: Affine): boolean => {
    const valid = a.terms.every(({ axis }) => Number.isInteger(axis) && axis >= 0 && axis < axes.length);
    if (!valid) report(`${printAffine(a, names)} speaks of an axis that is not there`);
    const numbers = [a.constant, ...a.terms.map((term) => term.coefficient)];
    const ordered = a.terms.every((term, i) => term.coefficient !== 0 && (i === 0 || a.terms[i - 1].axis < term.axis));
    if (!numbers.every(Number.isInteger) || !ordered) report(`${printAffine(a, names)} is not in normal form`);
    return valid;
  };

  const checkInside = (index: Affine, extent: number, guards: readonly Constraint[], what: string): void => {
    if (!checkAffine(index)) return;
    const { min, max } = range(index, axes);
    const outside: Affine[] = [];
    if (min < 0) outside.push(subtract(affine(-1), index));
    if (max >= extent) outside.push(subtract(index, affine(extent)));
    for (const beyond of outside) {
      const found = findPoint(axes, [...guards, { kind: 'nonnegative', affine: beyond }]);
      if (found.kind === 'none') continue;
      const where =
        found.kind === 'unknown'
          ? 'may'
          : `at ${found.point.map((value, axis) => `${names[axis]} = ${value}`).join(', ')} does`;
      report(`the index ${printAffine(index, names)} of ${what} ${where} leave 0 .. ${extent - 1}`);
    }
  };

  const checkIndices = (indices: readonly Index[], tensor: Tensor, guards: readonly Constraint[]): void => {
    const { shape } = tensor;
    if (indices.length !== shape.length) report(`${indices.length} indices for ${describe(tensor)}`);
    indices.slice(0, shape.length).forEach((index, d) => {
      if (index.kind === 'affine') {
        checkInside(index, shape[d], guards, describe(tensor));
        return;
      }
      const gathered = tensors.get(index.tensor);
      if (gathered === undefined) return;
      if (gathered.dtype !== 'i32') report(`the index tensor ${describe(gathered)} is not i32`);
      checkIndices(index.indices, gathered, guards);
    });
  };

  /** What data are compared must be whole, and lie inside its tensors wherever the positions around it allow. */
  const checkConstraints = (constraints: readonly Constraint[], guards: readonly Constraint[]): boolean => {
    const positions = constraints.filter(isAffine);
    const valid = positions.map((c) => checkAffine(c.affine)).every(Boolean);
    for (const side of constraints.flatMap(constraintOperands)) {
      if (
        wholeBounds(side, axes, (name) => (tensors.get(name)?.dtype === 'i32' ? integers32 : undefined)) === undefined
      )
        report(`${printExpression(side, names)} is compared in a domain, and need not be whole`);
      if (valid) checkValue(side, [...guards, ...positions]);
    }
    return valid;
  };

  const checkCondition = (condition: Condition, guards: readonly Constraint[]): void => {
    if (condition.kind === 'domain') {
      checkConstraints(condition.constraints, guards);
      return;
    }
    checkValue(condition.left, guards);
    checkValue(condition.right, guards);
  };

  const checkValue = (e: Expression, guards: readonly Constraint[]): void => {
    switch (e.kind) {
      case 'constant':
        return;
      case 'index':
        checkAffine(e.affine);
        return;
      case 'load': {
        const tensor = tensors.get(e.tensor);
        if (tensor !== undefined) checkIndices(e.indices, tensor, guards);
        return;
      }
      case 'sum':
      case 'product': {
        const parts = e.kind === 'sum' ? e.terms : e.factors;
        if (parts.length < 2) report(`a ${e.kind} of ${parts.length}`);
        for (const part of parts) checkValue(part, guards);
        return;
      }
      case 'unary':
        checkValue(e.operand, guards);
        return;
      case 'binary':
        checkValue(e.left, guards);
        checkValue(e.right, guards);
        return;
      case 'select': {
        checkCondition(e.condition, guards);
        const { condition } = e;
        const holding = condition.kind === 'domain' ? condition.constraints : [];
        checkValue(e.then, [...guards, ...holding]);
        for (const failing of condition.kind === 'domain' ? complement(holding) : [[]]) {
          checkValue(e.otherwise, [...guards, ...failing]);
        }
        return;
      }
      case 'random':
        checkAffine(e.element);
        if (!Number.isInteger(e.stream) || e.stream < 0) report(`the stream ${e.stream} of a draw`);
        checkValue(e.seed, guards);
        checkValue(e.step, guards);
        return;
      default:
        e satisfies never;
    }
  };

  if (!checkConstraints(domain, [])) return;
  checkIndices(equation.store, target, domain);
  checkValue(equation.value, domain);
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, d) => extent === b[d]);
}

function describe(tensor: Tensor): string {
  return `${tensor.name}: ${tensor.dtype}[${tensor.shape.join(', ')}]`;
}
