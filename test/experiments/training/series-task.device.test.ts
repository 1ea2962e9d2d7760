/** Time series from a file to a tested model: two waves that a small model learns to carry on, columns together and each by itself. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { chosenSeries } from '../../../experiments/data/choose-series.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveSeries } from '../../../experiments/options/series.ts';
import { plotRun } from '../../../experiments/plots/run.ts';
import { createRunFolder } from '../../../experiments/runs/folder.ts';
import { chosenCheckpoint } from '../../../experiments/runs/lm-run.ts';
import { appendMetrics, isSeriesEvaluation, isSeriesTrain, readMetrics } from '../../../experiments/runs/metrics.ts';
import { checkUnchanged, readSeriesRun, seriesRecord } from '../../../experiments/runs/series-run.ts';
import { newTrainingRun } from '../../../experiments/runs/training-run.ts';
import { type TrainingIo, train } from '../../../experiments/training/loop.ts';
import { createProgress } from '../../../experiments/training/progress.ts';
import { seriesTask } from '../../../experiments/training/series-task.ts';
import { testSeries } from '../../../experiments/training/series-test.ts';
import { writeFiles } from '../../support/command-line.ts';
import { testDevice } from '../../support/device.ts';
import { inFolder } from '../../support/folder.ts';

const opened = await testDevice();
const noSignals: TrainingIo['signals'] = {
  endAsked: () => false,
  takeCheckpointAsked: () => false,
  asked: () => new Promise(() => undefined),
};

const rows = 200;
const wave = (row: number, period: number) => Math.sin((2 * Math.PI * row) / period).toFixed(6);
const table = (height: number) =>
  [
    'date,a,b',
    ...Array.from({ length: rows }, (_, row) => `${row},${wave(row, 7)},${height + 3 * Number(wave(row, 11))}`),
  ].join('\n');

const small = [
  ...['--d_model=16', '--n_head=2', '--n_layer=1', '--block_size=8', '--horizon=3', '--batch_size=8', '--seed=2'],
  ...[
    '--warmup_iters=20',
    '--init_lr=3e-4',
    '--max_iters=300',
    '--log_interval=50',
    '--eval_interval=150',
    '--ignore_dates',
  ],
];

describe.each([
  ['together', [], 2],
  ['each by itself', ['--channels=1', '--eval_iters=2'], 1],
] as const)('columns %s', (_, words, channels) => {
  test('are learned, tested, drawn and read back', () =>
    inFolder(async (parent) => {
      const data = join(parent, 'waves.csv');
      writeFiles(parent, { 'waves.csv': table(5) });
      const resolved = resolveSeries([...small, ...words, `--data=${data}`, `--out_dir=${join(parent, 'run')}`]);
      const { options } = resolved;
      const score = scoreOf(options, resolved.sizes);
      const series = chosenSeries(options);
      const record = seriesRecord(series, { context: 8, horizon: 3 });
      const folder = createRunFolder(newTrainingRun('series', resolved, score, opened, [], { data: record }));
      const task = seriesTask({ resolved, score, data: series, opened, record, flopsPerToken: 10 });
      const progress = createProgress({ write: () => undefined });
      await train(task, { folder, progress, signals: noSignals });

      const records = readMetrics(folder.metricsPath);
      const training = records.filter(isSeriesTrain);
      // Read-outs start at zero, and standardised values have a mean square of 1.
      expect(training[0]?.loss).toBeCloseTo(1, 0);
      expect(training.at(-1)).toMatchObject({ step: 300, windows: 2400, tokens: 19200, flops: 192000 });
      const evaluations = records.filter(isSeriesEvaluation);
      // The validation part's 20 rows hold 18 windows; of each column by itself 16 of them are taken.
      expect(evaluations.map(({ step, windows }) => [step, windows])).toEqual(
        [150, 300].map((step) => [step, channels === 1 ? 16 : 18]),
      );

      const run = readSeriesRun(folder.path);
      expect(run.data).toEqual(record);
      const checkpoint = chosenCheckpoint(folder, 'best');
      const found = await testSeries({
        options: run.options,
        score: run.score,
        data: series,
        record,
        checkpoint,
        opened,
        part: 'test',
      });
      expect(found.windows).toBe(38 * (channels === 1 ? 2 : 1));
      expect(found.mse).toBeLessThan(0.6 * (found.baselines.mean?.mse ?? 0));
      expect(found.mse).toBeCloseTo(found.ahead.reduce((sum, value) => sum + value, 0) / 3, 6);
      expect(found.examples.map(({ column }) => column)).toEqual(['a', 'b']);
      const [, b] = found.examples;
      // In the table's units, the context before what followed.
      const height = (row: number) => 5 + 3 * Number(wave(row, 11));
      expect(b?.truth.map((value, i) => value - height(b.row + i))).toEqual([0, 1, 2].map(() => expect.closeTo(0, 5)));
      expect(b?.context.at(-1)).toBeCloseTo(height((b?.row ?? 0) - 1), 5);
      const off = b?.forecast.map((value, i) => Math.abs(value - height(b.row + i))) ?? [];
      expect(Math.max(...off)).toBeLessThan(3);

      appendMetrics(folder.metricsPath, found);
      const files = await plotRun(folder.path);
      expect(files.map((file) => file.replace(/^.*plots\//, ''))).toEqual(
        ['loss', 'error-by-time', 'forecast'].flatMap((name) => [`${name}.svg`, `${name}.png`]),
      );
      for (const file of files) expect(existsSync(file)).toBe(true);

      expect(() => checkUnchanged(run, chosenSeries(options))).not.toThrow();
      writeFiles(parent, { 'waves.csv': table(6) });
      expect(() => checkUnchanged(run, chosenSeries(options))).toThrow('waves has changed since');
    }));
});
