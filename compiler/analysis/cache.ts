/**
 * What decoding token by token would have to remember: the tensors that a score needs and that depend on the key's position alone.
 *
 *   S[b, h, t, u] sum= q[b, h, t, r] * k[b, h, u, r]   →   k: h·r elements a token
 *
 * A factor's index that equals the store's last index is the key position, also where both are groups `(c z)`; one that equals the
 * store's last but one is the query position. A tensor that several levels read counts once.
 *
 * The trap: values are no part of a structure of scores; they are whatever the model makes of them, and come on top.
 */
import { equalAffine } from '../ir/affine.ts';
import { factorsOf } from '../ir/contraction.ts';
import { equationsOf, tensorMap } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import type { Index, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { dtypeBytes } from './cost.ts';
import { scoreTensors } from './rank.ts';

export interface CachedTensor {
  readonly tensor: string;
  readonly elementsPerToken: number;
  readonly bytesPerToken: number;
}

/** The tensors to keep for each token of one layer. */
export function cachedTensors(program: Program): readonly CachedTensor[] {
  const tensors = tensorMap(program);
  const cached = new Map<string, CachedTensor>();
  for (const score of scoreTensors(program)) {
    const rank = score.shape.length;
    for (const equation of equationsOf(score)) {
      const [query, key] = [equation.store[rank - 2], equation.store[rank - 1]];
      for (const read of factorsOf(equation.value).factors.flatMap(loads)) {
        const position = read.indices.findIndex((index) => sameIndex(index, key));
        if (position < 0 || read.indices.some((index) => sameIndex(index, query))) continue;
        const tensor = tensors.get(read.tensor) as Tensor;
        // Dimension 0 is the batch wherever the score has one.
        const batch = position > 0 && sameIndex(read.indices[0], equation.store[0]) ? tensor.shape[0] : 1;
        const elementsPerToken = elementCount(tensor.shape) / tensor.shape[position] / batch;
        const bytesPerToken = elementsPerToken * dtypeBytes[tensor.dtype];
        cached.set(tensor.name, { tensor: tensor.name, elementsPerToken, bytesPerToken });
      }
    }
  }
  return [...cached.values()];
}

function sameIndex(a: Index, b: Index): boolean {
  return a.kind === 'affine' && b.kind === 'affine' && equalAffine(a, b);
}
