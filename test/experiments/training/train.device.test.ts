import { appendFileSync, existsSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DivergedError, InterruptedError } from '../../../compiler/command-line/errors.ts';
import type { Choices } from '../../../compiler/schedule/choose.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import {
  type Checkpoint,
  checkpointPath,
  checkpointSteps,
  lastGoodCheckpoint,
} from '../../../experiments/runs/checkpoint.ts';
import { createRunFolder } from '../../../experiments/runs/folder.ts';
import { isIclTrain, readMetrics } from '../../../experiments/runs/metrics.ts';
import { copyNote, newTrainingRun } from '../../../experiments/runs/training-run.ts';
import { iclTask } from '../../../experiments/training/icl-task.ts';
import { look } from '../../../experiments/training/look.ts';
import { type TrainingIo, train } from '../../../experiments/training/loop.ts';
import { pinChoices } from '../../../experiments/training/plans.ts';
import type { Profiler } from '../../../experiments/training/profile.ts';
import { createProgress } from '../../../experiments/training/progress.ts';
import { testDevice } from '../../support/device.ts';

const opened = await testDevice();
const parent = mkdtempSync(join(tmpdir(), 'mlbtc-train-'));
let runs = 0;

const noSignals: TrainingIo['signals'] = {
  endAsked: () => false,
  takeCheckpointAsked: () => false,
  asked: () => new Promise(() => undefined),
};

async function run(words: readonly string[], signals = noSignals, profiler?: Profiler) {
  runs += 1;
  const resolved = resolveIcl([...words, `--out_dir=${join(parent, `run${runs}`)}`]);
  const score = scoreOf(resolved.options, resolved.sizes);
  const folder = createRunFolder(newTrainingRun('icl', resolved, score, opened));
  let text = '';
  const write = (more: string) => {
    text += more;
  };
  const progress = createProgress({ write });
  const debugNans = resolved.options.debug_nans;
  const ended = await train(iclTask(resolved, opened), { folder, progress, signals, debugNans, profiler }).then(
    (result) => ({ result, error: undefined }),
    (error: unknown) => ({ result: undefined, error }),
  );
  const goOn = (from: Checkpoint | undefined, signals = noSignals) =>
    train(iclTask(resolved, opened), { folder, progress, signals, from });
  return { ...ended, folder, goOn, said: () => text, losses: () => losses(folder.metricsPath) };
}

/** Ctrl-C after so many steps of `small`, in a run that has begun after `begun` of them. */
function endAfter(done: number, begun = 0): TrainingIo['signals'] {
  let asked = begun;
  const endAsked = () => {
    asked += 1;
    // Before each step, and twice more around the evaluation after the fifth.
    return asked > (done > 5 && begun <= 5 ? done + 2 : done);
  };
  return { ...noSignals, endAsked };
}

/** What was written, but for times and speeds. */
function timeless(metricsPath: string): readonly object[] {
  return readMetrics(metricsPath).map((record) => ({ ...record, timeS: 0, stepsPerSecond: 0 }));
}

function losses(metricsPath: string): number[] {
  return readMetrics(metricsPath)
    .filter(isIclTrain)
    .map(({ loss }) => loss);
}

const near = `structure Near {
  size D, H, r = 2
  axis b: B, t, u: T, i, j: D, h: H, k: r
  input x[b, t, i]
  param Q[h, k, i] ~ normal(fan_in = i)
  param K[h, k, i] ~ normal(fan_in = i)
  S[b, h, t, u] = Q[h, k, i] * x[b, t, i] * K[h, k, j] * x[b, u, j] / r
  A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)
  output A
}
`;

const small = [
  ...['--n_dims=3', '--d_model=8', '--n_head=2', '--n_layer=1', '--token_mixing_struct=bilinear_BTT'],
  ...['--training_batch_size=4', '--warmup=2', '--steps=9', '--wandb_log_every_steps=1', '--evaluation_interval=5'],
  ...['--evaluation_samples_multiplier=2', '--training_save_every_steps=4', '--training_curriculum_dims_start=2'],
  ...['--training_curriculum_points_start=6', '--training_curriculum_dims_interval=4'],
  '--training_curriculum_points_interval=4',
];

describe('a run', () => {
  const first = run(small);

  test('leaves config, metrics, checkpoints and plots', async () => {
    const { folder, result, error } = await first;
    expect(error).toBeUndefined();
    const records = readMetrics(folder.metricsPath);
    const train = records.filter(isIclTrain);
    expect(train.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(train.map(({ dims, points }) => `${dims} ${points}`)).toEqual([
      ...new Array(4).fill('2 6'),
      ...new Array(5).fill('3 6'),
    ]);
    for (const { loss, pointwise, points } of train) {
      expect(pointwise).toHaveLength(points);
      expect(pointwise.reduce((sum, value) => sum + value, 0) / points).toBeCloseTo(loss, 4);
    }
    expect(records.filter(({ kind }) => kind === 'evaluation').map(({ step }) => step)).toEqual([5, 9]);
    expect(records.filter(({ kind }) => kind === 'stage').map(({ step }) => step)).toEqual([0, 4]);
    expect(checkpointSteps(folder.checkpointsPath)).toEqual([8, 9]);
    for (const name of ['loss.svg', 'loss.png', 'error-by-point.svg', 'error-by-point.png']) {
      expect(existsSync(join(folder.plotsPath, name))).toBe(true);
    }
    expect(result?.evaluation.prompts).toBe(8);
  });

  test('starts at the variance of y, since a muP model starts at zero', async () => {
    const { losses: curve, folder } = await first;
    const [evaluation] = readMetrics(folder.metricsPath).filter((record) => record.kind === 'stage');
    expect(curve()[0]).toBeGreaterThan(0.2);
    expect(evaluation.kind === 'stage' && evaluation.baselines.zero.every((value) => value > 0.1)).toBe(true);
  });

  test('repeats bit for bit from its config', async () => {
    const { folder, losses: curve } = await first;
    const again = await run([`--config=${folder.configPath}`]);
    expect(again.error).toBeUndefined();
    expect(again.losses()).toEqual(curve());
    expect((await run([...small, '--seed=1'])).losses()).not.toEqual(curve());
  });

  test.each([['experiments/structures/bilinear_btt.mlbtc'], ['test/experiments/structures/shared_bilinear_btt.mlbtc']])(
    'a copy of %s gives the same curve bit for bit',
    async (path) => {
      const copy = join(parent, 'copy_of_it.mlbtc');
      writeFileSync(copy, readFileSync(path, 'utf8'));
      const words = small.filter((word) => !word.startsWith('--token_mixing_struct'));
      expect((await run([...words, `--structure=${copy}`])).losses()).toEqual((await first).losses());
    },
  );

  test('a curriculum that adds points goes on with the same params', async () => {
    const { error, folder, losses: curve } = await run([...small, '--training_curriculum_points_start=4']);
    expect(error).toBeUndefined();
    const stages = readMetrics(folder.metricsPath).filter((record) => record.kind === 'stage');
    expect(stages.map(({ step, dims, points }) => [step, dims, points])).toEqual([
      [0, 2, 4],
      [4, 3, 6],
    ]);
    expect(curve().every((loss) => loss > 0.05 && loss < 5)).toBe(true);
  });

  test('a pool of prompts repeats them', async () => {
    const { error, losses: curve } = await run([...small, '--training_num_training_examples=4', '--lr=0']);
    expect(error).toBeUndefined();
    // The same four prompts at every step, so within a stage a model that does not learn keeps its loss.
    expect(curve()[1]).toBeCloseTo(curve()[0], 5);
    expect(curve()[8]).toBeCloseTo(curve()[4], 5);
  });

  test.each([
    [[]],
    [['--training_num_training_examples=5']],
    [['--training_num_tasks=3']],
    [['--training_num_training_examples=5', '--training_num_tasks=3']],
  ])(
    'training seeds reused: an evaluation sees the prompts of the first steps, pools and baselines too %j',
    async (pools) => {
      const words = [...small, ...pools, '--lr=0', '--steps=2', '--evaluation_interval=2'];
      const { error, folder, result } = await run([...words, '--evaluation_reuse_training_seeds']);
      expect(error).toBeUndefined();
      const steps = readMetrics(folder.metricsPath).filter(isIclTrain);
      const { pointwise = [], baselines = {} } = result?.evaluation ?? {};
      expect(pointwise).toHaveLength(6);
      for (const [p, value] of pointwise.entries()) {
        expect(value).toBeCloseTo((steps[0].pointwise[p] + steps[1].pointwise[p]) / 2, 5);
        // A muP model starts at zero, so that its error is that of the baseline on the very same prompts.
        expect(value).toBeCloseTo(baselines.zero[p], 4);
      }
      const fresh = (await run(words)).result?.evaluation.pointwise ?? [];
      expect(Math.abs(fresh[0] - pointwise[0])).toBeGreaterThan(1e-3);
    },
  );

  test('Ctrl-C ends in a checkpoint of the step that was done', async () => {
    const { error, folder } = await run(small, endAfter(6));
    expect(error).toBeInstanceOf(InterruptedError);
    expect(String(error)).toContain('after step 6');
    expect(checkpointSteps(folder.checkpointsPath)).toEqual([4, 6]);
  });

  test.each([1, 4, 5, 8])('stopped after step %i and resumed, it is the run that never stopped', async (done) => {
    const { folder: whole } = await first;
    const { folder, goOn } = await run(small, endAfter(done));
    // It wrote more than its checkpoint holds, and the last line is torn.
    appendFileSync(folder.metricsPath, readFileSync(whole.metricsPath, 'utf8').split('\n').at(-2)?.slice(0, 30) ?? '');
    await goOn(lastGoodCheckpoint(folder.checkpointsPath).checkpoint);
    expect(timeless(folder.metricsPath)).toEqual(timeless(whole.metricsPath));
    const [theirs, ours] = [whole, folder].map(({ checkpointsPath }) =>
      readFileSync(checkpointPath(checkpointsPath, 9)),
    );
    expect(Buffer.compare(ours, theirs)).toBe(0);
  });

  test('with little memory it learns the same, and goes on the same', async () => {
    const { error: refused } = await run([...small, '--memory=1kB']);
    const [, least] = /help: --memory (\d+KiB) is enough/.exec(String(refused)) ?? [];
    const within = [...small, `--memory=${least}`];
    const { folder: whole, error } = await run(within);
    expect(error).toBeUndefined();
    const { losses: without } = await first;
    for (const [i, loss] of losses(whole.metricsPath).entries()) expect(loss).toBeCloseTo(without()[i], 5);
    const { folder, goOn } = await run(within, endAfter(4));
    await goOn(lastGoodCheckpoint(folder.checkpointsPath).checkpoint);
    expect(timeless(folder.metricsPath)).toEqual(timeless(whole.metricsPath));
  });

  test('a curriculum that adds points is resumed on either side of the change, from the one checkpoint and from the other', async () => {
    const words = [...small, '--training_curriculum_points_start=4'];
    const whole = await run(words);
    const { folder, goOn } = await run(words, endAfter(4));
    await expect(goOn(lastGoodCheckpoint(folder.checkpointsPath).checkpoint, endAfter(7, 4))).rejects.toThrow(
      /after step 7.*mlbtc resume .* goes on/,
    );
    truncateSync(checkpointPath(folder.checkpointsPath, 7), 1000);
    await goOn(lastGoodCheckpoint(folder.checkpointsPath).checkpoint);
    expect(timeless(folder.metricsPath)).toEqual(timeless(whole.folder.metricsPath));
  });

  test('without a checkpoint it begins again in its folder', async () => {
    const { folder, goOn } = await run(small, endAfter(3));
    await goOn(undefined);
    expect(timeless(folder.metricsPath)).toEqual(timeless((await first).folder.metricsPath));
  });

  test('what was decided about kernels when the run began is decided again, whatever the rules say now', async () => {
    const { folder, goOn, said } = await run(small, endAfter(3));
    const checkpoint = lastGoodCheckpoint(folder.checkpointsPath).checkpoint as Checkpoint;
    const decisions = checkpoint.decisions as Choices;
    const rows = Object.fromEntries(
      Object.entries(decisions.rows).map(([key, row]) => {
        // Another size that still holds whole rows.
        const isHalved = row.workgroupSize / 2 >= row.lanes;
        return [key, { ...row, workgroupSize: isHalved ? row.workgroupSize / 2 : row.workgroupSize * 2 }];
      }),
    );
    expect(Object.keys(rows).length).toBeGreaterThan(0);
    await goOn({ ...checkpoint, decisions: { ...decisions, rows } });
    expect(lastGoodCheckpoint(folder.checkpointsPath).checkpoint?.decisions?.rows).toEqual(rows);
    // They are not those that the checkpoint says ran.
    expect(said()).toMatch(/note: kernel .* from here on the run is not, bit for bit, what it would have been/);
    pinChoices(opened.target, decisions);
  });

  test('ended before its first step it has a checkpoint all the same, and begins there', async () => {
    const { error, folder, goOn } = await run(small, endAfter(0));
    expect(String(error)).toContain('interrupted after step 0');
    const { checkpoint } = lastGoodCheckpoint(folder.checkpointsPath);
    expect(checkpoint?.step).toBe(0);
    await goOn(checkpoint);
    expect(timeless(folder.metricsPath)).toEqual(timeless((await first).folder.metricsPath));
  });

  test('asked for a checkpoint, it writes one and goes on to the same end', async () => {
    let asked = 0;
    const takeCheckpointAsked = () => {
      asked += 1;
      return asked === 7;
    };
    const { error, folder, losses } = await run(small, { ...noSignals, takeCheckpointAsked });
    expect(error).toBeUndefined();
    expect(checkpointSteps(folder.checkpointsPath)).toEqual([8, 9]);
    expect(losses()).toEqual((await first).losses());
  });

  test('a signal that comes while it evaluates is answered at once, and the record is as without it', async () => {
    let isAsked = false;
    const signals = {
      endAsked: () => isAsked,
      takeCheckpointAsked: () => false,
      asked: async () => {
        isAsked = true;
      },
    };
    const { error, folder } = await run(small, signals);
    expect(String(error)).toContain('after step 5');
    expect(checkpointSteps(folder.checkpointsPath)).toEqual([4, 5]);
    const kinds = readMetrics(folder.metricsPath).map(({ kind, step }) => `${kind} ${step}`);
    expect(kinds.filter((text) => text.startsWith('evaluation'))).toEqual(['evaluation 5']);
  });

  test('a run that diverges names the step and the first tensor', async () => {
    const { error } = await run([...small, '--lr=1e20']);
    expect(error).toBeInstanceOf(DivergedError);
    expect(String(error)).toMatch(/diverged at step \d: [\w.~]+ is not finite there/);
  });

  test.each([
    // A logarithm of scores, half of which are negative.
    ['log(z[b, h, t, u])', 1, /attn\.S is not finite/, /attn\.S\[[\d, ]+\] is NaN/, /log\(.*\) is NaN, with/],
    // A kink at 0: the value is 0 there, its derivative is not.
    [
      'pow(z[b, h, t, u] * z[b, h, t, u], 0.25)',
      undefined,
      /the gradient of body\.block\.\d\.attn\.z is not finite/,
      /cot~body\.block\.\d\.attn\.z\[[\d, ]+\] is NaN/,
      /\^\(-0\.75\) is ∞, with/,
    ],
  ] as const)(
    'scores %s: the first tensor, and with --debug_nans its line and what went in',
    async (value, at, named, element, operation) => {
      const structure = join(parent, 'bad.mlbtc');
      const text = near.replace(
        / {2}S\[.*\n/,
        `  z[b, h, t, u] = Q[h, k, i] * x[b, t, i] * K[h, k, j] * x[b, u, j]\n  S[b, h, t, u] = ${value}\n`,
      );
      writeFileSync(structure, at === 1 ? text : text.replace(/Q(.*) ~ normal/, 'Q$1 ~ zeros'));
      const words = [...small.filter((word) => !/^--token_mixing|log_every/.test(word)), '--wandb_log_every_steps=9'];
      const { error, folder } = await run([...words, `--structure=${structure}`, '--debug_nans']);
      expect(error).toBeInstanceOf(DivergedError);
      for (const part of [named, element, operation]) expect(String(error)).toMatch(part);
      expect(String(error)).toContain(`${structure}:8:3: S[b, h, t, u] = ${value}`);
      expect(String(error)).toMatch(/\n {4}\S+\[[\d, ]+\] = -?[\d.e-]+$/);
      if (at !== undefined) expect(String(error)).toContain(`diverged at step ${at}:`);
      // What is written down is finite.
      expect(checkpointSteps(folder.checkpointsPath).length).toBeLessThan(2);
      const short = await run([...words, `--structure=${structure}`]);
      expect(String(short.error)).toContain('; --debug_nans says which values made it so');
    },
  );

  test('looked at kernel by kernel and at every step, it is the same run, bit for bit', async () => {
    const trace = join(parent, 'trace.json');
    const said: string[] = [];
    const looking = look({ verbose: true, trace, profile: true }, (line) => said.push(line));
    const looked = await run([...small, '--debug_nans'], noSignals, looking.profiler(opened));
    looking.end();
    const { folder, losses: curve } = await first;
    expect(looked.losses()).toEqual(curve());
    const [last, other] = [folder, looked.folder].map(({ checkpointsPath }) =>
      readFileSync(checkpointPath(checkpointsPath, 9)),
    );
    expect(other.equals(last)).toBe(true);
    const text = said.join('\n');
    expect(text).toMatch(/^schedule +[\d.]+ ms {2}\d+ kernels of \d+ kinds/m);
    expect(text).toMatch(/^kernels of a step, mean of 3: .* in \d+ dispatches, /m);
    expect(text).toMatch(/^where the time went, of [\d.]+ ms\n( {2}.*%.*\n)+/m);
    const names = JSON.parse(readFileSync(trace, 'utf8')).map(({ name }: { readonly name: string }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['optimise', 'differentiate', 'compile WGSL', 'evaluate', 'write checkpoint']),
    );
    // How it was looked at is not the run's.
    expect(readFileSync(looked.folder.configPath, 'utf8')).not.toMatch(/debug_nans|verbose/);
  });

  test('repeated from its config alone, it is the same run, whatever became of its structure', async () => {
    const structure = join(parent, 'near.mlbtc');
    const words = [...small.filter((word) => !word.startsWith('--token_mixing')), '--steps=3'];
    writeFileSync(structure, near);
    const { folder, losses, error } = await run([...words, `--structure=${structure}`]);
    expect(error).toBeUndefined();
    writeFileSync(structure, near.replace('/ r', '* 50'));
    const config = `--config=${folder.configPath}`;
    const resolved = resolveIcl([config]);
    const score = scoreOf(resolved.options, resolved.sizes, resolved.copies);
    expect(copyNote(resolved, score)).toBe(
      `note: ${structure} has changed since that run; trained is the run's own copy of it, ${score.source.file}`,
    );
    expect((await run([config])).losses()).toEqual(losses());
    expect((await run([config, `--structure=${structure}`])).losses()).not.toEqual(losses());
    const record = JSON.parse(readFileSync(folder.recordPath, 'utf8'));
    expect(record).toMatchObject({ seed: 0, node: process.version, device: { name: opened.name } });
    expect(record.structure).toEqual({ copy: 'structure/near.mlbtc', from: structure });
  });

  test('a folder that holds a run is left alone', async () => {
    const { folder } = await first;
    const resolved = resolveIcl([...small, `--out_dir=${folder.path}`]);
    const again = newTrainingRun('icl', resolved, scoreOf(resolved.options, {}), opened);
    expect(() => createRunFolder(again)).toThrow(/already holds a run/);
  });
});
