import { expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { drawNormal } from '../../../compiler/ir/philox.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { bootstrapped } from '../../../experiments/tasks/bootstrap.ts';
import { promptsOnHost } from '../../../experiments/tasks/held-out.ts';
import { drawnPrompts, streams } from '../../../experiments/tasks/prompts.ts';
import { type Setting, settingsOf } from '../../../experiments/tasks/settings.ts';
import { taskFileOf } from '../../../experiments/tasks/tasks.ts';
import { evaluateSetting, settingModel } from '../../../experiments/training/icl-evaluation.ts';
import { testDevice } from '../../support/device.ts';

const opened = await testDevice();
const { options } = resolveIcl(
  '--n_dims 2 --d_model 4 --n_head 1 --n_layer 1 --token_mixing_struct low_rank --training_batch_size 5 --seed 4'.split(
    ' ',
  ),
);
const score = scoreOf(options, {});
const named = (name: string) => settingsOf('linear_regression').find((setting) => setting.name === name) as Setting;

function params(scale: (name: string) => number) {
  const { model } = settingModel(options, score, named('standard'));
  return new Map(
    model.tensors.flatMap(({ name, shape, source }) => {
      if (source.kind !== 'param') return [];
      const data = Float32Array.from(
        { length: elementCount(shape) },
        (_, e) => scale(name) * drawNormal(name.length, 8, 0, e),
      );
      return [[name, { data }] as const];
    }),
  );
}

test.each(['standard', 'orthogonal_train_test', 'skewed', 'scale-y=2', 'noisyLR'])(
  '%s: a model that answers 0 is the baseline that answers 0',
  async (name) => {
    const still = params((param) => (param === 'read_out' ? 0 : 1));
    const { model, baselines } = await evaluateSetting(opened, options, score, still, named(name), 2);
    for (const [p, error] of model.mean.entries()) {
      expect(error).toBeCloseTo(baselines.zero?.mean[p] as number, 4);
      expect(model.high[p]).toBeCloseTo(baselines.zero?.high[p] as number, 4);
    }
  },
);

test.each(['random_quadrants', 'overlapping_train_test'])(
  '%s: at each point the model has seen the points before it and is asked the other kind',
  async (name) => {
    const setting = named(name);
    const given = params(() => 0.7);
    const { model: found, points } = await evaluateSetting(opened, options, score, given, setting, 1);
    const { model, shape } = settingModel(options, score, setting);
    const tensors = drawnPrompts(shape, streams.evaluate, taskFileOf(options), { change: setting.change });
    const prompts = promptsOnHost(tensors, shape, { seed: options.seed, dims: 2, batches: 1 });
    const { xs, ys, asked } = prompts;
    const errors = new Float64Array(5 * points);
    for (let question = 0; question < points; question += 1) {
      const pick = (seen: ArrayLike<number>, other: ArrayLike<number>, perPoint: number) =>
        Float64Array.from(seen, (value, i) => (Math.floor(i / perPoint) % points < question ? value : other[i]));
      const inputs = new Map([
        ['xs', ndarray([5, points, 2], pick(xs, asked?.xs as ArrayLike<number>, 2))],
        ['ys', ndarray([5, points], pick(ys, asked?.ys as ArrayLike<number>, 1))],
        ...model.tensors.flatMap(({ name: param, shape: extents }) => {
          const value = given.get(param);
          return value === undefined ? [] : [[param, ndarray(extents, value.data)] as const];
        }),
      ]);
      const error = interpret(model, inputs, ['error']).get('error')?.data as Float64Array;
      for (let n = 0; n < 5; n += 1) errors[n * points + question] = error[n * points + question];
    }
    for (const [p, error] of bootstrapped(errors, points).mean.entries()) {
      expect(Math.abs(found.mean[p] - error)).toBeLessThan(1e-3 * Math.max(1, error));
    }
  },
);
