/**
 * The matrix form without a device that has it: what is written passes Dawn's checks, whatever the sizes, axis orders and epilogues; and when it is
 * chosen. That it computes what it should is in tensor-cores.test.ts, its arithmetic in split.test.ts.
 */
import { describe, expect, test } from 'vitest';
import { subtract } from '../../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { constant, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { type ScheduleOptions, schedule } from '../../../../compiler/schedule/schedule.ts';
import { longestSum, matrixCandidates } from '../../../../kernels/families/contraction/matrix-tile-sizes.ts';
import { contractionThreads } from '../../../../kernels/families/contraction/tuning.ts';
import { hasTensorCores, portableTarget, type Target } from '../../../../kernels/target.ts';
import { wgslProblem } from '../../../support/null-device.ts';
import { tensorCoreTarget } from '../../../support/tensor-core-target.ts';

interface Order {
  readonly left: 'mk' | 'km';
  readonly right: 'nk' | 'kn';
}

/** y[b, m, n] = Σ_k x[b, m, k] · w[b, n, k], operands in either order. */
function matmul([b, m, n, k]: readonly [number, number, number, number], order: Order): Program {
  const equation = over({ b, m, n, k }, ({ b, m, n, k }) => ({
    store: [b, m, n],
    value: product([
      order.left === 'mk' ? at('x', b, m, k) : at('x', b, k, m),
      order.right === 'nk' ? at('w', b, n, k) : at('w', b, k, n),
    ]),
  }));
  return program(
    [
      input('x', order.left === 'mk' ? [b, m, k] : [b, k, m]),
      input('w', order.right === 'nk' ? [b, n, k] : [b, k, n]),
      computed('y', [b, m, n], [equation]),
    ],
    ['y'],
  );
}

/** y[h, b, t, n] = Σ_k x[h, b, t, k] · w[b, n, k] where `least` ≤ `most`, as a causal mask leaves it; (h, t) are numbered as a whole. */
function triangular(
  [b, m, n, k]: readonly [number, number, number, number],
  order: Order,
  [least, most]: readonly ['k' | 't', 'k' | 't'],
): Program {
  const equation = over({ b, h: 2, t: m, n, k }, ({ b, h, t, n, k }) => {
    const either = { t, k };
    return {
      store: [h, b, t, n],
      domain: [atLeastZero(subtract(either[most], either[least]))],
      value: product([
        order.left === 'mk' ? at('x', h, b, t, k) : at('x', h, b, k, t),
        order.right === 'nk' ? at('w', b, n, k) : at('w', b, k, n),
      ]),
    };
  });
  return program(
    [
      input('x', order.left === 'mk' ? [2, b, m, k] : [2, b, k, m]),
      input('w', order.right === 'nk' ? [b, n, k] : [b, k, n]),
      computed('y', [2, b, m, n], [equation]),
    ],
    ['y'],
  );
}

const orders: readonly Order[] = [
  { left: 'mk', right: 'nk' },
  { left: 'mk', right: 'kn' },
  { left: 'km', right: 'kn' },
  { left: 'km', right: 'nk' },
];

async function check(p: Program, options: Partial<ScheduleOptions>): Promise<readonly string[]> {
  const plan = schedule(p, { target: tensorCoreTarget, ...options });
  for (const { wgsl } of plan.kernels) expect(await wgslProblem(wgsl)).toBeUndefined();
  return plan.kernels.flatMap(({ tuning }) => (tuning.form === undefined ? [] : [String(tuning.form)]));
}

describe('what is written passes the checks of Dawn', () => {
  const sizes = [
    [1, 256, 128, 64],
    [3, 130, 68, 36],
    [1, 37, 41, 19],
    [1, 128, 128, 4096],
  ] as const;
  const cases = matrixCandidates(tensorCoreTarget).flatMap((tuning) =>
    sizes.flatMap((size) => orders.map((order) => ({ tuning, size, order, name: Object.values(tuning).join('/') }))),
  );
  test.each(cases)('$name: $size, $order', async ({ tuning, size, order }) => {
    const forms = await check(matmul(size, order), { contractAll: true, override: { contraction: tuning } });
    expect(forms).toContain('matrix');
  });
  test.each([
    ['k', 't', [1, 256, 256, 512]],
    ['t', 'k', [2, 260, 132, 516]],
    ['t', 'k', [3, 37, 41, 19]],
  ] as const)('operands of a domain %s <= %s: %j', async (least, most, size) => {
    for (const contraction of matrixCandidates(tensorCoreTarget))
      for (const order of orders)
        expect(
          await check(triangular(size, order, [least, most]), { contractAll: true, override: { contraction } }),
        ).toContain('matrix');
  });
  test('an epilogue that reads, products of different orders and scales into the same sums', async () => {
    const [m, n, k] = [256, 256, 128];
    const product1 = over({ m, n, k }, ({ m, n, k }) => ({
      store: [m, n],
      value: product([at('x', m, k), at('w', n, k)]),
    }));
    const product2 = over({ m, n, k }, ({ m, n, k }) => ({
      store: [m, n],
      value: product([constant(0.7), at('v', k, m), at('u', k, n)]),
    }));
    const rest = over({ m, n }, ({ m, n }) => ({
      store: [m, n],
      value: sum([unary('gelu', at('y', m, n)), product([constant(0.5), at('z', m, n)])]),
    }));
    const p = program(
      [
        input('x', [m, k]),
        input('w', [n, k]),
        input('v', [k, m]),
        input('u', [k, n]),
        input('z', [m, n]),
        computed('y', [m, n], [product1, product2]),
        computed('o', [m, n], [rest]),
      ],
      ['o'],
    );
    const [contraction] = matrixCandidates(tensorCoreTarget);
    expect(await check(p, { override: { contraction } })).toEqual(['matrix']);
  });
});

test('four neighbouring columns are stored and read at once where they are a quad of memory, and one by one elsewhere', async () => {
  const [contraction] = matrixCandidates(tensorCoreTarget);
  const [m, k] = [256, 64];
  for (const [n, isQuad] of [
    [256, true],
    [132, true],
    [129, false],
  ] as const) {
    const y = over({ m, n, k }, ({ m, n, k }) => ({ store: [m, n], value: product([at('x', m, k), at('w', n, k)]) }));
    const o = over({ m, n }, ({ m, n }) => ({ store: [m, n], value: sum([at('y', m, n), at('z', m, n)]) }));
    const inputs = [input('x', [m, k]), input('w', [n, k]), input('z', [m, n])];
    const p = program([...inputs, computed('y', [m, n], [y]), computed('o', [m, n], [o])], ['o']);
    const plan = schedule(p, { target: tensorCoreTarget, contractAll: true, override: { contraction } });
    const [{ wgsl }] = plan.kernels;
    expect(await wgslProblem(wgsl)).toBeUndefined();
    for (const name of ['z', 'o']) expect(wgsl).toContain(`${name}: array<${isQuad ? 'vec4<f32>' : 'f32'}>`);
  }
});

describe('scales come', () => {
  /** Slabs behind the first that are looked into, of each loop that does. */
  const looked = (order: Order, k: number): readonly number[] => {
    const [contraction] = matrixCandidates(tensorCoreTarget);
    const options = { target: tensorCoreTarget, override: { contraction } };
    const { wgsl } = schedule(matmul([4, 2048, 2048, k], order), options).kernels.at(-1)!;
    return [...wgsl.matchAll(/for \(var step = 1; step < (\d+)/g)].map(([, steps]) => Number(steps) - 1);
  };
  test('of a sample of every slab, where a sum along m and n is short', () => {
    expect(looked({ left: 'km', right: 'kn' }, 512)).toEqual([15]);
  });
  test('of the first and the last slab of each stretch, where it is longer', () => {
    expect(looked({ left: 'km', right: 'kn' }, longestSum)).toEqual([]);
    expect(looked({ left: 'km', right: 'kn' }, longestSum + 512)).toEqual([]);
  });
  test.each(orders.filter(({ left, right }) => left === 'mk' || right === 'nk'))('of the first one of %j', (order) => {
    expect(looked(order, 512)).toEqual([]);
  });
});

describe('the choice', () => {
  const large = matmul([1, 4096, 1024, 512], orders[0]);
  const formsOn = (p: Program, target: Target): readonly string[] =>
    schedule(p, { target }).kernels.flatMap(({ family, tuning }) =>
      family === 'contraction' ? [`${tuning.form}`] : [],
    );

  test('tensor cores for large products of what comes in quads, whichever the order', () => {
    for (const order of orders)
      expect(formsOn(matmul([1, 4096, 1024, 512], order), tensorCoreTarget)).toEqual(['matrix']);
  });
  test('and for small ones, where their sums are long enough to make up for what begins and ends them', () => {
    const formOf = (size: readonly [number, number, number, number], order = orders[0]) =>
      formsOn(matmul(size, order), tensorCoreTarget);
    expect(formOf([1, 4096, 256, 256])).toEqual(['matrix']);
    expect(formOf([1, 2048, 384, 384])).toEqual(['matrix']);
    expect(formOf([1, 16384, 1024, 32])).toEqual(['tiled']);
    expect(formOf([512, 256, 256, 32])).toEqual(['tiled']);
    expect(formOf([1, 1024, 64, 256])).toEqual(['tiled']);
  });
  test('operands that lie along k sooner than those that do not, which the tiled form need not turn over', () => {
    const isMatrix = (k: number, order: Order): boolean =>
      formsOn(matmul([1, 16384, 256, k], order), tensorCoreTarget).includes('matrix');
    const least = (order: Order): number => [32, 64, 96, 128, 160, 192, 256, 512].find((k) => isMatrix(k, order))!;
    const [along, , across] = orders;
    expect(least(along)).toBeLessThan(least(across));
  });
  test('long sums are made by one kernel, in pieces only where there are few of them', () => {
    const many = schedule(matmul([1, 8192, 512, 4096], orders[0]), { target: tensorCoreTarget, halves: 'never' });
    expect(many.kernels.map(({ tuning }) => tuning.form)).toEqual(['matrix']);
    expect(many.kernels[0].wgsl).toContain('if (since > 0) {');
    const few = schedule(matmul([1, 512, 512, 8192], orders[0]), { target: tensorCoreTarget });
    expect(few.kernels[0].tuning.form).toBe('matrix');
    expect(few.kernels).toHaveLength(2);
  });
  test('the gradient of a weight of few tiles is made in pieces as long as tensor cores may add', () => {
    const across = orders[2];
    const plan = schedule(matmul([1, 256, 256, 4 * longestSum], across), { target: tensorCoreTarget });
    expect(plan.kernels[0].tuning).toMatchObject({ form: 'matrix', tileM: 128, tileN: 128 });
    expect(plan.tensors['y~pieces'].shape).toEqual([4, 1, 256, 256]);
    expect(formsOn(matmul([1, 192, 192, 4 * longestSum], across), tensorCoreTarget)).not.toContain('matrix');
    expect(formsOn(matmul([1, 256, 256, longestSum], across), tensorCoreTarget)).not.toContain('matrix');
  });
  test('and on f32 units in tiles that share no sum among threads, as a product has that is alone', () => {
    const tuningOf = (order: Order) =>
      schedule(matmul([16, 256, 64, 256], order), { target: tensorCoreTarget }).kernels[0].tuning;
    expect(tuningOf(orders[2])).toMatchObject({ form: 'tiled', tileM: 64, tileN: 64 });
    expect(tuningOf(orders[2])).not.toHaveProperty('slices');
    expect(tuningOf(orders[0])).toMatchObject({ form: 'tiled', slices: 2 });
  });
  test('operands of a domain too, their zeros put in as they are staged', () => {
    expect(formsOn(triangular([4, 512, 512, 512], orders[0], ['k', 't']), tensorCoreTarget)).toEqual(['matrix']);
  });
  test('small products, and operands that are expressions, stay with the tiled form', () => {
    expect(formsOn(matmul([1, 32, 32, 64], orders[0]), tensorCoreTarget)).not.toContain('matrix');
    const [m, n, k] = [4096, 1024, 512];
    const equation = over({ m, n, k }, ({ m, n, k }) => ({
      store: [m, n],
      value: product([unary('exp', at('x', m, k)), at('w', n, k)]),
    }));
    const p = program([input('x', [m, k]), input('w', [n, k]), computed('y', [m, n], [equation])], ['y']);
    expect(formsOn(p, tensorCoreTarget)).toEqual(['tiled']);
  });
  test.each(['x', 'w'])('so does a product whose %s has rows that begin between quads', (odd) => {
    const [m, n, k] = [4096, 1024, 512];
    const rowsOf = (name: string): number => (name === odd ? k + 1 : k);
    const equation = over({ m, n, k }, ({ m, n, k }) => ({
      store: [m, n],
      value: product([at('x', m, k), at('w', n, k)]),
    }));
    const operands = [input('x', [m, rowsOf('x')]), input('w', [n, rowsOf('w')])];
    expect(formsOn(program([...operands, computed('y', [m, n], [equation])], ['y']), tensorCoreTarget)).toEqual([
      'tiled',
    ]);
  });
  test('a target that lacks anything of it never gets one', () => {
    const { subgroupMatrices: _, ...noMatrices } = tensorCoreTarget;
    const lacking: readonly Target[] = [
      portableTarget,
      noMatrices,
      { ...tensorCoreTarget, class: 'cpu' },
      { ...tensorCoreTarget, features: ['subgroups', 'shader-f16'] },
      { ...tensorCoreTarget, subgroupSize: { min: 16, max: 32 } },
      { ...tensorCoreTarget, subgroupMatrices: [{ component: 'f16', result: 'f16', m: 16, n: 16, k: 16 }] },
      { ...tensorCoreTarget, limits: portableTarget.limits },
    ];
    for (const target of lacking) {
      expect(formsOn(large, target)).not.toContain('matrix');
      expect(matrixCandidates(target)).toEqual([]);
    }
    expect(hasTensorCores(tensorCoreTarget)).toBe(true);
  });
  test('tiles: whole subgroups of whole matrices, threads side by side in n', () => {
    for (const tuning of matrixCandidates(tensorCoreTarget)) {
      const { tileM, tileN, tileK, rows, columns } = tuning;
      expect([rows % 16, columns % 16, tileM % rows, tileN % columns, tileK % 16]).toEqual([0, 0, 0, 0, 0]);
      const threads = contractionThreads(tuning);
      expect([threads % tileN, longestSum % tileK]).toEqual([0, 0]);
      // Blocks that subgroups stage: as many each, or one where there are fewer.
      for (const blocks of [tileM / 16, tileN / 16])
        expect(blocks < threads / 32 || blocks % (threads / 32) === 0).toBe(true);
    }
  });
});
