/** A vision transformer from images to a tested model: what is learned, written, drawn, read back, and that resuming changes nothing. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { drawUniform } from '../../../compiler/ir/philox.ts';
import { type ImageFiles, imageData } from '../../../experiments/data/image-data.ts';
import { imageTokens, visionProgram } from '../../../experiments/models/model.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveVit } from '../../../experiments/options/vit.ts';
import { plotRun } from '../../../experiments/plots/run.ts';
import { lastGoodCheckpoint } from '../../../experiments/runs/checkpoint.ts';
import { createRunFolder, type RunFolder } from '../../../experiments/runs/folder.ts';
import { chosenCheckpoint } from '../../../experiments/runs/lm-run.ts';
import { appendMetrics, isVitEvaluation, isVitTrain, readMetrics } from '../../../experiments/runs/metrics.ts';
import { newTrainingRun } from '../../../experiments/runs/training-run.ts';
import { checkSameKind, readVitRun, vitRecord } from '../../../experiments/runs/vit-run.ts';
import { type TrainingIo, train } from '../../../experiments/training/loop.ts';
import { createProgress } from '../../../experiments/training/progress.ts';
import { vitTask } from '../../../experiments/training/vit-task.ts';
import { testVit } from '../../../experiments/training/vit-test.ts';
import { testDevice } from '../../support/device.ts';
import { inFolder } from '../../support/folder.ts';
import { timeless } from '../../support/killed-run.ts';

const opened = await testDevice();
const noSignals: TrainingIo['signals'] = {
  endAsked: () => false,
  takeCheckpointAsked: () => false,
  asked: () => new Promise(() => undefined),
};

/** Two channels of 4 × 6, noise and upright stripes, stripes that lie, or a chessboard. */
function set(count: number, seed: number): ImageFiles['train'] {
  const labels = Uint8Array.from({ length: count }, (_, n) => n % 3);
  const values = Uint8Array.from({ length: count * 48 }, (_, i) => {
    const [n, y, x] = [Math.floor(i / 48), Math.floor(i / 6) % 4, i % 6];
    const isBright = [x, y, x + y][labels[n]] % 2 === 0;
    return (isBright ? 60 : 0) + 150 * drawUniform(seed, 0, 0, i);
  });
  return { count, values, labels };
}
const data = imageData(
  {
    name: 'textures',
    ...{ channels: 2, height: 4, width: 6, classes: ['upright', 'lying', 'chessboard'] },
    train: set(120, 1),
    test: set(21, 2),
  },
  0.2,
);

const words = [
  ...['--d_model=8', '--n_head=2', '--n_layer=1', '--patch_size=2', '--batch_size=8', '--seed=2', '--slot=linear=btt'],
  ...['--warmup_iters=5', '--init_lr=3e-4', '--max_iters=60', '--log_interval=10', '--eval_interval=30'],
];
const resolved = resolveVit(words);
const { options } = resolved;
const score = scoreOf(options, resolved.sizes);
const record = vitRecord(data);

const progress = createProgress({ write: () => undefined });
const task = () => vitTask({ resolved, score, data, opened, record, flopsPerToken: 10 });

function newRun(path: string): RunFolder {
  const named = { ...resolved, options: { ...options, out_dir: path } };
  return createRunFolder(newTrainingRun('vit', named, score, opened, [], { data: record }));
}

/** Ctrl-C after so many steps: it is asked for before each, and twice more around the evaluation between. */
function endAfter(done: number): TrainingIo['signals'] {
  let asked = 0;
  const endAsked = () => {
    asked += 1;
    return asked > done + 2;
  };
  return { ...noSignals, endAsked };
}

test('learns, is tested, drawn and read back; stopped and resumed, it is the run that never stopped', () =>
  inFolder(async (parent) => {
    const folder = newRun(join(parent, 'whole'));
    await train(task(), { folder, progress, signals: noSignals });
    const records = readMetrics(folder.metricsPath);
    const training = records.filter(isVitTrain);
    expect(training[0]?.loss).toBeCloseTo(Math.log(3), 4);
    // Six patches and the class token.
    expect(training.at(-1)).toMatchObject({ step: 60, images: 480, tokens: 480 * 7, flops: 480 * 70 });
    const evaluations = records.filter(isVitEvaluation);
    expect(evaluations.map(({ step, images }) => [step, images])).toEqual([
      [30, 24],
      [60, 24],
    ]);
    const last = evaluations.at(-1);
    // A third is chance.
    expect(last?.accuracy).toBeGreaterThan(0.7);
    expect(last?.trainAccuracy).toBeGreaterThan(0.7);
    expect(last?.interval.low).toBeLessThan(last?.accuracy ?? 0);

    const run = readVitRun(folder.path);
    expect(run.data).toEqual(record);
    const checkpoint = chosenCheckpoint(folder, 'last');
    const tested = await testVit({ ...run, data, checkpoint, opened, part: 'val' });
    expect(tested).toMatchObject({ step: 60, images: 24, accuracy: last?.accuracy });
    expect(tested.loss).toBeCloseTo(last?.loss ?? 0, 5);
    const found = await testVit({ ...run, data, checkpoint, opened, part: 'test' });
    expect(found.confusion.flat().reduce((sum, count) => sum + count, 0)).toBe(21);
    expect(found.accuracy).toBeGreaterThan(0.7);
    expect((await testVit({ ...run, data, checkpoint, opened, part: 'test', mostImages: 5 })).images).toBe(5);
    appendMetrics(folder.metricsPath, found);
    const files = await plotRun(folder.path);
    expect(files.map((file) => file.replace(/^.*plots\//, ''))).toEqual(
      ['loss', 'accuracy', 'confusion'].flatMap((name) => [`${name}.svg`, `${name}.png`]),
    );
    for (const file of files) expect(existsSync(file)).toBe(true);
    expect(() => checkSameKind(run, data)).not.toThrow();
    expect(() => checkSameKind(run, { ...data, width: 4 })).toThrow(
      /textures has images of 2 × 4 × 4 in 3 classes, and .* was trained on 2 × 4 × 6 in 3 classes/,
    );

    const resumed = newRun(join(parent, 'resumed'));
    await expect(train(task(), { folder: resumed, progress, signals: endAfter(43) })).rejects.toThrow('after step 43');
    const from = lastGoodCheckpoint(resumed.checkpointsPath).checkpoint;
    await train(task(), { folder: resumed, progress, signals: noSignals, from });
    appendMetrics(resumed.metricsPath, found);
    expect(timeless(resumed.metricsPath)).toEqual(timeless(folder.metricsPath));
    const states = (at: RunFolder) =>
      readdirSync(at.checkpointsPath)
        .filter((name) => /60|best/.test(name))
        .map((name) => readFileSync(join(at.checkpointsPath, name), 'latin1'));
    expect(states(resumed)).toEqual(states(folder));
    expect(states(folder).length).toBe(2);
  }));

test('tokens are the patches, and the class token where there is one', () => {
  for (const [pool, tokens] of [
    ['class', 7],
    ['mean', 6],
  ] as const) {
    expect(imageTokens({ patch_size: 2, pool }, data)).toBe(tokens);
    const program = visionProgram({ ...options, pool }, score, { ...data, batch: 1, classes: 3 });
    expect(program.tensors.find(({ name }) => name === 'wpe')?.shape).toEqual([tokens, 8]);
    expect(program.tensors.some(({ name }) => name === 'class')).toBe(pool === 'class');
  }
});
