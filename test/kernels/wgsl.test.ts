/** What the emitters write, for people: one small kernel of each family in full, literals and the template. */
import { describe, expect, test } from 'vitest';
import { subtract } from '../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../compiler/ir/build.ts';
import { binary, constant, negate, product, sum, unary } from '../../compiler/ir/expression.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { type ScheduleOptions, schedule } from '../../compiler/schedule/schedule.ts';
import { portableTarget } from '../../kernels/target.ts';
import { Names } from '../../kernels/wgsl/names.ts';
import { f32Literal, indent, wgsl } from '../../kernels/wgsl/text.ts';

const cpu = { ...portableTarget, class: 'cpu' as const };

function kernelsOf(p: Program, options: Partial<ScheduleOptions> = {}): string[] {
  return schedule(p, { target: cpu, ...options }).kernels.map((kernel) => kernel.wgsl);
}

describe('kernels in full', () => {
  test('loop', () => {
    const p = program(
      [
        input('x', [4, 6]),
        input('attn.0.scale', [6]),
        computed(
          'h.3.attn.out',
          [4, 6],
          [
            over({ t: 4, i: 6 }, ({ t, i }) => ({
              store: [t, i],
              value: sum([product([at('x', t, i), at('attn.0.scale', i)]), negate(at('x', t, 0))]),
            })),
          ],
        ),
        computed(
          'total',
          [6, 4],
          [
            over({ i: 6, t: 4, s: 3 }, ({ i, t, s }) => ({
              store: [i, t],
              domain: [atLeastZero(subtract(t, s))],
              value: product([at('h.3.attn.out', s, i), at('x', t, i)]),
            })),
          ],
        ),
      ],
      ['total'],
    );
    expect(kernelsOf(p).join('\n---\n')).toMatchInlineSnapshot(`
      "// h.3.attn.out[t, i] sum= x[t, i] * attn.0.scale[i] - 1 * x[t, 0]   over t: 4, i: 6
      // loop: workgroupSize 64, 24 multiply-adds, 216 bytes
      @group(0) @binding(0) var<storage, read> x: array<f32>;
      @group(0) @binding(1) var<storage, read> attn_scale_: array<f32>;
      @group(0) @binding(2) var<storage, read_write> attn_out_: array<f32>;

      @compute @workgroup_size(64)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        let element = i32(group * 64u + lane);
        if (element >= 24) { return; }
        let t = element / 6;
        let i = element % 6;
        let attn_out_value = x[t * 6 + i] * attn_scale_[i] - x[t * 6];
        attn_out_[element] = attn_out_value;
      }

      ---
      // total[i, t] sum= h.3.attn.out[s, i] * x[t, i]   over i: 6, t: 4, s: 3   where t - s >= 0
      // loop: workgroupSize 64, 54 multiply-adds, 288 bytes
      @group(0) @binding(0) var<storage, read> attn_out_: array<f32>;
      @group(0) @binding(1) var<storage, read> x: array<f32>;
      @group(0) @binding(2) var<storage, read_write> total_: array<f32>;

      @compute @workgroup_size(64)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        let element = i32(group * 64u + lane);
        if (element >= 24) { return; }
        let i = element / 4;
        let t = element % 4;
        var total_value = 0.0;
        for (var s = 0; s < min(3, t + 1); s++) {
          total_value += attn_out_[s * 6 + i] * x[t * 6 + i];
        }
        total_[element] = total_value;
      }
      "
    `);
  });

  test('row', () => {
    const axes = { h: 3, t: 8, u: 8 };
    const p = program(
      [
        input('S', [3, 8, 8]),
        computed(
          'S~lse',
          [3, 8],
          [
            over(axes, ({ h, t, u }) => ({
              store: [h, t],
              reducer: 'logsumexp',
              domain: [atLeastZero(subtract(t, u))],
              value: at('S', h, t, u),
            })),
          ],
        ),
        computed(
          'A',
          [3, 8, 8],
          [
            over(axes, ({ h, t, u }) => ({
              store: [h, t, u],
              domain: [atLeastZero(subtract(t, u))],
              value: unary('exp', sum([at('S', h, t, u), negate(at('S~lse', h, t))])),
            })),
          ],
        ),
      ],
      ['A'],
    );
    expect(kernelsOf(p).join('\n---\n')).toMatchInlineSnapshot(`
      "// S~lse~max[h, t] max= S[h, t, u]   over h: 3, t: 8, u: 8   where t - u >= 0
      // S~lse~shift[i0, i1] sum= select(abs(S~lse~max[i0, i1]) < Infinity, S~lse~max[i0, i1], 0)   over i0: 3, i1: 8
      // S~lse~sum[h, t] sum= exp(S[h, t, u] - 1 * S~lse~shift[h, t])   over h: 3, t: 8, u: 8   where t - u >= 0
      // S~lse~log[i0, i1] sum= select(S~lse~sum[i0, i1] == 0, S~lse~max[i0, i1] - 1 * S~lse~shift[i0, i1], log(S~lse~sum[i0, i1]))   over i0: 3, i1: 8
      // A[h, t, u] sum= exp(S[h, t, u] - 1 * S~lse~shift[h, t] - 1 * S~lse~log[h, t])   over h: 3, t: 8, u: 8   where t - u >= 0
      // row: lanes 1, workgroupSize 32, 1536 bytes
      @group(0) @binding(0) var<storage, read> S: array<f32>;
      @group(0) @binding(1) var<storage, read_write> A: array<f32>;

      fn is_nan_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

      fn exp_f32(x: f32) -> f32 { return select(exp(x), x, is_nan_f32(x)); }

      // +∞, which WGSL has no constant for.
      fn infinity_f32() -> f32 {
        var bits = 0x7f800000u;
        return bitcast<f32>(bits);
      }

      fn nan_f32() -> f32 {
        var bits = 0x7fc00000u;
        return bitcast<f32>(bits);
      }

      // A subnormal number is its bits as a whole number, times 2^-149.
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
      }

      fn max_f32(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, is_nan_f32(b)), a, is_nan_f32(a)); }

      @compute @workgroup_size(32)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        let invocation = i32(group * 32u + lane);
        let live = invocation < 24;
        let row = min(invocation, 23);
        let h = row / 8;
        let t = row % 8;
        var best = -infinity_f32();
        var found = 0.0;
        for (var u = 0; u < min(8, t + 1); u++) {
          best = max_f32(best, S[h * 64 + t * 8 + u]);
          found = 1.0;
        }
        best = best;
        let S_lse_max_ = select(0.0, best, found > 0.0);
        let S_lse_shift_ = select(0.0, S_lse_max_, abs(S_lse_max_) < infinity_f32());
        var sum = 0.0;
        for (var u_2 = 0; u_2 < min(8, t + 1); u_2++) {
          sum += exp_f32(S[h * 64 + t * 8 + u_2] - S_lse_shift_);
        }
        let S_lse_sum_ = sum;
        let S_lse_log_ = select(log_f32(S_lse_sum_), S_lse_max_ - S_lse_shift_, S_lse_sum_ == 0.0);
        for (var u_3 = 0; u_3 < 8; u_3++) {
          var A_value = 0.0;
          if (t >= u_3) {
            A_value = exp_f32(S[h * 64 + t * 8 + u_3] - S_lse_shift_ - S_lse_log_);
          }
          if (live) {
            A[h * 64 + t * 8 + u_3] = A_value;
          }
        }
      }
      "
    `);
  });

  test('contraction, subgroup: lanes read rows of the left operand by turns and broadcast them', () => {
    const p = program(
      [
        input('x', [9, 6]),
        input('W', [6, 16]),
        computed(
          'y',
          [9, 16],
          [
            over({ t: 9, i: 16, j: 6 }, ({ t, i, j }) => ({
              store: [t, i],
              value: product([at('x', t, j), at('W', j, i)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
    const tuning = { form: 'subgroup', tileM: 4, tileN: 16, tileK: 1, rows: 4, columns: 4 } as const;
    expect(kernelsOf(p, { override: { contraction: tuning } }).join('')).toMatchInlineSnapshot(`
      "// y[t, i] sum= x[t, j] * W[j, i]   over t: 9, i: 16, j: 6
      // contraction: form subgroup, tileM 4, tileN 16, tileK 1, rows 4, columns 4, 864 multiply-adds, 1176 bytes
      enable subgroups;

      @group(0) @binding(0) var<storage, read> x: array<f32>;
      @group(0) @binding(1) var<storage, read> W: array<f32>;
      @group(0) @binding(2) var<storage, read_write> y: array<f32>;

      fn left_operand(batch: i32, m: i32, k: i32) -> f32 {
        return x[m * 6 + k];
      }

      fn right_operand(batch: i32, n: i32, k: i32) -> f32 {
        return W[k * 16 + n];
      }

      fn right_quad(batch: i32, p: i32, k: i32) -> vec4<f32> {
        return vec4<f32>(
          right_operand(batch, p, k),
          right_operand(batch, p + 4, k),
          right_operand(batch, p + 8, k),
          right_operand(batch, p + 12, k));
      }

      fn finish(batch: i32, m: i32, n: i32, sum: f32) {
        let element = m * 16 + n;
        let y_value = sum;
        y[element] = y_value;
      }

      @compute @workgroup_size(4)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        let batch = 0;
        let tile_m = i32(group) * 4;
        let tile_n = 0;
        let k_from = 0;
        let k_to = 6;
        let lane_m = tile_m + i32(lane);
        let lane_n = tile_n + i32(lane);
        var sum_0_0 = vec4<f32>();
        var sum_1_0 = vec4<f32>();
        var sum_2_0 = vec4<f32>();
        var sum_3_0 = vec4<f32>();
        for (var k = k_from; k < k_to; k++) {
          let b_0 = right_quad(batch, lane_n, k);
          let a_0 = left_operand(batch, min(lane_m, 8), k);
          let a_0_0 = subgroupBroadcast(a_0, 0u);
          sum_0_0 += a_0_0 * b_0;
          let a_0_1 = subgroupBroadcast(a_0, 1u);
          sum_1_0 += a_0_1 * b_0;
          let a_0_2 = subgroupBroadcast(a_0, 2u);
          sum_2_0 += a_0_2 * b_0;
          let a_0_3 = subgroupBroadcast(a_0, 3u);
          sum_3_0 += a_0_3 * b_0;
        }
        var sums = array<vec4<f32>, 4>(sum_0_0, sum_1_0, sum_2_0, sum_3_0);
        for (var i = 0; i < 4; i++) {
          for (var j = 0; j < 4; j++) {
            let m = tile_m + i;
            let n = lane_n + j * 4;
            if (m < 9) { finish(batch, m, n, sums[i][j % 4]); }
          }
        }
      }
      "
    `);
  });

  test('where the driver unrolls loops, their bounds are hidden', () => {
    const p = program(
      [
        input('x', [64, 12]),
        computed('y', [64], [over({ t: 64, i: 12 }, ({ t, i }) => ({ store: [t], value: at('x', t, i) }))]),
      ],
      ['y'],
    );
    const [kernel] = kernelsOf(p, { target: { ...portableTarget, class: 'cpu', unrollsLoops: true } });
    expect(kernel).toContain('let zero = min(i32(group), 0);');
    expect(kernel).toContain('i < 12 + zero;');
    expect(kernelsOf(p)[0]).toContain('i < 12;');
  });

  test('row: what a loop need not repeat stands before it', () => {
    const axes = { t: 6, i: 32 };
    const scaled = program(
      [
        input('x', [6, 32]),
        input('v', [6]),
        computed(
          'y',
          [6],
          [
            over(axes, ({ t, i }) => ({
              store: [t],
              value: binary('divide', at('x', t, i), unary('sqrt', at('v', t))),
            })),
          ],
        ),
        computed(
          'z',
          [6, 32],
          [
            over(axes, ({ t, i }) => ({
              store: [t, i],
              value: sum([binary('divide', at('x', t, i), unary('sqrt', at('v', t))), at('y', t)]),
            })),
          ],
        ),
      ],
      ['y', 'z'],
    );
    expect(kernelsOf(scaled).join('')).toMatchInlineSnapshot(`
      "// y[t] sum= x[t, i] / sqrt(v[t])   over t: 6, i: 32
      // z[t, i] sum= x[t, i] / sqrt(v[t]) + y[t]   over t: 6, i: 32
      // row: lanes 1, workgroupSize 8, 1584 bytes
      @group(0) @binding(0) var<storage, read> v: array<f32>;
      @group(0) @binding(1) var<storage, read> x: array<f32>;
      @group(0) @binding(2) var<storage, read_write> y: array<f32>;
      @group(0) @binding(3) var<storage, read_write> z: array<f32>;

      @compute @workgroup_size(8)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        let invocation = i32(group * 8u + lane);
        let live = invocation < 6;
        let row = min(invocation, 5);
        let of_row = sqrt(v[row]);
        var sum = 0.0;
        for (var i = 0; i < 32; i++) {
          sum += x[row * 32 + i] / of_row;
        }
        let y_value = sum;
        if (live) {
          y[row] = y_value;
        }
        for (var i_2 = 0; i_2 < 32; i_2++) {
          if (live) {
            z[row * 32 + i_2] = x[row * 32 + i_2] / of_row + y_value;
          }
        }
      }
      "
    `);
  });

  test('contraction, direct', () => {
    const p = program(
      [
        input('x', [20, 6]),
        input('W', [17, 6]),
        input('bias', [17]),
        computed(
          'y',
          [20, 17],
          [
            over({ t: 20, i: 17, j: 6 }, ({ t, i, j }) => ({
              store: [t, i],
              value: product([constant(0.5), at('W', i, j), at('x', t, j)]),
            })),
            over({ t: 20, i: 17 }, ({ t, i }) => ({ store: [t, i], value: at('bias', i) })),
          ],
        ),
        computed(
          'z',
          [20, 17],
          [over({ t: 20, i: 17 }, ({ t, i }) => ({ store: [t, i], value: unary('relu', at('y', t, i)) }))],
        ),
      ],
      ['z'],
    );
    const tuning = { form: 'direct', tileM: 8, tileN: 8, tileK: 1, rows: 4, columns: 4 } as const;
    expect(kernelsOf(p, { override: { contraction: tuning } }).join('\n---\n')).toMatchInlineSnapshot(`
      "// y[t, i] sum= 0.5 * W[i, j] * x[t, j]   over t: 20, i: 17, j: 6
      // y[t, i] sum= bias[i]   over t: 20, i: 17
      // z[t, i] sum= relu(y[t, i])   over t: 20, i: 17
      // contraction: form direct, tileM 8, tileN 8, tileK 1, rows 4, columns 4, 2040 multiply-adds, 2316 bytes
      @group(0) @binding(0) var<storage, read> x: array<f32>;
      @group(0) @binding(1) var<storage, read> W: array<f32>;
      @group(0) @binding(2) var<storage, read> bias_: array<f32>;
      @group(0) @binding(3) var<storage, read_write> z: array<f32>;

      fn is_nan_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

      fn relu_f32(x: f32) -> f32 { return select(max(x, 0.0), x, is_nan_f32(x)); }

      fn left_operand(batch: i32, m: i32, k: i32) -> f32 {
        return x[m * 6 + k];
      }

      fn right_operand(batch: i32, n: i32, k: i32) -> f32 {
        return W[n * 6 + k];
      }

      fn right_quad(batch: i32, p: i32, k: i32) -> vec4<f32> {
        return vec4<f32>(
          right_operand(batch, min(p, 16), k),
          right_operand(batch, min(p + 1, 16), k),
          right_operand(batch, min(p + 2, 16), k),
          right_operand(batch, min(p + 3, 16), k));
      }

      fn finish(batch: i32, m: i32, n: i32, sum: f32) {
        let element = m * 17 + n;
        var y = sum * 0.5;
        y += bias_[n];
        let z_value = relu_f32(y);
        z[element] = z_value;
      }

      @compute @workgroup_size(4)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        let batch = 0;
        let tile_m = i32(group) / 3 * 8;
        let tile_n = i32(group) % 3 * 8;
        let k_from = 0;
        let k_to = 6;
        let first_m = tile_m + i32(lane) / 2 * 4;
        let first_n = tile_n + i32(lane) % 2 * 4;
        if (first_m >= 20 || first_n >= 17) { return; }
        var sum_0_0 = vec4<f32>();
        var sum_1_0 = vec4<f32>();
        var sum_2_0 = vec4<f32>();
        var sum_3_0 = vec4<f32>();
        for (var k = k_from; k < k_to; k++) {
          let b_0 = right_quad(batch, first_n, k);
          let a_0 = left_operand(batch, min(first_m, 19), k);
          sum_0_0 += a_0 * b_0;
          let a_1 = left_operand(batch, min(first_m + 1, 19), k);
          sum_1_0 += a_1 * b_0;
          let a_2 = left_operand(batch, min(first_m + 2, 19), k);
          sum_2_0 += a_2 * b_0;
          let a_3 = left_operand(batch, min(first_m + 3, 19), k);
          sum_3_0 += a_3 * b_0;
        }
        var sums = array<vec4<f32>, 4>(sum_0_0, sum_1_0, sum_2_0, sum_3_0);
        for (var i = 0; i < 4; i++) {
          for (var j = 0; j < 4; j++) {
            let m = first_m + i;
            let n = first_n + j;
            if (m < 20 && n < 17) { finish(batch, m, n, sums[i][j % 4]); }
          }
        }
      }
      "
    `);
  });

  test('contraction, tiled', () => {
    const p = program(
      [
        input('a', [2, 16, 12]),
        input('b', [2, 12, 16]),
        computed(
          'y',
          [2, 16, 16],
          [
            over({ h: 2, t: 16, u: 16, k: 12 }, ({ h, t, u, k }) => ({
              store: [h, t, u],
              domain: [atLeastZero(subtract(t, u))],
              value: product([at('a', h, t, k), at('b', h, k, u)]),
            })),
          ],
        ),
      ],
      ['y'],
    );
    const tuning = { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 } as const;
    expect(kernelsOf(p, { override: { contraction: tuning } }).join('\n---\n')).toMatchInlineSnapshot(`
      "// y[h, t, u] sum= a[h, t, k] * b[h, k, u]   over h: 2, t: 16, u: 16, k: 12   where t - u >= 0
      // contraction: form tiled, tileM 16, tileN 16, tileK 4, rows 4, columns 4, 3264 multiply-adds, 5120 bytes
      @group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
      @group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
      @group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;

      var<workgroup> scratch: array<vec4<f32>, 40>;

      fn left_quad(batch: i32, m: i32, k: i32) -> vec4<f32> {
        return a[(batch * 192 + m * 12 + k) >> 2u];
      }

      fn right_quad(batch: i32, n: i32, k: i32) -> vec4<f32> {
        return b[(batch * 192 + n + k * 16) >> 2u];
      }

      struct Finished {
        value_0: f32,
      }

      fn finished(batch: i32, m: i32, n: i32, sum: f32) -> Finished {
        let element = batch * 256 + m * 16 + n;
        var y_value = 0.0;
        if (m >= n) { y_value = sum; }
        return Finished(y_value);
      }

      struct FinishedQuad {
        a: Finished,
        b: Finished,
        c: Finished,
        d: Finished,
      }

      fn finished_quad(batch: i32, m: i32, n: i32, sums: vec4<f32>) -> FinishedQuad {
        return FinishedQuad(finished(batch, m, n, sums.x), finished(batch, m, n + 1, sums.y), finished(batch, m, n + 2, sums.z), finished(batch, m, n + 3, sums.w));
      }

      fn put_quad(batch: i32, m: i32, n: i32, values: FinishedQuad) {
        let element = batch * 256 + m * 16 + n;
        y[element >> 2u] = vec4<f32>(values.a.value_0, values.b.value_0, values.c.value_0, values.d.value_0);
      }

      @compute @workgroup_size(16)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        // scratch: a slab [k / 4][m], then a slab [k][n / 4], rows padded against bank conflicts
        let batch = i32(group);
        let tile_m = 0;
        let tile_n = 0;
        let k_from = 0;
        var k_to = 12;
        if (tile_m + 15 - tile_n < 0) { k_to = k_from; } // the whole tile is outside the domain
        let lane_m = i32(lane / 4);
        let lane_n = i32(lane % 4);
        var sum_0_0 = vec4<f32>();
        var sum_1_0 = vec4<f32>();
        var sum_2_0 = vec4<f32>();
        var sum_3_0 = vec4<f32>();
        let quad_a_0 = i32(lane / 1);
        let k_a_0 = i32(lane % 1);
        var next_0 = vec4<f32>();
        let quad_b_0 = i32(lane % 4);
        let k_b_0 = i32(lane / 4);
        var next_1 = vec4<f32>();
        {
          let k_at = k_from;
          next_0 = left_quad(batch, tile_m + quad_a_0, k_at + k_a_0 * 4);
          next_1 = right_quad(batch, tile_n + quad_b_0 * 4, k_at + k_b_0);
        }
        for (var step = 0; step < 3; step++) {
          let k0 = k_from + step * 4;
          if (k0 >= k_to) { break; }
          scratch[k_a_0 * 20 + quad_a_0] = next_0;
          scratch[k_b_0 * 5 + quad_b_0 + 20] = next_1;
          workgroupBarrier();
          if (k0 + 4 < k_to) {
            let k_at = k0 + 4;
            next_0 = left_quad(batch, tile_m + quad_a_0, k_at + k_a_0 * 4);
            next_1 = right_quad(batch, tile_n + quad_b_0 * 4, k_at + k_b_0);
          }
          for (var k_in = 0; k_in < 1; k_in++) {
            let b_0_0 = scratch[(k_in * 4) * 5 + lane_n + 20];
            let b_0_1 = scratch[(k_in * 4 + 1) * 5 + lane_n + 20];
            let b_0_2 = scratch[(k_in * 4 + 2) * 5 + lane_n + 20];
            let b_0_3 = scratch[(k_in * 4 + 3) * 5 + lane_n + 20];
            let row_0 = scratch[k_in * 20 + lane_m * 4];
            sum_0_0 += row_0.x * b_0_0;
            sum_0_0 += row_0.y * b_0_1;
            sum_0_0 += row_0.z * b_0_2;
            sum_0_0 += row_0.w * b_0_3;
            let row_1 = scratch[k_in * 20 + lane_m * 4 + 1];
            sum_1_0 += row_1.x * b_0_0;
            sum_1_0 += row_1.y * b_0_1;
            sum_1_0 += row_1.z * b_0_2;
            sum_1_0 += row_1.w * b_0_3;
            let row_2 = scratch[k_in * 20 + lane_m * 4 + 2];
            sum_2_0 += row_2.x * b_0_0;
            sum_2_0 += row_2.y * b_0_1;
            sum_2_0 += row_2.z * b_0_2;
            sum_2_0 += row_2.w * b_0_3;
            let row_3 = scratch[k_in * 20 + lane_m * 4 + 3];
            sum_3_0 += row_3.x * b_0_0;
            sum_3_0 += row_3.y * b_0_1;
            sum_3_0 += row_3.z * b_0_2;
            sum_3_0 += row_3.w * b_0_3;
          }
          workgroupBarrier();
        }
        var sums = array<vec4<f32>, 4>(sum_0_0, sum_1_0, sum_2_0, sum_3_0);
        let n = tile_n + lane_n * 4;
        for (var turn = 0; turn < 1; turn++) {
          let f_0_0 = finished_quad(batch, tile_m + (turn * 4 + lane_m) * 4, n, sums[turn * 4]);
          let f_1_0 = finished_quad(batch, tile_m + (turn * 4 + lane_m) * 4 + 1, n, sums[turn * 4 + 1]);
          let f_2_0 = finished_quad(batch, tile_m + (turn * 4 + lane_m) * 4 + 2, n, sums[turn * 4 + 2]);
          let f_3_0 = finished_quad(batch, tile_m + (turn * 4 + lane_m) * 4 + 3, n, sums[turn * 4 + 3]);
          put_quad(batch, tile_m + (turn * 4 + lane_m) * 4, n, f_0_0);
          put_quad(batch, tile_m + (turn * 4 + lane_m) * 4 + 1, n, f_1_0);
          put_quad(batch, tile_m + (turn * 4 + lane_m) * 4 + 2, n, f_2_0);
          put_quad(batch, tile_m + (turn * 4 + lane_m) * 4 + 3, n, f_3_0);
        }
      }
      "
    `);
  });
});

test('names are taken out by the order in which they appear, words of the language and members stay, in letters of any script', () => {
  const names = new Names();
  expect([names.theirs('x'), names.theirs('γ'), names.ours('total')]).toEqual(['x', 'γ', 'total']);
  expect(names.takenOut('let total = x + x.x * m; // x × total')).toBe('let $0 = $1 + $1.x * m; // $1 × $0');
  expect(names.takenOut('let total = γ + γx.γ * γ;')).toBe('let $0 = $1 + γx.γ * $1;');
});

test('literals', () => {
  expect([0, 1, -2, 0.1, 1e-20, 1e21, 1 / 3, 2 ** -126].map(f32Literal)).toEqual([
    '0.0',
    '1.0',
    '-2.0',
    '0.1',
    '1e-20',
    '1e+21',
    '0.33333334',
    '1.1754944e-38',
  ]);
  expect(f32Literal(Number.POSITIVE_INFINITY)).toBe('3.4028234663852886e+38');
  expect(f32Literal(-1e39)).toBe('-3.4028234663852886e+38');
  expect(() => f32Literal(Number.NaN)).toThrow('NaN');
});

test('the template takes common indentation off, indents blocks and drops empty lines', () => {
  const block = 'a;\nb;';
  expect(wgsl`
    fn f() {
      ${block}
      ${''}
      if (c) {
        ${block}
      }
    }
  `).toBe('fn f() {\n  a;\n  b;\n  if (c) {\n    a;\n    b;\n  }\n}');
  expect(indent('a\n\nb')).toBe('  a\n\n  b');
});
