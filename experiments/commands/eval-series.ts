/** `mlbtc eval RUN` of a time series model: its errors on a part of its series, or of another with the same columns. */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { openDevice } from '../../runtime/device.ts';
import { chosenSeries } from '../data/choose-series.ts';
import { isPart, partNames, partTitles } from '../data/parts.ts';
import type { SeriesData } from '../data/series-data.ts';
import { chosenCheckpoint } from '../runs/lm-run.ts';
import { checkUnchanged, readSeriesRun, type SeriesRun } from '../runs/series-run.ts';
import { testSeries } from '../training/series-test.ts';
import { batchesOf, type EvalKind, type EvalOptions } from './eval-kind.ts';
import { testLines } from './train-series.ts';

const defaults = { split: 'test', checkpoint: 'best' } as const;

export const seriesEval: EvalKind = {
  takes: ['split', 'checkpoint', 'data', 'eval_iters', 'json', 'device'],
  evaluate: evaluateRun,
};

async function evaluateRun(path: string, given: EvalOptions): Promise<void> {
  const { split, checkpoint: which } = { ...defaults, ...given };
  if (!isPart(split)) throw new UsageError(`--split ${split}: ${partNames.join(', ')}`);
  const run = readSeriesRun(path);
  const batches = batchesOf(given);
  const data = dataOf(run, given.data);
  const checkpoint = chosenCheckpoint(run.folder, which);
  const opened = await openDevice(given.device === undefined ? {} : { name: given.device });
  try {
    const { options, score, data: record } = run;
    const mostWindows = batches === undefined ? undefined : batches * options.batch_size;
    const found = await testSeries({ options, score, data, record, checkpoint, opened, part: split, mostWindows });
    const { kind: _, examples: __, ...errors } = found;
    const lines =
      given.json === true
        ? [JSON.stringify({ run: path, checkpoint, split, ...errors })]
        : testLines(found, partTitles[split]);
    process.stdout.write(`${lines.join('\n')}\n`);
  } finally {
    opened.destroy();
  }
}

/** The run's own series, or another with the same columns, which is standardised by its own training part. */
function dataOf(run: SeriesRun, other: string | undefined): SeriesData {
  const { options, data: made } = run;
  const data = chosenSeries({ ...options, data: other ?? options.data, columns: made.columns });
  if (other === undefined) checkUnchanged(run, data);
  return data;
}
