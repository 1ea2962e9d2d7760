/** `mlbtc runs`: every folder of a run is a line, whatever has become of it. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { listRuns } from '../../../experiments/runs/list-runs.ts';
import { lockRun } from '../../../experiments/runs/run-lock.ts';
import { runsCsv, runsTable } from '../../../experiments/runs/runs-text.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const lines = (...records: readonly object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const step = (step: number, loss: number, stepsPerSecond: number) => ({
  ...{ kind: 'train', step, loss, lr: 1e-3, stepsPerSecond, timeS: 2 * step },
  ...{ tokens: 64 * step, tokensPerSecond: 9, flopsPerSecond: null, flops: 1e6 * step },
});
const evaluation = (step: number, loss: number | null) => ({
  ...{ kind: 'evaluation', step, loss, trainLoss: 2, perplexity: null, bitsPerCharacter: null, tokens: 64 },
});

/** Files of a run of a language model below a folder. */
const lmRun = (name: string, config: string, files: Readonly<Record<string, string>>) => {
  const record = JSON.stringify({ command: ['mlbtc', 'train', 'lm'] });
  const all = { 'config.yaml': `max_iters: 3\n${config}`, 'run.json': record, ...files };
  return Object.fromEntries(Object.entries(all).map(([file, text]) => [`${name}/${file}`, text]));
};
const metrics = lines(step(1, 4, 0.1), step(2, 3, 5), evaluation(2, 2.5), step(3, 2.9, 6), evaluation(3, 2.75));
const outcome = (outcome: string, message: string) => JSON.stringify({ outcome, message, at: 'then' });

const listed = (files: Readonly<Record<string, string>>) =>
  inFolder((folder) => {
    writeFiles(folder, files);
    return listRuns(folder).map((run) => ({ ...run, message: run.message.replaceAll(folder, 'DIR') }));
  });

describe('a run', () => {
  test('in a few figures', async () => {
    const [run] = await listed(lmRun('deep/er/one', 'd_model: 64\n', { 'metrics.jsonl': metrics }));
    expect(run).toEqual({
      ...{ name: 'deep/er/one', task: 'lm', state: 'finished', message: '', step: 3, steps: 3 },
      ...{ bestLoss: 2.5, bestStep: 2, trainLoss: 2.9, stepsPerSecond: 5 },
      ...{ tokens: 192, flops: 3e6, timeS: 6, differs: {} },
    });
  });

  test.each([
    ['finished', { 'metrics.jsonl': metrics, 'outcome.json': outcome('finished', '') }],
    // By a version that wrote no outcome.
    ['finished', { 'metrics.jsonl': metrics }],
    ['interrupted', { 'metrics.jsonl': metrics, 'outcome.json': outcome('interrupted', 'after step 3') }],
    ['interrupted', { 'metrics.jsonl': lines(step(1, 4, 1)) }],
    ['interrupted', { 'metrics.jsonl': `${lines(step(1, 4, 1))}{"kind":"tr` }],
    ['interrupted', {}],
    ['diverged', { 'metrics.jsonl': lines(step(1, 4, 1)), 'outcome.json': outcome('diverged', 'at step 2') }],
    ['failed', { 'metrics.jsonl': lines(step(1, 4, 1)), 'outcome.json': outcome('failed', 'the disk is full') }],
  ] as const)('that is %s', async (state, files) => {
    expect(await listed(lmRun('one', '', files))).toMatchObject([{ state }]);
  });

  test('that ends with a test says how far it came, not which step did best', async () => {
    const judged = { kind: 'test', step: 2, loss: 2, accuracy: 0.5, interval: { low: 0.4, high: 0.6 } };
    const whole = { ...judged, images: 9, baselines: {}, confusion: [[9]] };
    const [run] = await listed(lmRun('one', '', { 'metrics.jsonl': metrics + lines(whole) }));
    expect(run).toMatchObject({ state: 'finished', step: 3, bestStep: 2 });
  });

  test('that goes on, in a process that holds its folder, whatever the one before has left', () =>
    inFolder((folder) => {
      writeFiles(folder, lmRun('one', '', { 'metrics.jsonl': metrics, 'outcome.json': outcome('interrupted', '') }));
      const lock = lockRun(join(folder, 'one'));
      expect(listRuns(folder)).toMatchObject([{ state: 'running' }]);
      lock.release();
      expect(listRuns(folder)).toMatchObject([{ state: 'interrupted' }]);
    }));

  test('that was imported', async () => {
    const files = { ...lmRun('one', '', {}), 'one/run.json': '{"command":["mlbtc","import","lm"]}' };
    expect(await listed(files)).toMatchObject([{ state: 'imported', step: 0, bestLoss: null }]);
  });

  test('an evaluation that is not finite is not the best', async () => {
    const files = { 'metrics.jsonl': lines(step(1, 4, 1), evaluation(1, 4.5), evaluation(3, null)) };
    expect(await listed(lmRun('one', '', files))).toMatchObject([{ bestLoss: 4.5, bestStep: 1, state: 'interrupted' }]);
  });

  test('the best of a curriculum is of its latest stage', async () => {
    const icl = (step: number, dims: number, loss: number) => ({
      ...{ kind: 'evaluation', step, loss, pointwise: [loss], dims, points: 2 * dims, prompts: 8, baselines: {} },
    });
    const files = {
      'config.yaml': 'n_dims: 4\nd_model: 8\nn_head: 2\ntraining_train_steps: 9\n',
      'run.json': '{"command":["mlbtc","train","icl"]}',
      'metrics.jsonl': lines(icl(1, 2, 0.1), icl(2, 4, 0.7), icl(3, 4, 0.8)),
    };
    expect(await listed(files)).toMatchObject([{ name: '.', task: 'icl', bestLoss: 0.7, bestStep: 2, steps: 9 }]);
  });
});

test('runs of a kind are compared with one another; where they were written to is no difference', async () => {
  const structure = { 'structure/near.mlbtc': 'structure Near {}' };
  const other = { 'structure/near.mlbtc': 'structure Near { }' };
  const mine = 'token_mixing_struct: null\nstructure: structure/near.mlbtc\n';
  const runs = await listed({
    ...lmRun('run-10', 'd_model: 32\nout_dir: a\nmlr_rank_list: 4|2\nwandb_entity: me\n', {}),
    ...lmRun('run-2', 'd_model: 64\nout_dir: b\n', {}),
    ...lmRun('own', `d_model: 64\n${mine}sizes: {rank: 4}\n`, structure),
    ...lmRun('own-2', `d_model: 64\n${mine}sizes: {rank: 4}\n`, other),
    'series/config.yaml': 'd_model: 16\n',
    'series/run.json': '{"command":["mlbtc","train","series"]}',
  });
  const differs = Object.fromEntries(runs.map((run) => [run.name, 'differs' in run ? run.differs : run.message]));
  const common = {
    token_mixing_struct: 'none',
    structure: 'structure/near.mlbtc',
    d_model: '64',
    mlr_rank_list: 'none',
  };
  const digest = expect.stringMatching(/^[0-9a-f]{8}$/);
  const library = { token_mixing_struct: 'low_rank', structure: 'none', '-s rank': 'none', structure_text: 'none' };
  expect(differs).toEqual({
    own: { ...common, '-s rank': '4', structure_text: digest },
    'own-2': { ...common, '-s rank': '4', structure_text: digest },
    'run-2': { ...library, d_model: '64', mlr_rank_list: 'none' },
    'run-10': { ...library, d_model: '32', mlr_rank_list: '4|2' },
    series: {},
  });
  expect(differs.own).not.toEqual(differs['own-2']);
});

const whole = lmRun('x', '', { 'metrics.jsonl': metrics });
test.each([
  ['no config', { 'x/metrics.jsonl': metrics }, 'DIR/x holds no run: there is no DIR/x/config.yaml'],
  ['no record', { 'x/config.yaml': 'd_model: 64\n' }, 'DIR/x/run.json does not say which'],
  ['half a record', { ...whole, 'x/run.json': '{"comm' }, 'does not say which'],
  ['a config that is no YAML', { ...whole, 'x/config.yaml': 'a: [' }, 'not YAML'],
  ['a config of a later version', { ...whole, 'x/config.yaml': 'd_modle: 3\n' }, "unknown option 'd_modle'"],
  ['an impossible option', { ...whole, 'x/config.yaml': 'd_model: -1\n' }, 'must be at least 1'],
  ['a broken line', { ...whole, 'x/metrics.jsonl': `{"kind":\n${metrics}` }, 'DIR/x/metrics.jsonl:1: not a line'],
  ['a folder for a file', { ...whole, 'x/metrics.jsonl': undefined, 'x/metrics.jsonl/a': '' }, 'is a folder'],
])('%s is a damaged run, and the others are listed', async (_, files, message) => {
  const given = Object.entries({ ...files, ...lmRun('y', '', {}) }).filter(([, text]) => text !== undefined);
  const [x, y] = await listed(Object.fromEntries(given) as Record<string, string>);
  expect(x).toMatchObject({ name: 'x', state: 'damaged', message: expect.stringContaining(message) });
  expect(y).toMatchObject({ name: 'y', state: 'interrupted' });
});

test('as a table and for a spreadsheet', () =>
  inFolder((folder) => {
    writeFiles(folder, {
      ...lmRun('a, b', 'd_model: 64\n', { 'metrics.jsonl': metrics }),
      ...lmRun('b', 'd_model: 128\n', {
        'metrics.jsonl': lines(step(1, 4, 2)),
        'outcome.json': outcome('diverged', 'at "step" 2\n  a lower rate'),
      }),
      'c/config.yaml': '',
    });
    const runs = listRuns(folder);
    expect(runsTable(runs).map((line) => line.replaceAll(folder, 'DIR'))).toEqual([
      'run   trains  state     step  held out  training  steps/s  trained  differs in',
      'a, b  lm      finished  3/3   2.5       2.9       5        6 s      d_model 64',
      'b     lm      diverged  1/3             4         2        2 s      d_model 128',
      'c             damaged   DIR/c is no run: DIR/c/run.json does not say which `mlbtc train` made it',
      '',
      'b: at "step" 2 a lower rate',
    ]);
    const [heads, first, second] = runsCsv(runs).split('\r\n');
    expect(heads.endsWith(',message,d_model')).toBe(true);
    expect(first).toBe('"a, b",lm,finished,3,3,2.5,2,2.9,5,192,3000000,6,,64');
    expect(second).toBe('b,lm,diverged,1,3,,,4,2,64,1000000,2,"at ""step"" 2\n  a lower rate",128');
  }));

test('a folder that is not there, or is a file', () =>
  inFolder((folder) => {
    writeFiles(folder, { file: '' });
    expect(() => listRuns(join(folder, 'none'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(() => listRuns(join(folder, 'file'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
    expect(listRuns(folder)).toEqual([]);
  }));
