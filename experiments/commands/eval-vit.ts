/** `mlbtc eval RUN` of a vision transformer: its accuracy on a part of its images, or of others of the same kind. */
import { UsageError } from '../../compiler/command-line/errors.ts';
import { openDevice } from '../../runtime/device.ts';
import { chosenImages } from '../data/choose-images.ts';
import type { ImageData } from '../data/image-data.ts';
import { isPart, partNames, partTitles } from '../data/parts.ts';
import { chosenCheckpoint } from '../runs/lm-run.ts';
import { checkSameKind, readVitRun, type VitRun } from '../runs/vit-run.ts';
import { testVit } from '../training/vit-test.ts';
import { batchesOf, type EvalKind, type EvalOptions } from './eval-kind.ts';
import { accuracyLines } from './train-vit.ts';

const defaults = { split: 'test', checkpoint: 'best' } as const;

export const vitEval: EvalKind = {
  takes: ['split', 'checkpoint', 'data', 'eval_iters', 'json', 'device'],
  evaluate: evaluateRun,
};

async function evaluateRun(path: string, given: EvalOptions): Promise<void> {
  const { split, checkpoint: which } = { ...defaults, ...given };
  if (!isPart(split)) throw new UsageError(`--split ${split}: ${partNames.join(', ')}`);
  const run = readVitRun(path);
  const batches = batchesOf(given);
  const data = dataOf(run, given.data);
  const checkpoint = chosenCheckpoint(run.folder, which);
  const opened = await openDevice(given.device === undefined ? {} : { name: given.device });
  try {
    const { options, score } = run;
    const mostImages = batches === undefined ? undefined : batches * options.batch_size;
    const found = await testVit({ options, score, data, checkpoint, opened, part: split, mostImages });
    const { kind: _, ...told } = found;
    const lines =
      given.json === true
        ? [JSON.stringify({ run: path, checkpoint, split, ...told })]
        : accuracyLines(found, partTitles[split]);
    process.stdout.write(`${lines.join('\n')}\n`);
  } finally {
    opened.destroy();
  }
}

/** The run's own images, or others; both are standardised as those that it was trained on were. */
function dataOf(run: VitRun, other: string | undefined): ImageData {
  const { options, data: made } = run;
  const data = chosenImages({ ...options, data: other ?? options.data });
  checkSameKind(run, data);
  return { ...data, mean: made.mean, deviation: made.deviation };
}
