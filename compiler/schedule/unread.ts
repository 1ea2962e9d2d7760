/**
 * What nobody reads of a tensor is not stored:
 *
 *   S[t, u] = Σ_i … where t >= u;  A[t, u] = exp(S[t, u] - …) where t >= u   →   no tile of S above the diagonal, half as many elements
 *
 * A kernel that makes a tensor within a domain stores 0 elsewhere, since others might read it there. Here every load of the tensor is held
 * to the domain of the equation that it stands in.
 *
 * The trap: what was not stored may be anything, such as NaN. A kernel leaves it out by a condition, never by a factor of 0; but a
 * contraction does so only by constraints on what it adds up, for those on its output come after the sums.
 */
import { ownAxes, streamAxes } from '../../kernels/families/stream/shape.ts';
import type { ContractionKernel, Kernel, RowStatement, StreamKernel } from '../../kernels/kernel.ts';
import { kernelParts, readAsIndex } from '../../kernels/statements.ts';
import { asAxis, axisIndex, decide, substitute } from '../ir/affine.ts';
import { readTensors, reducedAxes } from '../ir/equation.ts';
import { constraintAxes, constraintLoads, loads } from '../ir/expression.ts';
import { constraintKey } from '../ir/hash.ts';
import { addTo } from '../ir/lists.ts';
import type { Affine, AffineConstraint, Equation, Load, Program } from '../ir/program.ts';
import { heldTensors } from '../passes/rename.ts';

export function leaveUnread(program: Program, kernels: readonly Kernel[]): Kernel[] {
  const held = heldTensors(program);
  const readers = readersOf(kernels);
  const isUnread = (tensor: string, domain: Domain): boolean =>
    !held.has(tensor) && (readers.get(tensor) ?? []).every((reader) => readsWithin(domain, tensor, reader));
  return kernels.map((kernel): Kernel => {
    if (kernel.family === 'row') return { ...kernel, statements: kernel.statements.map((s) => withinRow(s, isUnread)) };
    return kernel.family === 'contraction' ? withinTiles(kernel, isUnread) : kernel;
  });
}

type IsUnread = (tensor: string, domain: Domain) => boolean;

function withinRow(statement: RowStatement, isUnread: IsUnread): RowStatement {
  const domain = statement.kind === 'map' ? domainOf([statement.equation]) : undefined;
  return domain !== undefined && isUnread(statement.tensor, domain) ? { ...statement, withinDomain: true } : statement;
}

/** The contraction's tensor, and those of its epilogue that have the same domain. */
function withinTiles(kernel: ContractionKernel, isUnread: IsUnread): ContractionKernel {
  const { tensor, equation, products, addends, accumulate, rowLength, epilogue } = kernel;
  const domain = domainOf([equation, ...products]);
  if (domain === undefined || accumulate || addends.length > 0 || rowLength !== undefined) return kernel;
  return {
    ...kernel,
    ...(isUnread(tensor, domain) ? { withinDomain: true } : {}),
    epilogue: epilogue.map((s) => {
      const isWithin = keyOf(domainOf(s.equations)) === keyOf(domain) && isUnread(s.tensor, domain);
      return isWithin ? { ...s, withinDomain: true } : s;
    }),
  };
}

interface Reader {
  readonly equation: Equation;
  readonly family: Kernel['family'];
}

function readersOf(kernels: readonly Kernel[]): ReadonlyMap<string, readonly Reader[]> {
  const readers = new Map<string, Reader[]>();
  for (const kernel of kernels) {
    const equations =
      kernel.family === 'stream' ? equationsOfStream(kernel) : kernelParts(kernel).flatMap((part) => part.equations);
    for (const equation of equations)
      for (const tensor of readTensors(equation)) addTo(readers, tensor, { equation, family: kernel.family });
  }
  return readers;
}

/** Of a tile that is made element by element only those count that each result takes. */
function equationsOfStream(kernel: StreamKernel): readonly Equation[] {
  const axes = streamAxes(kernel);
  const results = kernel.statements.filter(({ kind }) => kind !== 'tile' && kind !== 'row').flatMap((s) => s.equations);
  const [first, ...others] = results.map(({ domain }) => domain);
  const common = first.filter((c) =>
    others.every((domain) => domain.some((d) => constraintKey(d) === constraintKey(c))),
  );
  return kernel.statements.flatMap(({ kind, equations }) =>
    equations.map((e) =>
      kind === 'tile' && ownAxes(e, axes).length === 0
        ? { ...e, domain: [...e.domain, ...common] }
        : { ...e, domain: [] },
    ),
  );
}

/** Constraints on an element's indices: axis d of them is dimension d. */
type Domain = readonly AffineConstraint[];

/** The domain that all equations of a tensor have, as one of its elements; undefined where it leaves nothing out, or is none of elements. */
function domainOf(equations: readonly Equation[]): Domain | undefined {
  const domains = equations.map(onElements);
  const [first] = domains;
  if (first === undefined || first.length === 0) return undefined;
  return domains.every((domain) => keyOf(domain) === keyOf(first)) ? first : undefined;
}

const keyOf = (domain: Domain | undefined): string | undefined => domain?.map(constraintKey).sort().join();

function onElements({ axes, domain, store }: Equation): Domain | undefined {
  const dimensionOf = (axis: number): number => store.findIndex((i) => i.kind === 'affine' && asAxis(i) === axis);
  const constraints = domain.filter((c) => decide(c, axes) !== 'always');
  const found = constraints.flatMap((c): AffineConstraint[] => {
    if (c.kind !== 'nonnegative' || !constraintAxes(c).every((axis) => dimensionOf(axis) >= 0)) return [];
    return [{ kind: c.kind, affine: substitute(c.affine, (axis) => axisIndex(dimensionOf(axis))) }];
  });
  return found.length === constraints.length ? found : undefined;
}

/** Whether the equation reads the tensor within the domain alone, and its kernel leaves out what lies beyond. */
function readsWithin(domain: Domain, tensor: string, { equation, family }: Reader): boolean {
  const { axes, value } = equation;
  const isElsewhere =
    readAsIndex(equation).includes(tensor) ||
    equation.domain.flatMap(constraintLoads).some((l) => l.tensor === tensor) ||
    axes.some(({ symbol }) => symbol === tensor);
  if (isElsewhere) return false;
  const reduced = reducedAxes(equation);
  const isSum = family === 'contraction' && reduced.length > 0;
  const known = equation.domain.filter((c) => !isSum || constraintAxes(c).some((axis) => reduced.includes(axis)));
  const isWithin = ({ indices }: Load): boolean =>
    indices.every((index) => index.kind === 'affine') &&
    domain.every(({ kind, affine }) => {
      const read = substitute(affine, (d) => indices[d] as Affine);
      return decide({ kind, affine: read }, axes, known) === 'always';
    });
  return loads(value)
    .filter((l) => l.tensor === tensor)
    .every(isWithin);
}
