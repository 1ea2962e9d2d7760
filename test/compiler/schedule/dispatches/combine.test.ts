/** Which kernels share a dispatch, and that nothing in it waits for anything else in it. */
import { describe, expect, test } from 'vitest';
import { at, computed, input, over, param, program } from '../../../../compiler/ir/build.ts';
import { product, sum, unary } from '../../../../compiler/ir/expression.ts';
import type { Program, Tensor } from '../../../../compiler/ir/program.ts';
import type { Plan } from '../../../../compiler/schedule/plan.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { portableTarget, type Target } from '../../../../kernels/target.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { compare } from '../../../support/run-on-device.ts';
import { tensorCoreTarget } from '../../../support/tensor-core-target.ts';

const opened = await testDevice();
const gpu: Target = { ...opened.target, class: 'gpu' };
/** Small kernels that wait for one another are mostly stages of one (residents.test.ts): here each is by itself. */
const residents = 'never';

const makes = (plan: Plan): string[] => plan.kernels.map((kernel) => kernel.makes.join(' '));

/** y[t, i] = Σ_j x[t, j] w[i, j] */
const projection = (y: string, x: string, w: string, n = 32): Tensor =>
  computed(
    y,
    [n, n],
    [over({ t: n, i: n, j: n }, ({ t, i, j }) => ({ store: [t, i], value: product([at(x, t, j), at(w, i, j)]) }))],
  );

const flipped = (y: string, x: string, n = 32): Tensor =>
  computed(y, [n, n], [over({ t: n, i: n }, ({ t, i }) => ({ store: [i, t], value: unary('sin', at(x, t, i)) }))]);

const mean = (y: string, x: string, n = 32): Tensor =>
  computed(y, [n], [over({ t: n, i: n }, ({ t, i }) => ({ store: [t], value: at(x, t, i) }))]);

const names = ['q', 'k', 'v'];
const layers = program(
  [
    input('x', [32, 32]),
    ...names.map((name) => param(`W${name}`, [32, 32])),
    ...names.map((name) => projection(name, 'x', `W${name}`)),
    flipped('k turned', 'k'),
    projection('S', 'q', 'k turned'),
    projection('y', 'S', 'v'),
    ...names.map((name) => mean(`m${name}`, `W${name}`)),
  ],
  ['y', ...names.map((name) => `m${name}`)],
);

async function hold(p: Program, target: Target): Promise<Plan> {
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), { target, residents });
  expect(worst, worstOutput).toBeLessThan(1e-5);
  return plan;
}

describe('one dispatch', () => {
  test('holds what waits for the same things, of any family', async () => {
    const plan = await hold(layers, gpu);
    expect(makes(plan)).toEqual(['k q v mq mk mv', 'k turned', 'S', 'y']);
    expect(plan.kernels[0].family).toBe('contraction + row');
    expect(plan.kernels[0].multiplyAdds).toBe(3 * 32 ** 3);
  });

  test('has one workgroup for tiles of different sizes: the smaller ones side by side', async () => {
    const of = (y: string, x: string, w: string, [n, t, i, j]: readonly [number, number, number, number]): Tensor =>
      computed(
        y,
        [n, t, i],
        [
          over({ n, t, i, j }, ({ n, t, i, j }) => ({
            store: [n, t, i],
            value: product([at(x, n, t, j), at(w, i, j)]),
          })),
        ],
      );
    const wide = program(
      [
        input('x', [529, 64, 16]),
        input('z', [132, 32, 16]),
        param('W', [64, 16]),
        param('V', [32, 16]),
        of('large', 'x', 'W', [529, 64, 64, 16]),
        of('small', 'z', 'V', [132, 32, 32, 16]),
      ],
      ['large', 'small'],
    );
    const plan = await hold(wide, gpu);
    expect(makes(plan)).toEqual(['large small']);
    expect(plan.kernels[0].wgsl).toContain('let group = pack * 2u + index % 128u / 64u;');
    expect(plan.kernels[0].wgsl).toContain('let scratch_from = i32(index % 128u / 64u) * 288;');
  });

  test('is what each kernel has where nothing is to be combined, as on a software device', () => {
    expect(schedule(layers, { target: gpu, residents, combine: false }).kernels.length).toBe(9);
    expect(schedule(layers, { target: { ...gpu, class: 'cpu' } }).kernels.length).toBe(9);
  });

  test('has one binding for what it reads of one buffer, where there are not enough', async () => {
    const few = { ...gpu, limits: { ...gpu.limits, maxStorageBuffersPerShaderStage: 4 } };
    const tensors = [...names.flatMap((name) => [flipped(`a${name}`, 'X'), flipped(`b${name}`, `a${name}`)])];
    const p = program(
      [input('X', [32, 32]), ...tensors, ...names.map((n) => mean(`m${n}`, `b${n}`))],
      ['mq', 'mk', 'mv'],
    );
    const plan = await hold(p, few);
    expect(plan.kernels.every(({ bindings }) => bindings.length <= 4)).toBe(true);
    const placesIn = (tensors: readonly string[]): number =>
      new Set(tensors.map((n) => plan.tensors[n].offsetBytes)).size;
    expect(plan.kernels.flatMap(({ bindings }) => bindings).some(({ tensors }) => placesIn(tensors) > 1)).toBe(true);
  });

  test('ends where the device has no buffers left', async () => {
    const few = { ...gpu, limits: { ...gpu.limits, maxStorageBuffersPerShaderStage: 4 } };
    const plan = await hold(layers, few);
    expect(plan.kernels.every(({ bindings }) => bindings.length <= 4)).toBe(true);
    expect(plan.kernels[0].makes.length).toBeLessThan(6);
  });

  test('does not put a large map beside a contraction, whose threads are few', () => {
    const n = 4096;
    const beside = (size: number): Program =>
      program(
        [
          input('x', [32, 32]),
          input('big', [size, size]),
          projection('y', 'x', 'x'),
          flipped('z', 'big', size),
          projection('w', 'y', 'x'),
        ],
        ['z', 'w'],
      );
    expect(makes(schedule(beside(32), { target: gpu, residents }))).toEqual(['y z', 'w']);
    expect(makes(schedule(beside(n), { target: gpu, residents }))).toEqual(['y', 'w', 'z']);
  });
});

describe('small products that lie interleaved', () => {
  /** y[t, i, b] = Σ_j x[t, j, b] · w[i, j, b], b along memory: one product a thread, and none in workgroup memory. */
  const interleaved = (y: string, t: number): Tensor =>
    computed(
      y,
      [t, 8, 64],
      [
        over({ t, i: 8, j: 8, b: 64 }, ({ t, i, j, b }) => ({
          store: [t, i, b],
          value: product([at('X', t, j, b), at('W', i, j, b)]),
        })),
      ],
    );
  const beside = (t: number): Program =>
    program(
      [
        input('x', [32, 32]),
        input('X', [t, 8, 64]),
        input('W', [8, 8, 64]),
        interleaved('y', t),
        projection('z', 'x', 'x'),
      ],
      ['y', 'z'],
    );
  test('have a dispatch of their own, apart from slabs, where much comes out of memory', () => {
    expect(makes(schedule(beside(64), { target: gpu, residents }))).toEqual(['y z']);
    expect(makes(schedule(beside(16384), { target: gpu, residents }))).toEqual(['y', 'z']);
  });
});

describe('a code that would be too long, or too greedy', () => {
  test('a dispatch holds sixteen kernels at most', () => {
    const many = Array.from({ length: 20 }, (_, i) => i);
    const p = program(
      [...many.map((i) => param(`W${i}`, [32, 32])), ...many.map((i) => mean(`m${i}`, `W${i}`))],
      many.map((i) => `m${i}`),
    );
    const target = { ...gpu, limits: { ...gpu.limits, maxStorageBuffersPerShaderStage: 64 } };
    expect(schedule(p, { target, residents }).kernels.map(({ makes }) => makes.length)).toEqual([16, 4]);
  });

  test('a large product on f32 units shares no dispatch with one whose slabs fill a multiprocessor', () => {
    /** y[b, t, i] = Σ_j x[b, t, j] w[b, i, j] */
    const batched = (y: string, b: number, m: number, n: number, k: number): Tensor[] => [
      input(`${y}x`, [b, m, k]),
      param(`${y}w`, [b, n, k]),
      computed(
        y,
        [b, m, n],
        [
          over({ b, t: m, i: n, j: k }, ({ b, t, i, j }) => ({
            store: [b, t, i],
            value: product([at(`${y}x`, b, t, j), at(`${y}w`, b, i, j)]),
          })),
        ],
      ),
    ];
    const wide = batched('wide', 1, 2048, 2048, 512);
    const dispatches = (narrow: Tensor[]): number =>
      schedule(program([...wide, ...narrow], ['wide', 'narrow']), { target: tensorCoreTarget, residents }).kernels
        .length;
    expect(dispatches(batched('narrow', 64, 256, 16, 256))).toBe(1);
    expect(dispatches(batched('narrow', 1024, 256, 16, 256))).toBe(2);
  });

  test('on tensor cores a large product shares its dispatch with a small one: what that costs is less than a dispatch', () => {
    const sized = (name: string, n: number) => [
      input(`x ${name}`, [n, n]),
      projection(name, `x ${name}`, `x ${name}`, n),
    ];
    const p = program([...sized('large', 1024), ...sized('small', 64)], ['large', 'small']);
    const [kernel, ...more] = schedule(p, { target: tensorCoreTarget, residents }).kernels;
    expect(more).toEqual([]);
    expect(kernel.wgsl).toMatch(/\/\/ contraction: form matrix/);
    expect(kernel.wgsl).toMatch(/\/\/ contraction: form (?!matrix)/);
  });
});

describe('order', () => {
  test('a state is written over only after all its readers', async () => {
    const next = computed(
      'next',
      [32, 32],
      [over({ t: 32, i: 32 }, ({ t, i }) => ({ store: [t, i], value: sum([at('state', t, i), at('x', t, i)]) }))],
    );
    const p: Program = {
      ...program([input('x', [32, 32]), param('state', [32, 32]), mean('y', 'state'), next], ['y']),
      updates: [{ state: 'state', next: 'next' }],
    };
    const plan = schedule(p, { target: gpu, residents });
    expect(makes(plan)).toEqual(['y', 'next']);
    expect(plan.tensors.next.buffer).toBe('state');
  });

  test('layers that combine in one way share pipelines', () => {
    const layer = (l: number): Tensor[] => [
      ...names.map((name) => projection(`${l}.${name}`, `x${l}`, `W${name}`)),
      flipped(`${l}.t`, `${l}.k`),
      projection(`${l}.S`, `${l}.q`, `${l}.t`),
      projection(`x${l + 1}`, `${l}.S`, `${l}.v`),
    ];
    const p = program(
      [input('x0', [32, 32]), ...names.map((name) => param(`W${name}`, [32, 32])), ...[0, 1, 2, 3].flatMap(layer)],
      ['x4'],
    );
    const { kernels } = schedule(p, { target: { ...portableTarget, class: 'gpu' }, residents });
    expect(kernels.length).toBe(16);
    // The last of a layer writes an output instead of the workspace.
    expect(new Set(kernels.map((kernel) => kernel.key)).size).toBeLessThanOrEqual(6);
  });

  test('also where a dispatch touches more than a device binds, and what lies in memory grows with each layer', async () => {
    const parts = ['a', 'b', 'c', 'd'];
    const read = (y: string, names: readonly string[]): Tensor =>
      computed(
        y,
        [32, 32],
        [over({ t: 32, i: 32 }, ({ t, i }) => ({ store: [i, t], value: sum(names.map((name) => at(name, t, i))) }))],
      );
    const forward = (l: number): Tensor[] => [
      ...parts.map((name) => projection(`${l}.${name}`, `x${l}`, `W${name}`)),
      ...parts.map((name) => mean(`${l}.m${name}`, `${l}.${name}`)),
      read(`x${l + 1}`, [`${l}.a`, `${l}.b`]),
    ];
    const backward = (l: number): Tensor[] => [
      ...parts.map((name) => read(`${l}.d${name}`, [`d${l + 1}`, `${l}.${name}`])),
      ...parts.map((name) => withMean(`${l}.e${name}`, `${l}.d${name}`, `${l}.m${name}`)),
      read(
        `d${l}`,
        parts.map((name) => `${l}.e${name}`),
      ),
    ];
    const withMean = (y: string, x: string, m: string): Tensor =>
      computed(
        y,
        [32, 32],
        [over({ t: 32, i: 32 }, ({ t, i }) => ({ store: [i, t], value: product([at(x, t, i), at(m, i)]) }))],
      );
    const depth = 5;
    const p = program(
      [
        input('x0', [32, 32]),
        ...parts.map((name) => param(`W${name}`, [32, 32])),
        ...Array.from({ length: depth }, (_, l) => forward(l)).flat(),
        read(`d${depth}`, [`x${depth}`, `x${depth}`]),
        ...Array.from({ length: depth }, (_, l) => backward(depth - 1 - l)).flat(),
      ],
      ['d0'],
    );
    const eight = { ...gpu, limits: { ...gpu.limits, maxStorageBuffersPerShaderStage: 8 } };
    const { kernels } = await hold(p, eight);
    expect(kernels.length).toBe(31);
    expect(new Set(kernels.map((kernel) => kernel.key)).size).toBeLessThanOrEqual(8);
  });
});
