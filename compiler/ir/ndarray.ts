/** A dense tensor of float64 on the host, row-major: what the interpreter takes and gives. i32 elements are numbers too. */
import { elementCount } from './program.ts';

export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export function ndarray(shape: readonly number[], data: ArrayLike<number>): NdArray {
  if (data.length !== elementCount(shape)) {
    throw new Error(`${data.length} elements do not fill the shape [${shape.join(', ')}]`);
  }
  return { shape, data: Float64Array.from(data) };
}

export function zeros(shape: readonly number[]): NdArray {
  return { shape, data: new Float64Array(elementCount(shape)) };
}

/** Elements between neighbours along each dimension, in a row-major layout. */
export function stridesOf(shape: readonly number[]): readonly number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

/** The indices of an element, from its place in row-major order. */
export function positionIn(shape: readonly number[], flat: number): number[] {
  const position: number[] = [];
  let rest = flat;
  for (let d = shape.length - 1; d >= 0; d--) {
    position.unshift(rest % shape[d]);
    rest = Math.floor(rest / shape[d]);
  }
  return position;
}
