/** Matrices of subgroups as WGSL: f16 operands, sums in f32, 16×16 each. */
import { matrixSize } from '../target.ts';

export const sumMatrix = `subgroup_matrix_result<f32, ${matrixSize}, ${matrixSize}>`;
export const operandMatrix = {
  left: `subgroup_matrix_left<f16, ${matrixSize}, ${matrixSize}>`,
  right: `subgroup_matrix_right<f16, ${matrixSize}, ${matrixSize}>`,
} as const;

/** Adds a product to a sum. */
export const multiplyAccumulate = (sum: string, left: string, right: string): string =>
  `${sum} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sum});`;
