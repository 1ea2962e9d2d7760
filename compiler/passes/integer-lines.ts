/**
 * Integer tensors that depend on one sum of their axes alone are a line of numbers, not a plane; program → program.
 *
 *   bucket[t, u] sum= quotient(t - u, 4)   →   bucket~line[d] sum= quotient(d - 63, 4)   over d: 127
 *   y[t, u] sum= bias[bucket[t, u]]            y[t, u] sum= bias[bucket~line[t - u + 63]]
 *
 * What depends on the distance of two tokens then takes memory in their number, not in its square. Those that are affine in a few
 * pieces are index arithmetic by now (`integers.ts`).
 */
import { affine, axisIndex, gcd, range, substitute } from '../ir/affine.ts';
import { equationsOf, readTensors } from '../ir/equation.ts';
import {
  affinesOf,
  affinesOfConstraint,
  load,
  mapChildren,
  type Rewrite,
  rewriteConstraint,
  rewriteExpression,
} from '../ir/expression.ts';
import { wholeAffine } from '../ir/piecewise.ts';
import { plainAxes } from '../ir/plain.ts';
import {
  type Affine,
  type Axis,
  type Equation,
  type Expression,
  elementCount,
  type Index,
  type Program,
  type Tensor,
} from '../ir/program.ts';
import { freshName } from './names.ts';
import { heldTensors, mapEquations, rewriteEquation } from './rename.ts';

/** The line that a tensor is, and where on it an element lies: an affine map of the tensor's dimensions. */
interface Line {
  readonly tensor: Tensor;
  readonly place: Affine;
}

export function integerLines(program: Program): Program {
  const kept = heldTensors(program);
  const taken = new Set(program.tensors.map(({ name }) => name));
  const lines = new Map<string, Line>();
  const rewrite = readingLines(lines);
  // Tensors stand behind those that they read, so that what reads lines may be one too.
  const rewritten = mapEquations(program, (equation, tensor) => {
    const readsLines = readTensors(equation).some((name) => lines.has(name));
    const now = readsLines ? rewriteEquation(equation, rewrite) : equation;
    const line = kept.has(tensor.name) ? undefined : lineOf(tensor, now, taken);
    if (line !== undefined) lines.set(tensor.name, line);
    return [now];
  });
  if (lines.size === 0) return program;
  // The planes stay for whoever reads them at indices that are read themselves; else they are dead.
  const tensors = rewritten.tensors.flatMap((t) => {
    const line = lines.get(t.name);
    return line === undefined ? [t] : [line.tensor, t];
  });
  return { ...program, tensors };
}

function readingLines(lines: ReadonlyMap<string, Line>): Rewrite {
  const lineAt = (tensor: string, indices: readonly Index[]) => {
    const line = lines.get(tensor);
    if (line === undefined || !indices.every((index) => index.kind === 'affine')) return undefined;
    return { tensor: line.tensor.name, indices: [substitute(line.place, (d) => indices[d] as Affine)] };
  };
  return {
    load: (l) => {
      const found = lineAt(l.tensor, l.indices);
      return found === undefined ? l : load(found.tensor, found.indices);
    },
    gather: (g) => ({ ...g, ...lineAt(g.tensor, g.indices) }),
  };
}

/** The line that an i32 tensor is by its one equation. */
function lineOf(tensor: Tensor, only: Equation, taken: Set<string>): Line | undefined {
  if (tensor.dtype !== 'i32' || equationsOf(tensor).length > 1 || only.reducer !== 'sum') return undefined;
  const dimensions = plainAxes(only, tensor.shape);
  if (dimensions === undefined) return undefined;
  if (only.axes.some(({ extent }, axis) => extent > 1 && !dimensions.includes(axis))) return undefined;
  const value = gathered(only.value, only.axes);
  const sum = commonSum([...affinesOf(value), ...only.domain.flatMap(affinesOfConstraint)]);
  if (sum === undefined) return undefined;
  const { min, max } = range(sum, only.axes);
  const length = max - min + 1;
  if (length >= elementCount(tensor.shape)) return undefined;
  const onLine: Rewrite = {
    affine: (a) => {
      const times = timesOf(a, sum)!;
      return affine(a.constant + times * min, times === 0 ? [] : [{ axis: 0, coefficient: times }]);
    },
  };
  const equation: Equation = {
    ...only,
    axes: [{ name: 'd', extent: length }],
    domain: only.domain.map((c) => rewriteConstraint(c, onLine)),
    store: [axisIndex(0)],
    value: rewriteExpression(value, onLine),
  };
  const name = freshName(`${tensor.name}~line`, taken);
  const place = affine(
    -min,
    sum.terms.map(({ axis, coefficient }) => ({ axis: dimensions.indexOf(axis), coefficient })),
  );
  return { tensor: { ...tensor, name, shape: [length], source: { kind: 'computed', equations: [equation] } }, place };
}

/** With every part that is affine as one index: `index(t) - 1 * index(u)` as `index(t - u)`. */
function gathered(e: Expression, axes: readonly Axis[]): Expression {
  const whole = e.kind === 'constant' ? undefined : wholeAffine(e, axes);
  return whole === undefined ? mapChildren(e, (child) => gathered(child, axes)) : { kind: 'index', affine: whole };
}

/** The sum of axes, without a common factor, that all the affine expressions are multiples of, their constants aside. */
function commonSum(all: readonly Affine[]): Affine | undefined {
  const first = all.find(({ terms }) => terms.length > 0);
  if (first === undefined) return undefined;
  const factor = first.terms.reduce((n, { coefficient }) => gcd(n, Math.abs(coefficient)), 0);
  const sum = affine(
    0,
    first.terms.map(({ axis, coefficient }) => ({ axis, coefficient: coefficient / factor })),
  );
  return all.every((a) => timesOf(a, sum) !== undefined) ? sum : undefined;
}

/** How many times the sum an affine expression holds, its constant aside; undefined where it holds anything else. */
function timesOf({ terms }: Affine, sum: Affine): number | undefined {
  if (terms.length === 0) return 0;
  const times = terms[0].coefficient / sum.terms[0].coefficient;
  const isMultiple =
    Number.isInteger(times) &&
    terms.length === sum.terms.length &&
    terms.every(({ axis, coefficient }, i) => {
      const term = sum.terms[i];
      return term.axis === axis && coefficient === times * term.coefficient;
    });
  return isMultiple ? times : undefined;
}
