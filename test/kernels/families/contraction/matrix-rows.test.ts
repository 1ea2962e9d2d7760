/** Epilogues that reduce rows in the matrix form, its matrices written as numbers (emulated-matrices.ts), against the float64 interpreter. */
import { describe, expect, test } from 'vitest';
import { add, scale, subtract } from '../../../../compiler/ir/affine.ts';
import { at, computed, input, over, program } from '../../../../compiler/ir/build.ts';
import { binary, constant, negate, product, sum, unary } from '../../../../compiler/ir/expression.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../../compiler/ir/ndarray.ts';
import type { Affine, Program } from '../../../../compiler/ir/program.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import type { ContractionTuning } from '../../../../kernels/families/contraction/tuning.ts';
import { createExecutor } from '../../../../runtime/executor.ts';
import { testDevice } from '../../../support/device.ts';
import { emulateMatrices, withMatrices } from '../../../support/emulated-matrices.ts';
import { feed } from '../../../support/feed.ts';
import { normed } from '../../../support/normed.ts';
import { relativeError } from '../../../support/relative-error.ts';

const opened = await testDevice();
const target = withMatrices(opened.target);

const tuning = (
  tileM: number,
  tileN: number,
  tileK: number,
  [rows, columns]: readonly [number, number],
): ContractionTuning => ({ form: 'matrix', tileM, tileN, tileK, rows, columns });

/** The largest error of an output, relative to the largest element; what the one dispatch makes, and which buffers hold quads. */
async function run(p: Program, contraction: ContractionTuning) {
  const options = { target, contractAll: true, combine: false, override: { contraction } };
  const { pieces } = schedule(p, options).choices;
  const whole = Object.fromEntries(Object.keys(pieces).map((key) => [key, 1]));
  const plan = schedule(p, { ...options, choices: { pieces: whole } });
  expect(plan.kernels[0].tuning.form).toBe('matrix');
  const executor = await createExecutor(opened, emulateMatrices(plan));
  try {
    const inputs = new Map([...feed(p)].map(([name, v]) => [name, ndarray(v.shape, Float32Array.from(v.data))]));
    for (const [name, { data }] of inputs) executor.upload(name, Float32Array.from(data));
    executor.run();
    const read = await executor.download(...p.outputs);
    const want = interpret(p, inputs, p.outputs);
    const errors = p.outputs.map((name) => relativeError(read.get(name)!, want.get(name)!.data));
    const quads = [...plan.kernels[0].wgsl.matchAll(/> (\w+): array<vec4<f32>>/g)].map(([, name]) => name);
    return { error: Math.max(...errors), makes: plan.kernels.map(({ makes }) => makes.join(' ')), quads };
  } finally {
    executor.destroy();
  }
}

describe('a norm behind its product', () => {
  test.each([
    ['ragged, heads of 16', [37, 5, 16, 36], tuning(32, 64, 16, [32, 32]), true],
    ['heads of 64, two in a tile, fewer blocks than subgroups', [33, 3, 64, 20], tuning(16, 128, 16, [16, 16]), true],
    ['sums longer than tensor cores make them', [20, 2, 32, 1100], tuning(32, 64, 16, [32, 32]), true],
    ['one row narrower than the tile', [33, 1, 52, 20], tuning(32, 64, 16, [32, 32]), true],
    ['two heads of 2, no quad', [33, 2, 2, 20], tuning(32, 64, 16, [32, 32]), false],
  ] as const)('%s', async (_, [t, h, e, i], contraction, isQuads) => {
    const p = normed(t, h, e, i);
    const { error, makes, quads } = await run({ ...p, outputs: ['y', 'mean', 'var', 'q'] }, contraction);
    expect(makes).toEqual(['y mean var q']);
    expect(quads.includes('q')).toBe(isQuads);
    expect(error).toBeLessThan(1e-5);
  });
});

/** y[t, o] = Σ_i x[t, i] W[i, o], z on it; D[h, t] = Σ_e (y + z)² of each head; r[h, t, e] = y · D + z, with dimensions exchanged. */
function withNeighbours(t: number, h: number, e: number, i: number): Program {
  const o = (head: Affine, feature: Affine) => add(scale(head, e), feature);
  const heads = { t, h, e };
  return program(
    [
      input('x', [t, i]),
      input('W', [i, h * e]),
      input('z', [t, h * e]),
      computed(
        'y',
        [t, h * e],
        [
          over({ t, o: h * e, i }, ({ t, o, i }) => ({
            store: [t, o],
            value: product([at('x', t, i), at('W', i, o)]),
          })),
        ],
      ),
      computed(
        'D',
        [h, t],
        [
          over(heads, ({ t, h, e }) => ({
            store: [h, t],
            value: binary('power', sum([at('y', t, o(h, e)), at('z', t, o(h, e))]), constant(2)),
          })),
        ],
      ),
      computed(
        'r',
        [h, t, e],
        [
          over(heads, ({ t, h, e }) => ({
            store: [h, t, e],
            value: sum([product([at('y', t, o(h, e)), at('D', h, t)]), at('z', t, o(h, e))]),
          })),
        ],
      ),
    ],
    ['y', 'D', 'r'],
  );
}

test.each([
  ['heads of 16, ragged', [37, 5, 16, 36], tuning(32, 64, 16, [32, 32])],
  ['heads of 64, fewer blocks than subgroups', [33, 3, 64, 20], tuning(16, 128, 16, [16, 16])],
] as const)('another tensor that comes in quads, %s', async (_, [t, h, e, i], contraction) => {
  const { error, makes, quads } = await run(withNeighbours(t, h, e, i), contraction);
  expect(makes).toEqual(['y D r']);
  for (const name of ['y', 'r', 'z']) expect(quads).toContain(name);
  expect(error).toBeLessThan(1e-5);
});

test('a causal softmax behind its scores', async () => {
  const [b, t, e] = [2, 37, 20];
  const all = { b, t, u: t };
  const p = program(
    [
      input('q', [b, t, e]),
      input('k', [b, t, e]),
      computed(
        'S',
        [b, t, t],
        [
          over({ ...all, e }, ({ b, t, u, e }) => ({
            store: [b, t, u],
            value: product([at('q', b, t, e), at('k', b, u, e)]),
          })),
        ],
      ),
      computed(
        'L',
        [b, t],
        [
          over(all, ({ b, t, u }) => ({
            store: [b, t],
            domain: [{ kind: 'nonnegative', affine: subtract(t, u) }],
            reducer: 'logsumexp',
            value: at('S', b, t, u),
          })),
        ],
      ),
      computed(
        'A',
        [b, t, t],
        [
          over(all, ({ b, t, u }) => ({
            store: [b, t, u],
            domain: [{ kind: 'nonnegative', affine: subtract(t, u) }],
            value: unary('exp', sum([at('S', b, t, u), negate(at('L', b, t))])),
          })),
        ],
      ),
    ],
    ['A'],
  );
  const { error, makes } = await run(p, tuning(32, 64, 16, [32, 32]));
  expect(makes).toHaveLength(1);
  expect(error).toBeLessThan(1e-5);
});
