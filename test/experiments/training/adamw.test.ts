import { describe, expect, test } from 'vitest';
import { affine } from '../../../compiler/ir/affine.ts';
import { at, computed, input, over, param, program } from '../../../compiler/ir/build.ts';
import { constant, product, sum } from '../../../compiler/ir/expression.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { optimise } from '../../../compiler/passes/pipeline.ts';
import { blockElements, optimizerTables, packArena, unpackArena } from '../../../experiments/training/arena.ts';
import { deviceRunners } from '../../../experiments/training/device-runner.ts';
import { differentiateLoss } from '../../../experiments/training/differentiate-loss.ts';
import { biasCorrections } from '../../../experiments/training/learning-rate.ts';
import { paramsOf } from '../../../experiments/training/mup.ts';
import { interpreterRunner, type MakeRunner } from '../../../experiments/training/runner.ts';
import { accumulationStep, assembleStep, sumStates, updateStep } from '../../../experiments/training/step.ts';
import { testDevice } from '../../support/device.ts';

/** loss = Σ_ij (W[i, j] − 2)² / 3 + Σ_k (b[k] + k)⁴, and a param `c` that plays no part. */
const model = program(
  [
    param('W', [9, 8], { kind: 'normal', std: 0.5, fanIn: 16 }),
    param('b', [3], { kind: 'constant', value: 1 }),
    param('c', [5]),
    computed(
      'loss',
      [],
      [
        over({ i: 9, j: 8 }, ({ i, j }) => {
          const off = sum([at('W', i, j), constant(-2)]);
          return { store: [], value: product([constant(1 / 3), off, off]) };
        }),
        over({ k: 3 }, ({ k }) => {
          const off = sum([at('b', k), { kind: 'index', affine: affine(0, k.terms) }]);
          return { store: [], value: product([off, off, off, off]) };
        }),
      ],
    ),
  ],
  ['loss'],
);

const start: Record<string, number[]> = {
  W: Array.from({ length: 72 }, (_, i) => Math.sin(i)),
  b: [0.3, -0.5, 1],
  c: [1, 2, 3, 4, 5],
};
const [learningRate, weightDecay, beta1, beta2, epsilon] = [0.01, 0.1, 0.9, 0.95, 1e-20];
const multipliers = [0.5, 1, 0.7];

/** The oracle's formulas, in plain loops. */
function expected(gradClip: number): Record<string, number[]> {
  const p = structuredClone(start);
  const m: Record<string, number[]> = { W: p.W.map(() => 0), b: p.b.map(() => 0) };
  const v = structuredClone(m);
  const rates: Record<string, number> = { W: (learningRate * 768) / 16, b: learningRate };
  const decay: Record<string, number> = { W: weightDecay, b: 0 };
  for (const [t, multiplier] of multipliers.entries()) {
    const g: Record<string, number[]> = {
      W: p.W.map((w) => (2 / 3) * (w - 2)),
      b: p.b.map((b, k) => 4 * (b + k) ** 3),
    };
    const norm = Math.sqrt([...g.W, ...g.b].reduce((total, value) => total + value ** 2, 0));
    const clip = gradClip > 0 ? Math.min(1, gradClip / (norm + 1e-6)) : 1;
    for (const name of ['W', 'b']) {
      for (let i = 0; i < p[name].length; i += 1) {
        const eta = rates[name] * multiplier;
        const gradient = g[name][i] * clip;
        p[name][i] *= 1 - eta * decay[name];
        m[name][i] = beta1 * m[name][i] + (1 - beta1) * gradient;
        v[name][i] = beta2 * v[name][i] + (1 - beta2) * gradient ** 2;
        const root = Math.sqrt(v[name][i]) / Math.sqrt(1 - beta2 ** (t + 1));
        p[name][i] -= ((eta / (1 - beta1 ** (t + 1))) * m[name][i]) / (root + epsilon);
      }
    }
  }
  return p;
}

const params = paramsOf(model);

function step(gradClip: number, onlyWhileFinite?: string) {
  return assembleStep(differentiateLoss(optimise(model)), params, {
    batch: onlyWhileFinite === undefined ? [] : [input('step', [], 'i32')],
    optimizer: { beta1, beta2, epsilon, gradClip, hasDecay: true, onlyWhileFinite },
    outputs: ['loss'],
  });
}

async function train(make: MakeRunner, gradClip: number) {
  const { program: stepProgram, arena, untouched } = step(gradClip);
  expect(verify(stepProgram)).toEqual([]);
  const runner = await make(stepProgram);
  const tables = optimizerTables(arena, learningRate, weightDecay, untouched);
  runner.upload('rate', tables.rate);
  runner.upload('decay', tables.decay);
  runner.upload(
    'params',
    packArena(arena, ({ name }) => start[name]),
  );
  for (const [t, multiplier] of multipliers.entries()) {
    const { first, rootSecond } = biasCorrections(t + 1, beta1, beta2);
    runner.upload('hyper', new Float32Array([multiplier, first, rootSecond]));
    runner.run();
  }
  const packed = Float32Array.from((await runner.download('params')).get('params') as ArrayLike<number>);
  runner.destroy();
  return { values: unpackArena(arena, packed), packed };
}

const opened = await testDevice();

describe('AdamW as equations', () => {
  test.each([
    ['interpreter', 0],
    ['interpreter', 0.5],
    ['device', 0],
    ['device', 0.5],
  ] as const)('%s, clipped at %d: three steps are the formulas’', async (where, gradClip) => {
    const { values, packed } = await train(where === 'device' ? deviceRunners(opened) : interpreterRunner, gradClip);
    const want: Record<string, number[]> = { ...expected(gradClip), c: start.c };
    for (const [name, data] of values) {
      for (const [i, value] of data.entries()) expect(value).toBeCloseTo(want[name][i], 5);
    }
    // W fills one block and 8 elements of the next; what lies between params stays 0.
    expect([...packed].slice(72, 2 * blockElements)).toEqual(new Array(2 * blockElements - 72).fill(0));
  });

  test('a loss that is not finite freezes the state and leaves the step’s number', async () => {
    const { program: stepProgram, arena } = step(0, 'loss');
    const runner = await deviceRunners(opened)(stepProgram);
    runner.upload('rate', new Float32Array(arena.blocks).fill(0.01));
    const bad = packArena(arena, ({ name }) => (name === 'b' ? [1e20, 0, 0] : start[name]));
    runner.upload('params', bad);
    runner.upload('hyper', new Float32Array([1, 10, 4]));
    for (const stepNumber of [6, 7]) {
      runner.upload('step', new Int32Array([stepNumber]));
      runner.run();
    }
    const result = await runner.download('params', 'diverged');
    expect([...(result.get('params') as Float32Array)]).toEqual([...bad]);
    expect(result.get('diverged')?.[0]).toBe(7);
    runner.destroy();
  });

  test.each([['interpreter'], ['device']] as const)(
    '%s: a step over several batches is one over all of them',
    async (where) => {
      const make = where === 'device' ? deviceRunners(opened) : interpreterRunner;
      const square = over({ i: 70 }, ({ i }) => {
        const off = sum([at('W', i), product([constant(-1), at('x')])]);
        return { store: [], value: product([off, off]) };
      });
      const shifted = program([input('x', []), param('W', [70]), computed('loss', [], [square])], ['loss']);
      const optimizer = { beta1, beta2, epsilon, gradClip: 20, hasDecay: false, onlyWhileFinite: undefined };
      const differentiated = differentiateLoss(optimise(shifted));
      const whole = assembleStep(differentiated, paramsOf(shifted), { batch: [], optimizer, outputs: ['loss'] });
      const part = accumulationStep(differentiated, paramsOf(shifted), []);
      const update = updateStep(part.arena, 3, { ...optimizer, onlyWhileFinite: 'loss' });
      expect([verify(part.program), verify(update)]).toEqual([[], []]);
      const [once, adding, updating] = await Promise.all([make(whole.program), make(part.program), make(update)]);
      const hyper = new Float32Array([1, 10, 4]);
      const rate = new Float32Array(part.arena.blocks).fill(0.01);
      let params = packArena(part.arena, () => Array.from({ length: 70 }, (_, i) => Math.sin(i)));
      once.upload('params', params);
      for (const runner of [once, updating]) {
        runner.upload('rate', rate);
        runner.upload('hyper', hyper);
      }
      for (let step = 0; step < 2; step += 1) {
        for (const [i, x] of [1, 2, 6].entries()) {
          adding.upload('params', params);
          adding.upload('x', new Float32Array([x]));
          adding.upload('kept', new Float32Array([i === 0 ? 0 : 1]));
          adding.run();
        }
        const sums = await adding.download(...Object.values(sumStates));
        for (const [name, data] of sums) updating.upload(name, Float32Array.from(data));
        updating.upload('params', params);
        updating.run();
        // The gradient of the mean over 1, 2, 6 is that at their mean; the losses differ by 70 times their variance.
        once.upload('x', new Float32Array([3]));
        once.run();
        const [result, wanted] = [await updating.download('params', 'loss'), await once.download('params', 'loss')];
        expect(result.get('loss')?.[0]).toBeCloseTo((wanted.get('loss')?.[0] ?? 0) + (70 * 14) / 3, 2);
        for (const [i, value] of Array.from(result.get('params') ?? []).entries()) {
          expect(value).toBeCloseTo(wanted.get('params')?.[i] ?? Number.NaN, 5);
        }
        params = Float32Array.from(result.get('params') ?? []);
      }
      for (const runner of [once, adding, updating]) runner.destroy();
    },
  );
});
