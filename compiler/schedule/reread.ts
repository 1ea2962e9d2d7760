/**
 * A row kernel makes again what it would read, if all that this is made from it reads anyway:
 *
 *   v[t] = Σ_i dY[t, i] · Y[t, i],  dX[t, i] = … (X[t, i] - m[t]) …,   where Y[t, i] = (X[t, i] - m[t]) / s[t]
 *   →  v[t] = Σ_i dY[t, i] · (X[t, i] - m[t]) / s[t],  and Y is not read
 *
 * The gradient of a norm whose result is stored for a product, for one. On a GPU rows wait for memory, not for arithmetic.
 */
import type { Kernel, RowKernel, RowStatement } from '../../kernels/kernel.ts';
import { kernelReads } from '../../kernels/statements.ts';
import { affine } from '../ir/affine.ts';
import { equationsOf, tensorMap } from '../ir/equation.ts';
import { loads, renameAxes, rewriteExpression } from '../ir/expression.ts';
import { isPointwise, plainAxes } from '../ir/plain.ts';
import type { Affine, Equation, Expression, Load, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';

/** A tensor of a row's values is this much smaller, or more: what it takes to read is nothing beside its rows. */
const rowsAreShorter = 8;

export function rereadNothing(program: Program, kernels: readonly Kernel[]): Kernel[] {
  const tensors = tensorMap(program);
  return kernels.map((kernel) => (kernel.family === 'row' ? withFewerReads(kernel, tensors) : kernel));
}

function withFewerReads(kernel: RowKernel, tensors: ReadonlyMap<string, Tensor>): RowKernel {
  const made = new Set(kernel.statements.map(({ tensor }) => tensor));
  const all = kernel.statements.flatMap(({ equation }) => loads(equation.value).map((l) => placeOf(l, equation)));
  const places = new Set(all);
  const readAnyway = kernelReads(kernel);
  const remade =
    ({ equation }: RowStatement) =>
    (l: Load): Expression => {
      const tensor = tensors.get(l.tensor)!;
      const definition = made.has(l.tensor) ? undefined : definitionOf(tensor);
      if (definition === undefined || l.indices.some((index) => index.kind !== 'affine')) return l;
      const value = definitionAt(definition, tensor, l.indices as readonly Affine[]);
      const isKnown = loads(value).every((other) => {
        const isOfRow = elementCount(tensors.get(other.tensor)!.shape) * rowsAreShorter <= elementCount(tensor.shape);
        return isOfRow ? readAnyway.has(other.tensor) : places.has(placeOf(other, equation));
      });
      return isKnown ? value : l;
    };
  const statements = kernel.statements.map((s): RowStatement => {
    const value = rewriteExpression(s.equation.value, { load: remade(s) });
    return value === s.equation.value ? s : { ...s, equation: { ...s.equation, value } };
  });
  return { ...kernel, statements };
}

/** Which tensor is read where, by the extents that its indices go through. */
function placeOf({ tensor, indices }: Load, { axes }: Equation): string {
  const texts = indices.map((index) =>
    index.kind === 'affine'
      ? [index.constant, ...index.terms.map((t) => [t.axis, t.coefficient, axes[t.axis].extent])]
      : index,
  );
  return `${tensor} ${JSON.stringify(texts)}`;
}

/** The equation of a tensor that is a map of others, all of it within its domain. */
function definitionOf(tensor: Tensor): Equation | undefined {
  const [only, ...others] = equationsOf(tensor);
  const isMap =
    only !== undefined && others.length === 0 && only.domain.length === 0 && isPointwise(only, tensor.shape);
  return isMap ? only : undefined;
}

function definitionAt(definition: Equation, tensor: Tensor, indices: readonly Affine[]): Expression {
  const plain = plainAxes(definition, tensor.shape)!;
  const positions = definition.axes.map((_, axis) => indices[plain.indexOf(axis)] ?? affine(0));
  return renameAxes(definition.value, positions);
}
