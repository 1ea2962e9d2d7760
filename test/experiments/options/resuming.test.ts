import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { openTokenData } from '../../../experiments/data/open.ts';
import { iclResuming, resolveIcl } from '../../../experiments/options/icl.ts';
import { lmOptions, lmResuming, resolveLm } from '../../../experiments/options/lm.ts';
import { asWords, givenOptions } from '../../../experiments/options/parse.ts';
import { namedRun } from '../../../experiments/options/resuming.ts';
import { runFolder } from '../../../experiments/runs/folder.ts';
import { dataRecord } from '../../../experiments/runs/lm-run.ts';
import { changedFact } from '../../../experiments/runs/provenance.ts';
import { optionDifferences, resumedOptions } from '../../../experiments/runs/resumed-options.ts';
import { stagesOf } from '../../../experiments/training/icl-task.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

test('a run is asked for as in the reference: by its folder, by its name below another', () =>
  inFolder((folder) => {
    const run = join(folder, 'mine');
    mkdirSync(run);
    expect(() => namedRun('mine', [folder, '.'])).toThrow(`there is no run mine: looked for ${run} and mine`);
    writeFileSync(join(run, 'config.yaml'), '');
    expect(namedRun('mine', [folder, '.'])).toBe(run);
    expect(namedRun(run, ['.'])).toBe(run);
    expect(iclResuming.runOf({ training_resume_id: 'mine', out_dir: folder })).toBe(run);
    expect(iclResuming.runOf({ out_dir: folder })).toBeUndefined();
    expect(lmResuming.runOf({ init_from: 'resume', out_dir: 'a' })).toBe('a');
    expect(lmResuming.runOf({ init_from: 'scratch', out_dir: 'a' })).toBeUndefined();
  }));

test('a longer run keeps the curriculum and the decay that it began with', () => {
  const words = ['--n_dims=20', '--d_model=8', '--n_head=2', '--token_mixing_struct=low_rank', '--steps=100000'];
  const begun = resolveIcl(words).options;
  const longer = resolveIcl([...words, ...asWords(iclResuming.lengthened(begun, 900_000))]).options;
  expect(longer.training_train_steps).toBe(900_000);
  expect(longer.lr_decay_steps).toBe(100_000);
  expect(stagesOf(longer)).toEqual(stagesOf(begun));
  // Chosen for 900,000 steps the increments would be others.
  expect(stagesOf(resolveIcl([...words, '--steps=900000']).options)).not.toEqual(stagesOf(begun));
  const again = resolveIcl([...words, ...asWords(iclResuming.lengthened(longer, 1_000_000))]).options;
  expect(again.lr_decay_steps).toBe(100_000);
  const lm = resolveLm(['--max_iters=50', '--decay_lr']).options;
  expect(lmResuming.lengthened(lm, 70)).toEqual({ max_iters: 70, lr_decay_iters: 50 });
});

test('options as words say the same again', () => {
  const words = [
    '--preset',
    'tiny',
    '--decay_lr',
    '--vocab_size=none',
    '--device',
    'a b',
    '-s',
    'ranks=[4,2],gamma=-0.5',
  ];
  const { values, sizes } = givenOptions(lmOptions, words);
  expect(givenOptions(lmOptions, asWords(values, sizes))).toEqual({ values, sizes });
  expect(values).toMatchObject({ mlr_rank_list: [8, 4, 4], decay_lr: true, vocab_size: null, device: 'a b' });
  expect('eval_only' in values).toBe(false);
});

test('a path is the same from wherever it is given', () => {
  const kind = { set: lmOptions, resuming: lmResuming };
  const [begun, asked] = [`--data=${join(process.cwd(), 'mine')}`, '--data=./mine'].map((word) => resolveLm([word]));
  expect(optionDifferences(kind, begun, asked)).toEqual([]);
  const other = resolveLm(['--data=other']);
  expect(optionDifferences(kind, begun, other)).toMatchObject([{ name: 'data', asked: 'other' }]);
});

test('data that lie elsewhere now are looked for there from then on; another option is refused all the same', () =>
  inFolder((folder) => {
    writeFileSync(join(folder, 'config.yaml'), 'data: /gone/mine\nmax_iters: 10\nlr_decay_iters: 10\n');
    const kind = { set: lmOptions, resuming: lmResuming, resolve: resolveLm };
    const resumed = (...words: readonly string[]) => resumedOptions(kind, runFolder(folder), words);
    expect(resumed()).toMatchObject({ resolved: { options: { data: '/gone/mine' } }, changes: {} });
    const moved = resumed('--data=here');
    expect(moved).toMatchObject({ resolved: { options: { data: 'here' } }, changes: { data: resolve('here') } });
    expect(resumed('--data=here', '--steps=20').changes).toMatchObject({ data: resolve('here'), max_iters: 20 });
    expect(() => resumed('--data=here', '--seed=8')).toThrow(
      /was begun with other options: seed is 1337 there and 8 here/,
    );
  }));

test('a run knows its text again: the same elsewhere, not another of the same held-out part', () =>
  inFolder((folder) => {
    const text = (name: string, train: string) => {
      const part = (of: string) => ({ tokens: of.length, bytes: of.length, characters: of.length, sha256: digest(of) });
      const meta = { tokenizer: 'bytes', train: part(train), val: part('held out') };
      writeFiles(join(folder, name), { 'train.bin': train, 'val.bin': 'held out', 'meta.json': JSON.stringify(meta) });
      return { data: dataRecord(openTokenData(join(folder, name))) };
    };
    const record = join(folder, 'run.json');
    const begun = text('a', 'some text');
    writeFileSync(record, JSON.stringify(begun));
    expect(changedFact(record, text('moved', 'some text'))).toBeUndefined();
    expect(changedFact(record, text('longer', 'some more text'))).toBe('its data.train.tokens was 9 and is 14');
    expect(changedFact(record, text('other', 'emos text'))).toMatch(/^its data\.train\.sha256 was .* and is /);
    // As an earlier version wrote it.
    const { train: _, val: __, ...before } = begun.data;
    writeFileSync(record, JSON.stringify({ data: before }));
    expect(changedFact(record, text('unknown', 'some more text'))).toBeUndefined();
  }));

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
