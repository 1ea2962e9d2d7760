/**
 * The matrix form on devices without tensor cores: the WGSL with its matrices written as numbers, so that what it computes can be held against
 * the interpreter anywhere. A lane has 8 neighbouring elements of each matrix of sums, and its row of left operands; right ones stay
 * in workgroup memory and are read where they are multiplied, but for those of sums across, which are kept. What tensor cores cut off when they add is not imitated (split.test.ts does).
 *
 * The traps: SwiftShader compiles every element of a copy by itself, so matrices are passed by pointers. And it follows every path through
 * the body of a loop, 2^n where n branches are one after the other, so those around reads are selections here.
 */
import type { Plan } from '../../compiler/schedule/plan.ts';
import type { Target } from '../../kernels/target.ts';

/** The target with matrices, if only in what the scheduler is told. */
export function withMatrices(target: Target): Target {
  return {
    ...target,
    class: 'gpu',
    features: [...target.features, 'chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups'],
    subgroupSize: { min: 32, max: 32 },
    subgroupMatrices: [{ component: 'f16', result: 'f32', m: 16, n: 16, k: 16 }],
  };
}

export function emulateMatrices(plan: Plan): Plan {
  return { ...plan, kernels: plan.kernels.map((kernel) => ({ ...kernel, wgsl: emulated(kernel.wgsl) })) };
}

const shuffles = `
var<private> own_lane: u32;
// Never written: hides bounds of loops, which Mesa unrolls.
var<workgroup> own_zero: u32;
var<workgroup> own_bits: array<u32, 1024>;
var<workgroup> own_quads: array<vec4<f32>, 256>;

fn subgroup_max(bits: u32) -> u32 {
  own_bits[own_lane] = bits;
  workgroupBarrier();
  var most = 0u;
  for (var i = own_zero; i < 32u; i++) { most = max(most, own_bits[own_lane / 32u * 32u + i]); }
  workgroupBarrier();
  return most;
}

fn subgroup_shuffle(value: f32, from_lane: u32) -> f32 {
  own_bits[own_lane] = bitcast<u32>(value);
  workgroupBarrier();
  let other = bitcast<f32>(own_bits[own_lane / 32u * 32u + from_lane]);
  workgroupBarrier();
  return other;
}

fn subgroup_shuffle_xor(value: f32, mask: u32) -> f32 {
  own_bits[own_lane] = bitcast<u32>(value);
  workgroupBarrier();
  let other = bitcast<f32>(own_bits[own_lane ^ mask]);
  workgroupBarrier();
  return other;
}

fn subgroup_shuffle_xor_quad(value: vec4<f32>, mask: u32) -> vec4<f32> {
  own_quads[own_lane] = value;
  workgroupBarrier();
  let other = own_quads[own_lane ^ mask];
  workgroupBarrier();
  return other;
}
`;

const matrices = `
alias Sums = array<f32, 8>;
struct Operand { at: u32, stride: u32, row_major: bool }
struct Left { row: array<f32, 16> }

fn element(m: Operand, row: u32, column: u32) -> f32 {
  let at = m.at * 8u + select(column * m.stride * 8u + row, row * m.stride * 8u + column, m.row_major);
  return unpack2x16float(bitcast<u32>(scratch[at / 8u][at % 8u / 2u]))[at % 2u];
}

fn left(m: Operand) -> Left {
  var result = Left();
  for (var k = own_zero; k < 16u; k++) { result.row[k] = element(m, own_lane % 32u / 2u, k); }
  return result;
}

// Own copies of right operands, four of each of two subgroups.
var<workgroup> kept: array<f32, 2048>;

fn keep(number: u32, m: Operand) -> u32 {
  let start = (own_lane / 32u * 4u + number) * 256u;
  for (var i = own_zero; i < 8u; i++) {
    let at = own_lane % 32u * 8u + i;
    kept[start + at] = element(m, at / 16u, at % 16u);
  }
  workgroupBarrier();
  return start;
}

fn multiply_kept(left: ptr<function, Left>, start: u32, sums: ptr<function, Sums>) {
  let column = own_lane % 2u * 8u;
  for (var k = own_zero; k < 16u; k++) {
    let x = (*left).row[k];
    for (var i = own_zero; i < 8u; i++) { (*sums)[i] += x * kept[start + k * 16u + column + i]; }
  }
}

fn scale(sums: ptr<function, Sums>, factor: f32) {
  for (var i = own_zero; i < 8u; i++) { (*sums)[i] *= factor; }
}

fn multiply(left: ptr<function, Left>, right: Operand, sums: ptr<function, Sums>) {
  let column = own_lane % 2u * 8u;
  for (var k = own_zero; k < 16u; k++) {
    let x = (*left).row[k];
    for (var i = own_zero; i < 8u; i++) { (*sums)[i] += x * element(right, k, column + i); }
  }
}

fn store(at: u32, sums: ptr<function, Sums>, stride: u32) {
  let place = at + own_lane % 32u / 2u * stride + own_lane % 2u * 2u;
  scratch[place] = vec4<f32>((*sums)[0], (*sums)[1], (*sums)[2], (*sums)[3]);
  scratch[place + 1u] = vec4<f32>((*sums)[4], (*sums)[5], (*sums)[6], (*sums)[7]);
}
`;

function emulated(code: string): string {
  if (!code.includes('subgroup_matrix_result') && !code.includes('subgroupShuffleXor(')) return code;
  let keptCount = 0;
  let turnsCount = 0;
  const written = code
    .replace(/^enable (chromium_experimental_subgroup_matrix|subgroups|f16);\n/gm, '')
    .replaceAll('@diagnostic(off, chromium.subgroup_matrix_uniformity) ', '')
    .replaceAll('subgroup_matrix_result<f32, 16, 16>', 'Sums')
    .replace(
      /subgroupMatrixLoad<subgroup_matrix_(left|right)<f16, 16, 16>, (row|col)_major>\(&scratch, (.*), (\d+)\);/g,
      (_, side, order, at, stride) => {
        const operand = `Operand(${at}, ${stride}u, ${order === 'row'})`;
        return side === 'left' ? `left(${operand});` : `${operand};`;
      },
    )
    .replace(/if \((.*)\) \{ (\w+) = (.*); \} else \{ \2 = vec4<f32>\(\); \}/g, '$2 = select(vec4<f32>(), $3, $1);')
    .replace(/\blet (\w+) = left\(/g, 'var $1 = left(')
    .replace(/subgroupMatrixStore<row_major>\(&scratch, (.*), (\w+), (\w+)\);/g, 'store($1, &$2, $3);')
    .replace(/\blet (across_\w+) = (Operand\(.*\));/g, (_, name, at) => `let ${name} = keep(${keptCount++}u, ${at});`)
    .replace(/(\w+) = subgroupMatrixMultiplyAccumulate\((\w+), (across_\w+), \1\);/g, 'multiply_kept(&$2, $3, &$1);')
    .replace(/(\w+) = subgroupMatrixMultiplyAccumulate\((\w+), (\w+), \1\);/g, 'multiply(&$2, $3, &$1);')
    .replace(/(\w+) = subgroupMatrixScalarMultiply\(\1, (.*)\);/g, 'scale(&$1, $2);')
    .replace(/for \(var turn = 0; turn < (\d+);/g, (_, count) => {
      const turns = `turns_${turnsCount++}`;
      return `let ${turns} = ${count} + i32(workgroupUniformLoad(&own_zero));\nfor (var turn = 0; turn < ${turns};`;
    })
    .replaceAll('subgroupMax(', 'subgroup_max(')
    .replaceAll('let other = subgroupShuffleXor(', 'let other = subgroup_shuffle_xor_quad(')
    .replaceAll('subgroupShuffleXor(', 'subgroup_shuffle_xor(')
    .replaceAll('subgroupShuffle(', 'subgroup_shuffle(')
    .replace(/(fn main\([^{]*\blane: u32\) \{)/, '$1\n  own_lane = lane;');
  return [written, shuffles, ...(code.includes('subgroup_matrix_result') ? [matrices] : [])].join('\n');
}
