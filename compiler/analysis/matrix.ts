/**
 * Programs that are one matrix, y = W x for every vector x: its sizes, and a bound on its rank for all values of the params.
 *
 *   y[n, i] = L[i, r] * R[j, r] * x[n, j]   →   n vectors of j, i rows, rank at most r
 *
 * Every chain of equations from x to y is followed: along it the least cut counts, side by side they add.
 *
 * The trap: leading dimensions that x and y share are a batch only where every equation leaves them alone. A diagonal matrix leaves
 * alone its last dimension too, and is a matrix all the same: the last is never a batch.
 */
import { equalAffine } from '../ir/affine.ts';
import { axesOfConstraint, axesOfExpression, factorsOf } from '../ir/contraction.ts';
import { dependencies, equationsOf, tensorMap } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import type { Equation, Expression, Index, Load, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { leastCut } from './cut.ts';
import { axesOfIndices } from './tokens.ts';

export interface MatrixShape {
  readonly input: string;
  readonly output: string;
  /** Vectors that it is applied to. */
  readonly batch: number;
  /** Where the dimensions that number them lie in every tensor on the way. */
  readonly places: readonly Places[];
  readonly rows: number;
  readonly columns: number;
}

/** One term of an equation that x feeds: what is read of x or of what is made from it, and the whole term. */
interface FedTerm {
  readonly equation: Equation;
  readonly term: Expression;
  readonly read: Load;
}

/** The program as y = W x, or that and a bias, where it has one floating input and one output and is linear in between. */
export function matrixShape(program: Program): MatrixShape | undefined {
  const [x, ...inputs] = program.tensors.filter((tensor) => tensor.source.kind === 'input');
  const y = program.tensors.find((tensor) => tensor.name === program.outputs[0]);
  if (x === undefined || y === undefined || inputs.length > 0 || program.outputs.length > 1) return undefined;
  if (x.dtype === 'i32' || x.shape.length === 0 || y.shape.length === 0) return undefined;
  const terms = linearTerms(program, x.name);
  if (!terms?.has(y.name)) return undefined;
  const places = batchPlaces(program, x, y, terms);
  const batch = elementCount(x.shape.slice(0, places.length));
  return {
    input: x.name,
    output: y.name,
    batch,
    places,
    rows: elementCount(y.shape) / batch,
    columns: elementCount(x.shape) / batch,
  };
}

/** The terms of every tensor that x feeds; undefined where one of them is not linear in x. */
function linearTerms(program: Program, x: string): ReadonlyMap<string, readonly FedTerm[]> | undefined {
  const fed = new Map<string, readonly FedTerm[]>();
  const isFed = (e: Expression): boolean => loads(e).some(({ tensor }) => tensor === x || fed.has(tensor));
  for (const tensor of program.tensors) {
    if (!dependencies(tensor).some((name) => name === x || fed.has(name))) continue;
    const found: FedTerm[] = [];
    for (const equation of equationsOf(tensor)) {
      for (const term of termsOf(equation.value)) {
        const [read, ...others] = factorsOf(term).factors.filter(isFed);
        // A term that x does not feed is an offset: a bias is no part of the matrix.
        if (read === undefined) continue;
        if (others.length > 0 || read.kind !== 'load' || equation.reducer !== 'sum') return undefined;
        found.push({ equation, term, read });
      }
    }
    if (found.length === 0) return undefined;
    fed.set(tensor.name, found);
  }
  return fed;
}

function termsOf(value: Expression): readonly Expression[] {
  return value.kind === 'sum' ? value.terms : [value];
}

/** Where a dimension of x lies in what is made from it, where every term leaves it as it is; by tensor. */
type Places = ReadonlyMap<string, number>;

/** For each leading dimension of x that y begins with as well and that every term leaves alone, where it lies. */
function batchPlaces(
  { tensors }: Program,
  x: Tensor,
  y: Tensor,
  terms: ReadonlyMap<string, readonly FedTerm[]>,
): readonly Places[] {
  const found: Places[] = [];
  for (let k = 0; k < Math.min(x.shape.length, y.shape.length) - 1 && x.shape[k] === y.shape[k]; k++) {
    const places = new Map([[x.name, k]]);
    for (const { name } of tensors) {
      const lies = (terms.get(name) ?? []).map(({ equation: { store }, read }) => {
        const at = places.get(read.tensor);
        const index = at === undefined ? undefined : read.indices[at];
        return index === undefined ? -1 : store.findIndex((stored) => isSame(stored, index));
      });
      if (lies.length > 0 && lies.every((d) => d >= 0 && d === lies[0])) places.set(name, lies[0]);
    }
    // One vector is a batch however it is written: a dimension of one element may be left out on the way.
    if (places.get(y.name) !== k && x.shape[k] !== 1) break;
    found.push(places);
  }
  return found;
}

function isSame(a: Index, b: Index): boolean {
  return a.kind === 'affine' && b.kind === 'affine' && equalAffine(a, b);
}

/** Bound on the rank of the matrix; undefined for programs that are none. */
export function matrixRankBound(program: Program): number | undefined {
  const shape = matrixShape(program);
  if (shape === undefined) return undefined;
  const terms = linearTerms(program, shape.input) as ReadonlyMap<string, readonly FedTerm[]>;
  const tensors = tensorMap(program);
  const known = new Map([[shape.input, shape.columns]]);
  for (const { name } of program.tensors) {
    const own = terms.get(name);
    if (own === undefined) continue;
    const batched = shape.places.flatMap((places) => places.get(name) ?? []);
    const rows = elementCount((tensors.get(name) as Tensor).shape.filter((_, d) => !batched.includes(d)));
    const total = own.reduce((sum, term) => sum + Math.min(known.get(term.read.tensor) ?? 0, cutOf(term, shape)), 0);
    known.set(name, Math.min(total, rows));
  }
  return known.get(shape.output);
}

/** The least cut between what the term stores and what it reads of x, which stands on the column side. */
function cutOf({ equation, term, read }: FedTerm, { places }: MatrixShape): number {
  const others = factorsOf(term).factors.filter((factor) => factor !== read);
  const conditions = equation.domain.map(axesOfConstraint);
  const batched = places.flatMap((place) => place.get(read.tensor) ?? []);
  return leastCut({
    axes: equation.axes,
    rows: axesOfIndices(equation.store),
    columns: axesOfIndices(read.indices),
    fixed: axesOfIndices(batched.map((d) => read.indices[d])),
    operands: [...others.map(axesOfExpression), ...conditions],
  });
}
