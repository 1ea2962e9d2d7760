/**
 * binary16 for a Node that has no Float16Array: f16 tensors travel as their bits in a Uint16Array.
 *
 * The trap: rounding is to nearest, ties to even, subnormals included, or a checkpoint read and written drifts.
 */

const scratch = new DataView(new ArrayBuffer(4));

/** The float32 value of one binary16 bit pattern. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The binary16 bit pattern nearest to a number that is first rounded to float32. */
export function floatToHalf(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is halfway between the largest half and what would come after it; ties go up to infinity there.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) return sign | roundShift(magnitude - 0x38000000, 13);
  if (magnitude < 0x33000000) return sign;
  const shift = 126 - (magnitude >>> 23);
  return sign | roundShift((magnitude & 0x7fffff) | 0x800000, shift);
}

/** `value / 2^shift`, to nearest, ties to even. */
function roundShift(value: number, shift: number): number {
  const half = 2 ** (shift - 1);
  const quotient = Math.floor(value / 2 ** shift);
  const remainder = value - quotient * 2 ** shift;
  return remainder > half || (remainder === half && quotient % 2 === 1) ? quotient + 1 : quotient;
}

/** Float32 values of binary16 bit patterns, elementwise. */
export function halvesToFloats(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, halfToFloat);
}

/** Binary16 bit patterns of numbers, elementwise. */
export function floatsToHalves(values: ArrayLike<number>): Uint16Array {
  return Uint16Array.from(values, floatToHalf);
}
