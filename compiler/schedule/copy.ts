/** A tensor that is another, element by element. */
import { axisIndex } from '../ir/affine.ts';
import { loadAxes } from '../ir/expression.ts';
import type { Tensor } from '../ir/program.ts';

export function axesOfShape(shape: readonly number[]): { name: string; extent: number }[] {
  return shape.map((extent, d) => ({ name: `o${d}`, extent }));
}

export function copyOf(tensor: Tensor, name: string): Tensor {
  const dims = tensor.shape.map((_, d) => d);
  const equation = {
    axes: axesOfShape(tensor.shape),
    domain: [],
    store: dims.map(axisIndex),
    reducer: 'sum' as const,
    value: loadAxes(tensor.name, dims),
  };
  return { name, dtype: tensor.dtype, shape: tensor.shape, source: { kind: 'computed', equations: [equation] } };
}
