/** Sources over one another: which won, what is said of it, and that a run's config repeats the run. */
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { configText } from '../../../experiments/runs/config-text.ts';
import { newTrainingRun } from '../../../experiments/runs/training-run.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

/** With a config of its own at `CONFIG`. */
const resolved = (config: string, ...words: readonly string[]) =>
  inFolder((folder) => {
    const path = join(folder, 'run.yaml');
    writeFiles(folder, { 'run.yaml': config });
    const found = resolveIcl(words.map((word) => word.replace('CONFIG', path)));
    const text = (origin: string) => origin.replaceAll(path, 'run.yaml');
    return {
      ...found,
      notes: found.notes.map(text),
      origins: Object.fromEntries(Object.entries(found.origins).map(([name, origin]) => [name, text(origin)])),
    };
  });

describe('who won', () => {
  test('is kept where a value is not the default, with those that said otherwise', async () => {
    const { origins, options } = await resolved(
      'd_model: 48\nn_layer: 6\nsizes: {rank: 2, s: 1}\n',
      ...['--preset=tiny', '--config=CONFIG', '--d_model=64', '--steps=9', '-s', 'rank=3'],
    );
    expect(options).toMatchObject({ d_model: 64, n_layer: 6, training_train_steps: 9 });
    expect(origins).toMatchObject({
      d_model: 'the command line, over 48 of run.yaml, over 32 of preset tiny',
      // The default, and not what the preset has.
      n_layer: 'run.yaml, over 2 of preset tiny',
      training_train_steps: 'the command line, over 1400 of preset tiny',
      n_dims: 'preset tiny',
      '-s rank': 'the command line, over 2 of run.yaml',
      '-s s': 'run.yaml',
    });
    // The preset says 64, which is the default anyway.
    expect(origins).not.toHaveProperty('training_batch_size');
    expect(origins).not.toHaveProperty('seed');
  });

  test('is said where sources disagree, and only there', async () => {
    const notes = (...words: string[]) => resolved('d_model: 48\nn_dims: 2\n', ...words).then((found) => found.notes);
    expect(await notes('--preset=tiny', '--config=CONFIG', '--steps=9', '--lr=1e-4')).toEqual([
      'note: by run.yaml d_model 48, not 32 of preset tiny',
      'note: by the command line training_train_steps 9, not 1400 of preset tiny; training_learning_rate 0.0001, not 0.00002 of preset tiny',
    ]);
    expect(await notes('--preset=tiny', '--d_model=32', '--seed=3')).toEqual([]);
    expect(await notes('--preset=tiny', '--lr=1', '--training_learning_rate=2', '--lr=2')).toEqual([
      'note: --training_learning_rate is given twice; 2 counts, not 1',
      'note: by the command line training_learning_rate 2, not 0.00002 of preset tiny',
    ]);
  });

  test('a choice under one name takes back the others', () => {
    const { options, origins } = resolveIcl(['--preset=tiny', '--structure=mine.mlbtc']);
    expect(options).toMatchObject({ structure: 'mine.mlbtc', token_mixing_struct: null });
    expect(origins.token_mixing_struct).toBe('the command line, over bilinear_BTT of preset tiny');
    expect(resolveLm(['--preset=train_shakespeare_char', '--data=mine']).options).toMatchObject({
      data: 'mine',
      dataset: null,
    });
  });
});

test('config.yaml says it behind the values, and reads as before', async () => {
  const options = { d_model: 64, mlr_rank_list: '4|4', structure: null, sizes: { rank: 3, ranks: [2, 1] } };
  const origins = { d_model: 'preset tiny', mlr_rank_list: 'a: b # c', '-s rank': 'x', '-s ranks': 'y', unknown: 'z' };
  const text = configText({ task: 'icl', options, origins });
  expect(text.split('\n').filter((line) => !line.startsWith('#'))).toEqual([
    '',
    'd_model: 64 # preset tiny',
    'mlr_rank_list: 4|4 # a: b # c',
    'structure: null',
    'sizes:',
    '  rank: 3 # x',
    '  ranks: [ 2, 1 ] # y',
    '',
  ]);
});

/** Words of options that a run may have been given. */
const someWords = fc
  .record(
    {
      '--d_model': fc.constantFrom('16', '32', '64'),
      '--lr': fc.double({ min: 1e-9, max: 10, noNaN: true }).map(String),
      '--weight_decay': fc.constantFrom('0', '0.1', '1e-7'),
      '--steps': fc.integer({ min: 1, max: 1e9 }).map(String),
      '--seed': fc.integer({ min: 0, max: 2 ** 31 - 1 }).map(String),
      '--bias': fc.constantFrom('True', 'False'),
      '--training_num_tasks': fc.constantFrom('none', '7'),
      '--sequential_GSWA_layer_list': fc.constantFrom('MHA|SWA', 'SWA'),
      '--gswa_rank_list': fc.constantFrom('8|8', '8', '1,2,3'),
      '--device': fc.constantFrom('gpu', 'none', 'a name: with # signs', "'quoted'", ' 7'),
      '--wandb_name': fc.constantFrom('true', '12', 'null-ish', '~'),
    },
    { requiredKeys: [] },
  )
  .map((words) => Object.entries(words).map(([name, value]) => `${name}=${value}`));

test('a run’s config repeats the run: the same options, sizes and seed, whatever was given', () =>
  inFolder((folder) => {
    const config = join(folder, 'config.yaml');
    fc.assert(
      fc.property(someWords, (words) => {
        const first = resolveIcl(['--preset=tiny', ...words]);
        const { task, options, sizes, origins } = newTrainingRun('icl', first, scoreOf(first.options, {}), undefined);
        writeFiles(folder, {
          'config.yaml': configText({ task, options: { ...options, out_dir: 'x', sizes }, origins }),
        });
        const again = resolveIcl([`--config=${config}`]);
        expect(again.options).toEqual(first.options);
        expect(again.sizes).toEqual(first.sizes);
      }),
      { numRuns: 40 },
    );
  }));

test('a path in a config is the same file from elsewhere', () => {
  const first = resolveLm(['--preset=tiny', '--data=texts/mine']);
  const { options } = newTrainingRun('lm', first, scoreOf(first.options, {}), undefined);
  expect(options).toMatchObject({ data: join(process.cwd(), 'texts/mine'), data_dir: null });
});
