/**
 * WGSL functions that take f32 apart into two f16, for products on tensor cores (contraction/matrix.ts):
 *
 *   x · 2^s = high + low · 2^-11,   high = f16(x · 2^s),   low = f16((x · 2^s - high) · 2^11)
 *
 * Both have 11 bits, so together 22, and a sign. With s such that the largest of a tile lies in [2^12, 2^13), high is a normal f16 down
 * to 2^-26 of it, and what lies below is known to 2^-47 of it; what is up to four times as large fits too. The largest f16 is 65504, the
 * smallest normal one 2^-14.
 *
 * The traps: a compiler may take `x - f32(f16(x))` for 0, so the bits of `high` go through an or with a zero that it cannot know. That
 * must not come from the workgroup's number: where bodies share a dispatch, the driver knows between what it lies.
 * What is not finite has no part in the scale, and makes both parts so that the product is not finite either.
 */
import type { LibraryFunction } from './library.ts';

/** What `split_f16` takes s to be: 12 less the exponent of the largest element that was known when the scale was chosen. */
export const scaledExponent = 12;
/** By so much may the exponent of a later element be larger: below 2^15 all fits an f16. */
export const exponentRoom = 2;
/** What the exponent of operands is taken for that are smaller: the largest scale is 2^100 times that of a 1. */
export const leastExponent = -100;
/** `low` counts for so much. */
export const lowWeight = 2 ** -11;

export const splitFunctions: readonly LibraryFunction[] = [
  {
    name: 'power_of_two_f32',
    needs: [],
    code: `// 2^e, e from -126 to 127.
fn power_of_two_f32(e: i32) -> f32 { return bitcast<f32>(u32(e + 127) << 23u); }`,
  },
  {
    name: 'scaled_f32',
    needs: ['power_of_two_f32'],
    code: `// x · 2^e, e from -252 to 254.
fn scaled_f32(x: f32, e: i32) -> f32 { return x * power_of_two_f32(e / 2) * power_of_two_f32(e - e / 2); }`,
  },
  {
    name: 'largest_finite_f32',
    needs: [],
    code: `// The bits of the largest magnitude among those that are finite.
fn largest_finite_f32(x: vec4<f32>) -> u32 {
  let bits = bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
  let finite = select(vec4<u32>(), bits, bits < vec4<u32>(0x7f800000u));
  return max(max(finite.x, finite.y), max(finite.z, finite.w));
}`,
  },
  {
    name: 'largest_magnitude_f32',
    needs: [],
    code: `// The largest magnitude, whether it is finite or not.
fn largest_magnitude_f32(x: vec4<f32>, y: vec4<f32>) -> f32 {
  let most = max(abs(x), abs(y));
  return max(max(most.x, most.y), max(most.z, most.w));
}`,
  },
  {
    name: 'split_f16',
    needs: [],
    code: `// Eight numbers times a scale, taken apart: high and low parts, two f16 in a word.
struct HighLow { high: vec4<f32>, low: vec4<f32> }
fn split_f16(x: vec4<f32>, y: vec4<f32>, scale: f32, zero: u32) -> HighLow {
  let u = x * scale;
  let v = y * scale;
  let high = vec4<u32>(pack2x16float(u.xy), pack2x16float(u.zw), pack2x16float(v.xy), pack2x16float(v.zw)) | vec4<u32>(zero);
  let p = (u - vec4<f32>(unpack2x16float(high.x), unpack2x16float(high.y))) * 2048.0;
  let q = (v - vec4<f32>(unpack2x16float(high.z), unpack2x16float(high.w))) * 2048.0;
  let low = vec4<u32>(pack2x16float(p.xy), pack2x16float(p.zw), pack2x16float(q.xy), pack2x16float(q.zw));
  return HighLow(bitcast<vec4<f32>>(high), bitcast<vec4<f32>>(low));
}`,
  },
  {
    name: 'largest_f32',
    needs: ['largest_finite_f32', 'largest_magnitude_f32'],
    code: `// The bits of the largest finite one of eight: asked one by one only where something is not finite.
fn largest_f32(x: vec4<f32>, y: vec4<f32>) -> u32 {
  let bits = bitcast<u32>(largest_magnitude_f32(x, y));
  if (bits >= 0x7f800000u) { return max(largest_finite_f32(x), largest_finite_f32(y)); }
  return bits;
}`,
  },
  {
    name: 'order_f32',
    needs: [],
    code: `// Grows with |x|, its exponent, one more, in the upper eight bits: what is not finite is less than 0 is.
fn order_f32(x: vec4<f32>) -> vec4<u32> { return bitcast<vec4<u32>>(x) * 2u + 0x01000000u; }`,
  },
  {
    name: 'largest_order_f32',
    needs: ['order_f32'],
    code: `// The largest order of eight.
fn largest_order_f32(x: vec4<f32>, y: vec4<f32>) -> u32 {
  let most = max(order_f32(x), order_f32(y));
  return max(max(most.x, most.y), max(most.z, most.w));
}`,
  },
  {
    name: 'order_exponent_f32',
    needs: [],
    code: `// The exponent of the number of that order, -127 or -128 where it is too small for one or none is finite.
fn order_exponent_f32(order: u32) -> i32 { return i32(order >> 24u) - 128; }`,
  },
  {
    name: 'split_unweighted_f16',
    needs: [],
    code: `// Four numbers times a scale, taken apart with low parts as they are: two words of high parts, two of low ones.
fn split_unweighted_f16(x: vec4<f32>, scale: f32, zero: u32) -> vec4<f32> {
  let u = x * scale;
  let high = vec2<u32>(pack2x16float(u.xy), pack2x16float(u.zw)) | vec2<u32>(zero);
  let p = u - vec4<f32>(unpack2x16float(high.x), unpack2x16float(high.y));
  return bitcast<vec4<f32>>(vec4<u32>(high, pack2x16float(p.xy), pack2x16float(p.zw)));
}`,
  },
  {
    name: 'split_octet_f16',
    needs: ['split_unweighted_f16'],
    code: `// The same of eight.
struct Octet { high: vec4<f32>, low: vec4<f32> }
fn split_octet_f16(x: vec4<f32>, y: vec4<f32>, scale: f32, zero: u32) -> Octet {
  let p = split_unweighted_f16(x, scale, zero);
  let q = split_unweighted_f16(y, scale, zero);
  return Octet(vec4<f32>(p.xy, q.xy), vec4<f32>(p.zw, q.zw));
}`,
  },
];
