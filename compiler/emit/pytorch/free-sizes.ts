/**
 * Which extents a module need not know: those of axes that every equation carries along and none asks anything of, as a batch.
 *
 *   y[n, i] = W[i, j] * x[n, j]      n is free: it stands alone as an index wherever it stands, and is never summed
 *   A[t, u] = … where u <= t         t is not: a condition asks for it
 *
 * Dimensions and axes that are indexed with one another form a class; a class is free where all of it is. The module reads the extent
 * of a free one off its inputs.
 */
import { asAxis } from '../../ir/affine.ts';
import { storeAxes } from '../../ir/equation.ts';
import { children, constraintLoads, constraintOperands, loads } from '../../ir/expression.ts';
import { printProgram } from '../../ir/print.ts';
import type { Affine, Constraint, Equation, Expression, Index, Program, Tensor } from '../../ir/program.ts';
import type { InputInterface } from '../../semantics/interface.ts';

/** Names of sizes where an extent is free, in place of its number. */
export interface FreeSizes {
  /** Of a dimension of a tensor. */
  readonly dimension: (tensor: string, dimension: number) => string | undefined;
  /** Of an axis of the equation of that place among the tensor's. */
  readonly axis: (tensor: string, equation: number, axis: number) => string | undefined;
  readonly names: ReadonlySet<string>;
}

const dimensionKey = (tensor: string, d: number): string => `${tensor} ${d}`;
const axisKey = (tensor: string, equation: number, axis: number): string => `${tensor} ${equation} ${axis}`;

/** Of the sizes in `allowed` that the inputs' axes name. */
export function freeSizes(
  program: Program,
  inputs: readonly InputInterface[],
  allowed: (size: string) => boolean,
): FreeSizes {
  const classes = classesOf(program);
  const settled = inputs.flatMap(({ name, axes }) =>
    axes.flatMap(({ size }, d) => (size === undefined ? [] : [{ size, root: classes.root(dimensionKey(name, d)) }])),
  );
  const isFree = (size: string) =>
    allowed(size) && settled.every((found) => found.size !== size || !classes.frozen.has(found.root));
  const symbols = new Map<string, string>();
  for (const { size, root } of settled) if (isFree(size) && !symbols.has(root)) symbols.set(root, size);
  const nameOf = (key: string) => symbols.get(classes.root(key));
  return {
    dimension: (tensor, d) => nameOf(dimensionKey(tensor, d)),
    axis: (tensor, equation, axis) => nameOf(axisKey(tensor, equation, axis)),
    names: new Set(symbols.values()),
  };
}

/** The program with free extents made 1: the same text for two values of a size says that nothing else in it depends on them. */
export function withoutFreeSizes(program: Program, free: FreeSizes): string {
  const tensors = program.tensors.map((tensor): Tensor => {
    const shape = tensor.shape.map((extent, d) => (free.dimension(tensor.name, d) === undefined ? extent : 1));
    if (tensor.source.kind !== 'computed') return { ...tensor, shape };
    const equations = tensor.source.equations.map((equation, e) => ({
      ...equation,
      axes: equation.axes.map((axis, a) =>
        free.axis(tensor.name, e, a) === undefined ? axis : { ...axis, extent: 1 },
      ),
    }));
    return { ...tensor, shape, source: { kind: 'computed', equations } };
  });
  return printProgram({ ...program, tensors });
}

interface Classes {
  readonly root: (key: string) => string;
  /** Roots of classes of which something is asked. */
  readonly frozen: ReadonlySet<string>;
}

function classesOf(program: Program): Classes {
  const parents = new Map<string, string>();
  const root = (key: string): string => {
    const parent = parents.get(key);
    return parent === undefined ? key : root(parent);
  };
  const join = (a: string, b: string) => {
    const [first, second] = [root(a), root(b)];
    if (first !== second) parents.set(first, second);
  };
  const asked: string[] = [];
  const shapes = new Map(program.tensors.map(({ name, shape }) => [name, shape]));
  for (const { name, shape, source } of program.tensors) {
    const isGiven = source.kind === 'input';
    if (source.kind !== 'computed' || source.equations.length === 0) {
      if (!isGiven) asked.push(...shape.map((_, d) => dimensionKey(name, d)));
      continue;
    }
    for (const [e, equation] of source.equations.entries()) visit(name, equation, e);
  }

  function visit(target: string, equation: Equation, e: number): void {
    const key = (axis: number) => axisKey(target, e, axis);
    const stored = new Set(storeAxes(equation));
    equation.axes.forEach((_, axis) => {
      if (!stored.has(axis)) asked.push(key(axis));
    });
    const element = (tensor: string, indices: readonly Index[]): void => {
      const seen = new Set<number>();
      indices.forEach((index, d) => {
        const own = dimensionKey(tensor, d);
        const axis = index.kind === 'affine' ? asAxis(index) : undefined;
        if (axis !== undefined && !seen.has(axis) && equation.axes[axis].extent === shapes.get(tensor)?.[d]) {
          join(own, key(axis));
        } else {
          asked.push(own);
          if (index.kind === 'affine') asked.push(...index.terms.map((term) => key(term.axis)));
          else element(index.tensor, index.indices);
        }
        if (axis !== undefined) seen.add(axis);
      });
    };
    element(target, equation.store);
    const { value, domain } = equation;
    for (const { tensor, indices } of [...loads(value), ...domain.flatMap(constraintLoads)]) element(tensor, indices);
    for (const affine of [...numbersIn(value), ...domain.flatMap(numbersOfConstraint)])
      asked.push(...affine.terms.map((term) => key(term.axis)));
  }
  return { root, frozen: new Set(asked.map(root)) };
}

/** The affine expressions that count as numbers or are compared, not those that are indices. */
function numbersIn(e: Expression): readonly Affine[] {
  const inside = children(e).flatMap(numbersIn);
  switch (e.kind) {
    case 'index':
      return [e.affine];
    case 'random':
      return [e.element, ...inside];
    case 'select':
      return e.condition.kind === 'domain'
        ? [...e.condition.constraints.flatMap((c) => (c.kind === 'data' ? [] : [c.affine])), ...inside]
        : inside;
    default:
      return inside;
  }
}

function numbersOfConstraint(constraint: Constraint): readonly Affine[] {
  return constraint.kind === 'data' ? constraintOperands(constraint).flatMap(numbersIn) : [constraint.affine];
}
