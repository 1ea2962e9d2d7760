/** Bodies side by side in one dispatch: their text, and the key under which dispatches share a pipeline. */
import { describe, expect, test } from 'vitest';
import { at, over } from '../../compiler/ir/build.ts';
import { product, unary } from '../../compiler/ir/expression.ts';
import { type EmitOptions, emitDispatch } from '../../kernels/emit.ts';
import type { ContractionKernel, Kernel, LoopKernel, RowKernel } from '../../kernels/kernel.ts';
import { portableTarget } from '../../kernels/target.ts';

const shapes: Readonly<Record<string, readonly number[]>> = { x: [4, 8], W: [8, 8], y: [4, 8], m: [4], z: [4, 8] };

const options: EmitOptions = {
  target: portableTarget,
  layouts: (tensor) => ({ shape: shapes[tensor.split(' ')[0]], dtype: 'f32', slot: tensor, start: 0 }),
  readWrite: () => false,
};

const contraction = (W: string, y: string, tileN = 8): ContractionKernel => ({
  family: 'contraction',
  tensor: y,
  equation: over({ t: 4, i: 8, k: 8 }, ({ t, i, k }) => ({
    store: [t, i],
    value: product([at('x', t, k), at(W, k, i)]),
  })),
  products: [],
  addends: [],
  accumulate: false,
  stored: true,
  epilogue: [],
  choice: { key: '', tuning: { form: 'tiled', tileM: 4, tileN, tileK: 4, rows: 4, columns: 4 } },
});

const row: RowKernel = {
  family: 'row',
  rows: [4],
  choice: { key: '', tuning: { lanes: 2, workgroupSize: 2, shuffle: false } },
  statements: [
    {
      kind: 'reduce',
      tensor: 'm',
      equation: over({ t: 4, k: 8 }, ({ t, k }) => ({ store: [t], reducer: 'max', value: at('x', t, k) })),
      rowAxes: [0],
      stored: true,
    },
  ],
};

const loop = (z: string): LoopKernel => ({
  family: 'loop',
  shape: [4, 8],
  statements: [
    {
      tensor: z,
      equations: [over({ t: 4, k: 8 }, ({ t, k }) => ({ store: [t, k], value: unary('negate', at('x', t, k)) }))],
      stored: true,
    },
  ],
});

const wgslOf = (...kernels: Kernel[]): string => emitDispatch(kernels, options).wgsl;
const keyOf = (...kernels: Kernel[]): string => emitDispatch(kernels, options).key;

describe('several bodies', () => {
  test('two sums and a row share workgroup memory, and each has functions of its own', () => {
    const text = wgslOf(contraction('W', 'y'), row, contraction('W 2', 'y 2'));
    expect(text.match(/var<workgroup>.*/g)).toEqual(['var<workgroup> scratch: array<vec4<f32>, 20>;']);
    const functions = [...text.matchAll(/^fn (\w+)/gm)].map(([, name]) => name);
    expect(new Set(functions).size).toBe(functions.length);
    expect(functions).toContain('finished_2');
    expect(text.slice(text.indexOf('@compute'))).toMatchInlineSnapshot(`
      "@compute @workgroup_size(2)
      fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        let group = group_id.x;
        if (group < 1u) {
          part(group, lane);
        } else if (group < 2u) {
          part_3(group - 1u, lane);
        } else {
          part_2(group - 2u, lane);
        }
      }
      "
    `);
  });

  test('a part with workgroup memory takes its lane as a remainder, so that its accesses need no guard', () => {
    const text = wgslOf(contraction('W', 'y'), row);
    expect(text).toMatch(/fn part\(group: u32, index: u32\) \{\n {2}let lane = index % 2u;/);
    const sideBySide = wgslOf(contraction('W', 'y', 8), contraction('W 2', 'y 2', 4));
    expect(sideBySide).toMatch(
      /fn part_2\(pack: u32, index: u32\) \{\n {2}let group = pack \* 2u \+ index % 2u \/ 1u;\n {2}let lane = index % 1u;\n {2}let scratch_from = i32\(index % 2u \/ 1u\) \* \d+;/,
    );
  });

  test('the header says what each computes', () => {
    expect(wgslOf(row, contraction('W', 'y')).split('@group')[0]).toMatchInlineSnapshot(`
      "// m[t] max= x[t, k]   over t: 4, k: 8
      // row: lanes 2, workgroupSize 2
      // y[t, i] sum= x[t, k] * W[k, i]   over t: 4, i: 8, k: 8
      // contraction: form tiled, tileM 4, tileN 8, tileK 4, rows 4, columns 4, 256 multiply-adds
      // 2 kernels in one dispatch, 528 bytes
      "
    `);
  });

  test('take the workgroup of the one that has no choice; two that have none must agree', () => {
    expect(emitDispatch([loop('z')], options).workgroups).toEqual([1, 1, 1]);
    expect(wgslOf(loop('z'), contraction('W', 'y', 16))).toContain('@workgroup_size(4)');
    expect(() => wgslOf(contraction('W', 'y'), contraction('W', 'y 2', 16))).toThrow('no workgroup suits');
  });

  test('large workgroups where there would be many small ones', () => {
    const workgroupsOf = (t: number): readonly number[] => {
      const equation = over({ t, k: 64 }, ({ t, k }) => ({ store: [t, k], value: at('x', k) }));
      const kernel: LoopKernel = {
        family: 'loop',
        shape: [t, 64],
        statements: [{ tensor: 'v', equations: [equation], stored: true }],
      };
      const layouts = (tensor: string) => ({ ...options.layouts(tensor), shape: tensor === 'v' ? [t, 64] : [64] });
      return emitDispatch([kernel], { ...options, layouts }).workgroups;
    };
    expect(workgroupsOf(2048)).toEqual([2048, 1, 1]);
    expect(workgroupsOf(4096)).toEqual([1024, 1, 1]);
  });
});

describe('keys', () => {
  test('are the same where only names differ', () => {
    expect(keyOf(contraction('W', 'y'))).toBe(keyOf(contraction('W 2', 'y 2')));
    expect(keyOf(loop('z'), loop('z 2'))).toBe(keyOf(loop('z 3'), loop('z 4')));
  });

  test('differ where bodies read one buffer and where they read two', () => {
    const shared = keyOf(contraction('W', 'y'), contraction('W', 'y 2'));
    expect(keyOf(contraction('W', 'y'), contraction('W 2', 'y 2'))).not.toBe(shared);
    expect(keyOf(loop('z'))).not.toBe(keyOf(loop('z'), loop('z 2')));
  });
});
