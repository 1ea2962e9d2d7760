/**
 * WGSL functions on whole numbers, beside those of `library.ts`: division that rounds down, and 64 bits as `vec2<u32>` (low, high),
 * negative ones as two's complement, for what may leave i32 on its way to a real or a comparison.
 */
import type { LibraryFunction } from './library.ts';

export const integerFunctions: readonly LibraryFunction[] = [
  {
    name: 'quotient_i32',
    needs: [],
    code: `fn quotient_i32(a: i32, b: i32) -> i32 {
  let q = a / b;
  return select(q, q - 1, (q * b != a) & ((a < 0) != (b < 0)));
}`,
  },
  {
    name: 'remainder_i32',
    needs: [],
    code: `fn remainder_i32(a: i32, b: i32) -> i32 {
  let r = a % b;
  return select(r, r + abs(b), r < 0);
}`,
  },
  {
    name: 'wide',
    needs: [],
    code: 'fn wide(a: i32) -> vec2<u32> { return vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u)); }',
  },
  {
    name: 'add_wide',
    needs: [],
    code: `fn add_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}`,
  },
  {
    name: 'multiply_wide',
    needs: [],
    code: `fn multiply_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let a0 = a.x & 0xffffu; let a1 = a.x >> 16u; let b0 = b.x & 0xffffu; let b1 = b.x >> 16u;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  let cross = a0 * b1 + (middle & 0xffffu);
  let high = a1 * b1 + (middle >> 16u) + (cross >> 16u);
  return vec2<u32>(a.x * b.x, high + a.x * b.y + a.y * b.x);
}`,
  },
  {
    name: 'compare_wide',
    needs: [],
    code: `fn compare_wide(a: vec2<u32>, b: vec2<u32>) -> i32 { // -1, 0 or 1
  let low = select(select(-1, 1, a.x > b.x), 0, a.x == b.x);
  return select(low, select(-1, 1, bitcast<i32>(a.y) > bitcast<i32>(b.y)), a.y != b.y);
}`,
  },
  ...(['min', 'max'] as const).map((name) => ({
    name: `${name}_wide`,
    needs: ['compare_wide'],
    code: `fn ${name}_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return select(a, b, compare_wide(a, b) ${name === 'min' ? '>' : '<'} 0); }`,
  })),
  {
    name: 'real_of_wide',
    needs: ['add_wide'],
    code: `fn real_of_wide(a: vec2<u32>) -> f32 {
  let negative = bitcast<i32>(a.y) < 0;
  let size = select(a, add_wide(~a, vec2<u32>(1u, 0u)), negative);
  let value = f32(size.y) * 4294967296.0 + f32(size.x);
  return select(value, -value, negative);
}`,
  },
];
