/** The check before a training, on any device: a training agrees with itself, and one with other params is found out by the param that differs. */
import { expect, test } from 'vitest';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { iclTask } from '../../../experiments/training/icl-task.ts';
import { differenceAfterStep, differenceOnTensorCores } from '../../../experiments/training/tensor-core-check.ts';
import { testDevice } from '../../support/device.ts';

const opened = await testDevice();
const words = [
  '--preset=tiny',
  '--n_layer=1',
  '--n_dims=2',
  '--d_model=16',
  '--n_head=2',
  '--batch_size=4',
  '--steps=2',
];
const task = () => iclTask(resolveIcl([...words, '--out_dir=nowhere']), opened);

test('a training agrees with itself', async () => {
  expect(await differenceAfterStep(task(), task())).toBeUndefined();
  // One that has made a step makes it again.
  const one = task();
  expect(await differenceAfterStep(one, one)).toBeUndefined();
});

test('params that end a branch are moved off 0: what depends on them is seen', async () => {
  const other = task();
  const value =
    ({ initialValue }: typeof other): typeof initialValue =>
    (param) =>
      param.name.endsWith('attn.L') ? initialValue(param).map((x) => -x) : initialValue(param);
  const found = await differenceAfterStep({ ...other, initialValue: value(other) }, task());
  expect(found?.param).toMatch(/attn|values/);
});

test('nothing is asked where no stream runs on tensor cores', async () => {
  const made = task();
  const asked: unknown[] = [];
  const compile: typeof made.compile = (...given) => {
    asked.push(given);
    return made.compile(...given);
  };
  const make = () => {
    asked.push('another');
    return task();
  };
  expect(await differenceOnTensorCores({ ...made, compile }, make)).toBeUndefined();
  expect(asked).toEqual([]);
});
