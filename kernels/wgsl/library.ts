/**
 * WGSL functions that kernels call: what WGSL lacks, or leaves to the device: an error too large to promise anything, or
 * the right to treat NaN, infinities and what lies outside a function's domain as it likes. `compiler/ir/scalar.ts` says
 * what is right; each is held to it, and to its bound, on every device by `test/kernels/wgsl/library.test.ts`. Polynomials are
 * those of the Cephes single precision library, the error function is its Taylor series below 1 and Abramowitz & Stegun
 * 7.1.26 above.
 *
 * Two traps. NaN is told by its bits and made by bits, since a comparison with it may be folded away and it has no
 * literal. And nothing here branches or returns early, nor has `&&` or `||`, which are branches: SwiftShader takes functions
 * into their callers, and each branch of one inside a loop doubles what comes out (twelve `log` took 16 s to compile, without
 * branches 0.2 s).
 */
import { integerFunctions } from './integer-library.ts';
import { splitFunctions } from './split-library.ts';

export interface LibraryFunction {
  readonly name: string;
  readonly needs: readonly string[];
  readonly code: string;
}

const functions: readonly LibraryFunction[] = [
  ...integerFunctions,
  ...splitFunctions,
  {
    name: 'is_nan_f32',
    needs: [],
    code: `fn is_nan_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }`,
  },
  {
    name: 'infinity_f32',
    needs: [],
    code: `// +∞, which WGSL has no constant for.
fn infinity_f32() -> f32 {
  var bits = 0x7f800000u;
  return bitcast<f32>(bits);
}`,
  },
  {
    name: 'nan_f32',
    needs: [],
    code: `fn nan_f32() -> f32 {
  var bits = 0x7fc00000u;
  return bitcast<f32>(bits);
}`,
  },
  {
    name: 'with_sign_f32',
    needs: [],
    code: `// |x| with the sign of y.
fn with_sign_f32(x: f32, y: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(y) & 0x80000000u));
}`,
  },
  {
    name: 'max_f32',
    needs: ['is_nan_f32'],
    code: `fn max_f32(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, is_nan_f32(b)), a, is_nan_f32(a)); }`,
  },
  {
    name: 'min_f32',
    needs: ['is_nan_f32'],
    code: `fn min_f32(a: f32, b: f32) -> f32 { return select(select(min(a, b), b, is_nan_f32(b)), a, is_nan_f32(a)); }`,
  },
  extremeOfOctet('max', 'largest'),
  extremeOfOctet('min', 'smallest'),
  {
    name: 'relu_f32',
    needs: ['is_nan_f32'],
    code: `fn relu_f32(x: f32) -> f32 { return select(max(x, 0.0), x, is_nan_f32(x)); }`,
  },
  {
    name: 'sign_f32',
    needs: ['is_nan_f32'],
    code: `fn sign_f32(x: f32) -> f32 { return select(sign(x), x, is_nan_f32(x)); }`,
  },
  {
    name: 'exp_f32',
    needs: ['is_nan_f32'],
    code: `fn exp_f32(x: f32) -> f32 { return select(exp(x), x, is_nan_f32(x)); }`,
  },
  {
    name: 'log_f32',
    needs: ['infinity_f32', 'nan_f32'],
    code: `// A subnormal number is its bits as a whole number, times 2^-149.
fn log_f32(x: f32) -> f32 {
  let given = bitcast<i32>(x);
  let is_subnormal = given < 0x00800000;
  let bits = select(given, bitcast<i32>(f32(given)), is_subnormal);
  let shifted = bits - 0x3f3504f3;
  let exponent = f32((shifted >> 23u) - select(0, 149, is_subnormal));
  let mantissa = bitcast<f32>(bits - ((shifted >> 23u) << 23u));
  let f = (mantissa - 1.0) / (mantissa + 1.0);
  let z = f * f;
  let series = 2.0 * f * (1.0 + z * (0.33333333 + z * (0.2 + z * (0.14285715 + z * 0.11111111))));
  let finite = select(exponent * 0.69314718 + series, x, given >= 0x7f800000); // or ∞ or NaN as they are
  return select(finite, select(nan_f32(), -infinity_f32(), (given & 0x7fffffff) == 0), given <= 0);
}`,
  },
  {
    name: 'erfc_tail_f32',
    needs: [],
    code: `// 1 - erf(x) for x >= 1; 0 from about 9 on.
fn erfc_tail_f32(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * x);
  let q = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return q * exp(-x * x);
}`,
  },
  {
    name: 'erf_series_f32',
    needs: [],
    code: `// erf(x) for |x| < 1.
fn erf_series_f32(x: f32) -> f32 {
  let z = x * x;
  var p = -1.4807192e-08;
  p = p * z + 1.6365845e-07;
  p = p * z - 1.6462115e-06;
  p = p * z + 1.4925651e-05;
  p = p * z - 1.2055333e-04;
  p = p * z + 8.5483270e-04;
  p = p * z - 5.2239776e-03;
  p = p * z + 2.6866171e-02;
  p = p * z - 1.1283792e-01;
  p = p * z + 3.7612639e-01;
  return x * (1.1283792 - z * p);
}`,
  },
  {
    name: 'erf_f32',
    needs: ['erfc_tail_f32', 'erf_series_f32', 'with_sign_f32'],
    code: `fn erf_f32(x: f32) -> f32 {
  let a = abs(x);
  return select(with_sign_f32(1.0 - erfc_tail_f32(a), x), erf_series_f32(x), a < 1.0);
}`,
  },
  {
    name: 'tanh_f32',
    needs: ['is_nan_f32', 'with_sign_f32'],
    code: `fn tanh_f32(x: f32) -> f32 {
  let a = abs(x);
  let z = x * x;
  let p = (((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z;
  let near = x + x * z * (p - 3.33332819422e-1);
  let e = exp(-2.0 * min(a, 20.0));
  let far = with_sign_f32((1.0 - e) / (1.0 + e), x);
  return select(select(far, near, a < 0.625), x, is_nan_f32(x));
}`,
  },
  {
    name: 'sigmoid_f32',
    needs: ['exp_f32'],
    code: `fn sigmoid_f32(x: f32) -> f32 {
  let e = exp_f32(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}`,
  },
  {
    name: 'silu_f32',
    needs: ['sigmoid_f32'],
    code: `fn silu_f32(x: f32) -> f32 { return x * sigmoid_f32(x); }`,
  },
  {
    name: 'gelu_f32',
    needs: ['erf_series_f32', 'erfc_tail_f32'],
    code: `// Far to the left 1 + erf cancels, so the tail is taken as it is.
fn gelu_f32(x: f32) -> f32 {
  let a = abs(x) * 0.70710678;
  let tail = 0.5 * erfc_tail_f32(a);
  let near = 0.5 * (1.0 + erf_series_f32(x * 0.70710678));
  return x * select(select(tail, 1.0 - tail, x > 0.0), near, a < 1.0);
}`,
  },
  {
    name: 'sincos_f32',
    needs: ['nan_f32'],
    code: `// (sin x, cos x): exact to 2e-7 up to |x| = 8192, to 5e-6 up to 1e5; beyond 2^20, where f32 has steps of 1/8, no number.
fn sincos_f32(x: f32) -> vec2<f32> {
  let quadrant = round(x * 0.63661977);
  let r = ((x - quadrant * 1.5703125) - quadrant * 4.8375129699707031e-4) - quadrant * 7.5497899548918821e-8;
  let z = r * r;
  let s = r + r * z * ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1);
  let c = 1.0 - 0.5 * z + z * z * ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2);
  let q = bitcast<u32>(i32(quadrant));
  let turned = select(vec2<f32>(s, c), vec2<f32>(c, s), (q & 1u) != 0u);
  let signs = vec2<u32>(q & 2u, (q + 1u) & 2u) << vec2<u32>(30u);
  let y = bitcast<vec2<f32>>(bitcast<vec2<u32>>(turned) ^ signs);
  return select(y, vec2<f32>(nan_f32()), abs(x) > 1048576.0);
}`,
  },
  {
    name: 'power_f32',
    needs: ['is_nan_f32', 'infinity_f32', 'nan_f32'],
    code: `// base ^ exponent; anything to the power of 0 is 1, a negative base has whole exponents only.
fn power_f32(base: f32, exponent: f32) -> f32 {
  let largest = 3.4028234663852886e+38;
  let size = abs(base);
  let is_limit = (size == 0.0) | (size > largest) | (abs(exponent) > largest);
  let limit = select(0.0, infinity_f32(), (size > 1.0) == (exponent > 0.0));
  let magnitude = select(pow(size, exponent), limit, is_limit);
  let is_odd = fract(abs(exponent) * 0.5) == 0.5;
  let signed = select(magnitude, -magnitude, is_odd & (bitcast<i32>(base) < 0));
  let is_root = (floor(exponent) != exponent) & (base < 0.0);
  let is_one = (size == 1.0) & (abs(exponent) > largest);
  let is_none = is_root | is_one | is_nan_f32(base) | is_nan_f32(exponent);
  return select(select(signed, nan_f32(), is_none), 1.0, exponent == 0.0);
}`,
  },
  {
    name: 'square_f32',
    needs: [],
    code: 'fn square_f32(x: f32) -> f32 { return x * x; }',
  },
  {
    name: 'cube_f32',
    needs: [],
    code: 'fn cube_f32(x: f32) -> f32 { return x * x * x; }',
  },
  {
    name: 'power_4_f32',
    needs: ['square_f32'],
    code: 'fn power_4_f32(x: f32) -> f32 { return square_f32(square_f32(x)); }',
  },
  {
    name: 'power_5_f32',
    needs: ['square_f32'],
    code: 'fn power_5_f32(x: f32) -> f32 { return square_f32(square_f32(x)) * x; }',
  },
  {
    name: 'power_6_f32',
    needs: ['square_f32', 'cube_f32'],
    code: 'fn power_6_f32(x: f32) -> f32 { return square_f32(cube_f32(x)); }',
  },
  {
    name: 'power_7_f32',
    needs: ['square_f32', 'cube_f32'],
    code: 'fn power_7_f32(x: f32) -> f32 { return square_f32(cube_f32(x)) * x; }',
  },
  {
    name: 'power_8_f32',
    needs: ['square_f32'],
    code: 'fn power_8_f32(x: f32) -> f32 { return square_f32(square_f32(square_f32(x))); }',
  },
  {
    name: 'philox',
    needs: [],
    code: `fn multiply_words(a: u32, b: u32) -> vec2<u32> { // (high, low)
  let a0 = a & 0xffffu; let a1 = a >> 16u; let b0 = b & 0xffffu; let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u);
  let cross = a0 * b1 + (middle & 0xffffu);
  return vec2<u32>(a1 * b1 + (middle >> 16u) + (cross >> 16u), a * b);
}
// Philox4x32-10 (Salmon et al., 2011): first two words.
fn philox(seed: u32, stream: u32, element: u32, step: u32) -> vec2<u32> {
  var counter = vec4<u32>(element, step, 0u, 0u);
  var key = vec2<u32>(seed, stream);
  for (var i = 0; i < 10; i++) {
    let p = multiply_words(0xD2511F53u, counter.x);
    let q = multiply_words(0xCD9E8D57u, counter.z);
    counter = vec4<u32>(q.x ^ counter.y ^ key.x, q.y, p.x ^ counter.w ^ key.y, p.y);
    key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
  }
  return counter.xy;
}
// In (0, 1): the upper 23 bits, centred in their cell.
fn unit_f32(word: u32) -> f32 { return (f32(word >> 9u) + 0.5) * 1.1920929e-7; }`,
  },
  {
    name: 'uniform_f32',
    needs: ['philox'],
    code: `fn uniform_f32(seed: i32, stream: u32, element: i32, step: i32) -> f32 {
  return unit_f32(philox(u32(seed), stream, u32(element), u32(step)).x);
}`,
  },
  {
    name: 'normal_f32',
    needs: ['philox', 'log_f32', 'sincos_f32'],
    code: `// Box-Muller.
fn normal_f32(seed: i32, stream: u32, element: i32, step: i32) -> f32 {
  let words = philox(u32(seed), stream, u32(element), u32(step));
  return sqrt(-2.0 * log_f32(unit_f32(words.x))) * sincos_f32(6.2831853 * (unit_f32(words.y) - 0.5)).y * -1.0;
}`,
  },
];

/** The extreme of eight numbers, which asks for NaN once. */
function extremeOfOctet(operator: 'max' | 'min', word: string): LibraryFunction {
  return {
    name: `${operator}_octet_f32`,
    needs: ['is_nan_f32'],
    code: `// The ${word} of eight, NaN where one is: their magnitudes' sum says whether.
fn ${operator}_octet_f32(x: vec4<f32>, y: vec4<f32>) -> f32 {
  let pairs = ${operator}(x, y);
  let sums = abs(x) + abs(y);
  let sum = sums.x + sums.y + sums.z + sums.w;
  return select(${operator}(${operator}(pairs.x, pairs.y), ${operator}(pairs.z, pairs.w)), sum, is_nan_f32(sum));
}`,
  };
}

const byName = new Map(functions.map((f) => [f.name, f]));

/** The code of the functions named and of all they call, each once, callees first. */
export function libraryCode(names: Iterable<string>): string {
  const done = new Set<string>();
  const parts: string[] = [];
  const visit = (name: string): void => {
    if (done.has(name)) return;
    done.add(name);
    const f = byName.get(name);
    if (!f) throw new Error(`no library function ${name}`);
    for (const need of f.needs) visit(need);
    parts.push(f.code);
  };
  for (const name of [...names].sort()) visit(name);
  return parts.join('\n\n');
}
