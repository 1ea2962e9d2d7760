/** A run of either kind is drawn from its folder alone; a folder that holds none says what it is instead. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../../compiler/command-line/errors.ts';
import { bigramEntropy } from '../../../experiments/data/bigrams.ts';
import { embeddedText } from '../../../experiments/data/embedded.ts';
import { lmLevels } from '../../../experiments/plots/lm-run.ts';
import { plotRun } from '../../../experiments/plots/run.ts';
import { dataRecord, readLmSetting } from '../../../experiments/runs/lm-run.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const lines = (...records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const step = (step: number, loss: number) => ({ kind: 'train', step, loss, lr: 1e-3, stepsPerSecond: 3, timeS: step });

const lmMetrics = lines(
  ...[1, 2, 3].map((n) => ({ ...step(n, 5 / n), tokens: 64 * n, tokensPerSecond: 9, flopsPerSecond: null })),
  { kind: 'evaluation', step: 3, loss: 2, trainLoss: 1.9, perplexity: Math.exp(2), bitsPerCharacter: null, tokens: 64 },
);
const lmFolder = {
  'config.yaml': 'd_model: 64\nn_layer: 2\nout_dir: elsewhere\nsizes: {}\n',
  'run.json': JSON.stringify({
    command: ['mlbtc', 'train', 'lm', '--preset', 'tiny'],
    data: { name: 'a text that is gone', tokenizer: 'bytes', vocabulary: 256, bigramEntropy: 2.5 },
  }),
  'metrics.jsonl': lmMetrics,
};

const baselines = { 'least squares': [1, 0.5], '3 nearest neighbours': [1, 1], averaging: [1, 2], zero: [1, 1] };
const icl = { dims: 2, points: 2, pointwise: [1, 0.5] };
const iclFolder = {
  'config.yaml': 'n_dims: 2\nd_model: 8\nn_head: 2\ntoken_mixing_struct: low_rank\nsizes: {}\n',
  'run.json': JSON.stringify({ command: ['mlbtc', 'train', 'icl'] }),
  'metrics.jsonl': lines(
    { kind: 'stage', step: 0, dims: 2, points: 2, baselines },
    { ...step(1, 1), ...icl },
    { kind: 'evaluation', step: 1, loss: 1, ...icl, prompts: 4, baselines },
  ),
};

/** The files' names, the first of which holds the texts; where it is refused, the message. */
const drawn = (files: Readonly<Record<string, string>>, ...texts: readonly string[]) =>
  inFolder(async (folder) => {
    writeFiles(folder, files);
    try {
      const found = await plotRun(folder);
      for (const file of found) expect(existsSync(file)).toBe(true);
      const svg = readFileSync(found[0], 'utf8');
      expect(texts.filter((text) => !svg.includes(text))).toEqual([]);
      return found.map((file) => file.replace(`${folder}/`, ''));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return error.message.replaceAll(folder, 'RUN');
    }
  });

describe('a run', () => {
  test('of a language model, without its text and its structure', async () => {
    const labels = [
      'y: 2.5; series: bigrams',
      `y: ${Math.log(256).toFixed(5)}; series: guessing`,
      'series: held-out text',
    ];
    const title = 'Language model of a text that is gone: low_rank scores';
    expect(await drawn(lmFolder, title, 'd_model 64, 2 layers, 1 head, 256 tokens', ...labels)).toEqual([
      'plots/loss.svg',
      'plots/loss.png',
    ]);
  });

  test('of in-context regression', async () => {
    const files = ['loss.svg', 'loss.png', 'error-by-point.svg', 'error-by-point.png'].map((name) => `plots/${name}`);
    expect(await drawn(iclFolder, 'Linear regression in context: low_rank scores')).toEqual(files);
  });

  test('that begins, has no evaluation yet and half a last line', async () => {
    const metrics = `${iclFolder['metrics.jsonl'].split('\n')[0]}\n{"kind":"tr`;
    expect(await drawn({ ...iclFolder, 'metrics.jsonl': metrics })).toEqual(['plots/loss.svg', 'plots/loss.png']);
  });
});

test('what a run says of its text is what its loss is held against', () =>
  inFolder((folder) => {
    const data = embeddedText();
    const record = dataRecord(data);
    const bigrams = bigramEntropy(data.val);
    expect(lmLevels({ vocab_size: null }, record)).toEqual({ bigrams, vocabulary: data.vocabulary });
    expect(lmLevels({ vocab_size: 128 }, record).vocabulary).toBe(128);
    writeFiles(folder, { ...lmFolder, 'run.json': JSON.stringify({ data: record }) });
    expect(readLmSetting(folder).data).toEqual(record);
  }));

const { 'run.json': _, ...noRecord } = lmFolder;
const { 'metrics.jsonl': __, ...noMetrics } = lmFolder;
test.each([
  [
    'an empty folder',
    {},
    /^RUN holds no run: there is no RUN\/config\.yaml; give the folder that `mlbtc train` has made$/,
  ],
  [
    'no record',
    noRecord,
    /RUN\/run\.json does not say that `mlbtc train icl` or `mlbtc train lm` or `mlbtc train series` or `mlbtc train vit` made it/,
  ],
  ['a record of something else', { ...lmFolder, 'run.json': '{"command":["tar"]}' }, /does not say that/],
  ['a run of no known kind', { ...lmFolder, 'run.json': '{"command":["mlbtc","train","audio"]}' }, /does not say that/],
  ['a run without its text', { ...lmFolder, 'run.json': '{"command":["mlbtc","train","lm"]}' }, /which text it read/],
  ['no step yet', noMetrics, /^RUN has nothing to draw yet: RUN\/metrics\.jsonl holds no step$/],
  ['half a step', { ...lmFolder, 'metrics.jsonl': '{"kind":"train"' }, /nothing to draw yet/],
  [
    'a config of another kind',
    { ...lmFolder, 'config.yaml': 'n_dims: 3\n' },
    /config\.yaml:1: unknown option 'n_dims'; `mlbtc train lm --help` lists them/,
  ],
])('%s', async (_name, files, message) => {
  expect(await drawn(files as Readonly<Record<string, string>>)).toMatch(message);
});
