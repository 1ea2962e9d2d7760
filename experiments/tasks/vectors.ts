/** The little linear algebra of the baselines: vectors, and square matrices row by row. */

export function identity(n: number, value = 1): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i += 1) matrix[i * n + i] = value;
  return matrix;
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i] * b[i];
  return sum;
}

export function multiply(matrix: Float64Array, x: Float64Array): Float64Array {
  const n = x.length;
  const result = new Float64Array(n);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) result[i] += matrix[i * n + j] * x[j];
  }
  return result;
}

export function addOuter(matrix: Float64Array, a: Float64Array, b: Float64Array, factor: number): void {
  const n = b.length;
  for (let i = 0; i < a.length; i += 1) {
    for (let j = 0; j < n; j += 1) matrix[i * n + j] += factor * a[i] * b[j];
  }
}

export function addScaled(target: Float64Array, a: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i += 1) target[i] += factor * a[i];
}

export function squaredDistance(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += (a[i] - b[i]) ** 2;
  return sum;
}
