/**
 * The dense baseline: what the same would cost were nothing structured, in multiply-adds.
 *
 *   y[n, i] = W[i, j] x[n, j]             vectors · rows · columns
 *   S[b, h, t, u] = x[b, t] M[h] x[b, u]  B · H · (T · D² + T² · D): M x for every token, then x · M x for every pair
 *
 * The trap: it is told from the shapes of what goes in and comes out alone, so that it does not depend on how a structure is written.
 * A program that is neither, a whole layer or a loss, has none.
 */
import type { Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { matrixShape } from './matrix.ts';
import { carriersOf, type Origin, sidesOfTensor } from './tokens.ts';

/** Undefined for programs that are neither a matrix nor scores. */
export function denseMultiplyAdds(program: Program): number | undefined {
  const matrix = matrixShape(program);
  return matrix === undefined ? denseScores(program) : matrix.batch * matrix.rows * matrix.columns;
}

/** Scores are the first output: two positions, and the head and the batch for the rest. */
function denseScores(program: Program): number | undefined {
  const tensor = program.tensors.find(({ name }) => name === program.outputs[0]);
  const found = tensor && sidesOfTensor(tensor, carriersOf(program));
  if (tensor === undefined || found === undefined) return undefined;
  const { first, second, sides } = found;
  const extentOf = (dimensions: readonly number[]) => elementCount(dimensions.map((d) => tensor.shape[d]));
  const [queries, keys] = [extentOf(first), extentOf(second)];
  const [queryInput, keyInput] = [sides.origins[0], sides.origins[sides.origins.length - 1]];
  const [queryFeatures, keyFeatures] = [queryInput, keyInput].map(({ input }) =>
    features(program, input, sides.origins),
  );
  const batchesAndHeads = elementCount(tensor.shape) / (queries * keys);
  return batchesAndHeads * (keys * queryFeatures * keyFeatures + queries * keys * queryFeatures);
}

/** Elements of an input for one position and one element of the batch, its first dimension where that is no position. */
function features({ tensors }: Program, input: string, origins: readonly Origin[]): number {
  const { shape } = tensors.find(({ name }) => name === input) as Tensor;
  const isPosition = (d: number) => origins.some((o) => o.input === input && o.dimension === d);
  return elementCount(shape.filter((_, d) => d > 0 && !isPosition(d)));
}
