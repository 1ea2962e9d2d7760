/**
 * What cannot be said by where a tensor lies becomes a copy: a part of a `concat` that cannot be made in place (an input, a part used
 * twice, an odd offset), and a `view` that lies at an odd offset or is an output.
 */
import { axisIndex } from '../../ir/affine.ts';
import { tensorMap } from '../../ir/equation.ts';
import { loadAxes } from '../../ir/expression.ts';
import type { Affine, Program, Tensor } from '../../ir/program.ts';

/** `alignment`: elements that an offset must be a multiple of. */
export function explicitCopies(program: Program, alignment: number): Program {
  const tensors = tensorMap(program);
  const given = (name: string): boolean => tensors.get(name)!.source.kind !== 'computed';
  const used = new Map<string, number>();
  for (const t of program.tensors)
    if (t.source.kind === 'concat') for (const p of t.source.parts) used.set(p.tensor, (used.get(p.tensor) ?? 0) + 1);
  const result = program.tensors.flatMap((tensor): Tensor[] => {
    const { source } = tensor;
    if (source.kind === 'view' && (source.offset % alignment !== 0 || program.outputs.includes(tensor.name)))
      return [copyOfView(tensor, source, tensors)];
    if (source.kind !== 'concat') return [tensor];
    const copies: Tensor[] = [];
    const direct = source.parts.every((p) => p.offset % alignment === 0);
    if (!direct) return [concatByEquations(tensor, source.parts, tensors)];
    const parts = source.parts.map((part, i) => {
      if (!given(part.tensor) && used.get(part.tensor) === 1) return part;
      const name = `${tensor.name}~part${i}`;
      copies.push(copyOf(tensors.get(part.tensor)!, name));
      return { tensor: name, offset: part.offset };
    });
    return [...copies, { ...tensor, source: { kind: 'concat', parts } }];
  });
  return { ...program, tensors: result };
}

function flatOf(shape: readonly number[], offset: number): Affine {
  let stride = 1;
  const terms: { axis: number; coefficient: number }[] = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    terms.unshift({ axis: d, coefficient: stride });
    stride *= shape[d];
  }
  return { kind: 'affine', constant: offset, terms };
}

function copyOfView(
  tensor: Tensor,
  view: { readonly base: string; readonly offset: number },
  tensors: ReadonlyMap<string, Tensor>,
): Tensor {
  const dims = tensor.shape.map((_, d) => d);
  const base = tensors.get(view.base)!;
  if (base.shape.length !== 1) throw new Error(`the base ${view.base} of a view must be flat`);
  const value = { kind: 'load' as const, tensor: view.base, indices: [flatOf(tensor.shape, view.offset)] };
  const equation = {
    axes: axesOfShape(tensor.shape),
    domain: [],
    store: dims.map(axisIndex),
    reducer: 'sum' as const,
    value,
  };
  return { ...tensor, source: { kind: 'computed', equations: [equation] } };
}

function concatByEquations(
  tensor: Tensor,
  parts: readonly { readonly tensor: string; readonly offset: number }[],
  tensors: ReadonlyMap<string, Tensor>,
): Tensor {
  const equations = parts.map((part) => {
    const { shape } = tensors.get(part.tensor)!;
    const value = loadAxes(
      part.tensor,
      shape.map((_, d) => d),
    );
    return {
      axes: axesOfShape(shape),
      domain: [],
      store: [flatOf(shape, part.offset)],
      reducer: 'sum' as const,
      value,
    };
  });
  return { ...tensor, source: { kind: 'computed', equations } };
}

function axesOfShape(shape: readonly number[]): { name: string; extent: number }[] {
  return shape.map((extent, d) => ({ name: `o${d}`, extent }));
}

/** A tensor that is another, element by element. */
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
