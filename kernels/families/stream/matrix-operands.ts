/** How streams write matrices: operands out of workgroup memory and memory, products, and the block through which a subgroup tells its lanes. */
import { wideText } from '../../parts/loads.ts';
import { matrixSize } from '../../target.ts';
import { multiplyAccumulate, operandMatrix } from '../../wgsl/matrices.ts';
import { type StreamCode, scopeOf } from './code.ts';
import type { MatrixSide } from './matrix-parts.ts';

/** Quads of a row of a 16×16 block in workgroup memory: its elements, or their high and low parts, and one that is left free. */
export const blockPitch = 5;
export const blockQuads = matrixSize * blockPitch;

/** WGSL of the quad from `column` on of what is at `place`, which is along `position`. */
export function quadText(
  { load, parts, axis }: MatrixSide,
  position: number,
  w: StreamCode,
  place: string,
  column: string,
): string {
  const names = new Map([
    [position, place],
    [axis, column],
  ]);
  return wideText(load, scopeOf(w, parts.equation, names));
}

/** Adds a product of two operands to a sum, by the names of their high and low parts: all products but low · low. */
export const multiplyParts = (sum: string, [high, low]: Parts, [rightHigh, rightLow]: Parts): readonly string[] => [
  multiplyAccumulate(sum, high, rightLow),
  multiplyAccumulate(sum, low, rightHigh),
  multiplyAccumulate(sum, high, rightHigh),
];
type Parts = readonly [high: string, low: string];

export const matrixLoad = (
  side: 'left' | 'right',
  order: 'row_major' | 'col_major',
  place: string | number,
  pitch: number,
): string => `subgroupMatrixLoad<${operandMatrix[side]}, ${order}>(&scratch, u32(${place}), ${pitch})`;

export const matrixStore = (place: string, matrix: string): string =>
  `subgroupMatrixStore<row_major>(&scratch, u32(${place}), ${matrix}, ${blockPitch});`;

/** The numbers of the matrices that so many elements make. */
export const matricesOf = (extent: number): readonly number[] =>
  Array.from({ length: extent / matrixSize }, (_, i) => i);

/** Where a subgroup's block of an area lies, and where a lane has its two quads of each row there: `2 · own_quad` further. */
export const blockOf = (area: number): string => `${area} + subgroup * ${blockQuads}`;
export const laneIn = (area: number): string => `${area} + lane_y * ${blockPitch} + lane_x`;
