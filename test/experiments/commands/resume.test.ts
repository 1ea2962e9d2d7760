/**
 * Runs that end in every way that processes do, and go on: the command line itself, in processes of its own, on the bundled device.
 * `MLBTC_KILLS` is how often the runs are killed, where it should be more than a quick suite has time for.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lastGoodCheckpoint } from '../../../experiments/runs/checkpoint.ts';
import { readMetrics } from '../../../experiments/runs/metrics.ts';
import { summarise } from '../../../experiments/runs/run-summary.ts';
import { readRun } from '../../../experiments/runs/stored-run.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';
import { linesReach, mlbtcPath, start, timeless, trainThroughKills, wait } from '../../support/killed-run.ts';
import { shownScalars } from '../runs/events/read-events.ts';

/** A checkpoint at every step, so that a kill often meets one; evaluations, and a curriculum that changes the shape. */
const icl = [
  ...['train', 'icl', '--n_dims=2', '--d_model=8', '--n_head=2', '--n_layer=1', '--token_mixing_struct=low_rank'],
  ...['--warmup=2', '--training_batch_size=4', '--evaluation_samples_multiplier=1', '--wandb_log_every_steps=2'],
  ...['--training_curriculum_dims_start=1', '--training_curriculum_points_start=2', '--evaluation_interval=5'],
  ...['--training_curriculum_dims_interval=30', '--training_curriculum_points_interval=30'],
  ...['--training_save_every_steps=1', '--min_lr_ratio=0.1', '--steps=60'],
];
/** Two batches a step; the best checkpoint beside the others. */
const lm = [
  ...['train', 'lm', '--d_model=8', '--n_head=2', '--n_layer=1', '--block_size=8', '--batch_size=2', '--max_iters=60'],
  ...[
    '--gradient_accumulation_steps=2',
    '--eval_interval=3',
    '--eval_iters=1',
    '--log_interval=1',
    '--sample_tokens=0',
  ],
  ...['--decay_lr', '--warmup_iters=5'],
];

/** A test after the last step. */
const series = [
  ...[
    'train',
    'series',
    '--d_model=8',
    '--n_head=2',
    '--n_layer=1',
    '--block_size=16',
    '--horizon=4',
    '--batch_size=4',
  ],
  ...['--columns=load', '--eval_iters=1', '--eval_interval=4', '--log_interval=1', '--max_iters=40'],
];

const kills = Number(process.env.MLBTC_KILLS ?? 12);

/** Numbers from 0 to 1, the same every time. */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** By step, as far as TensorBoard's numbers reach. */
const lossesOf = (run: string, kind: 'train' | 'evaluation') =>
  readMetrics(join(run, 'metrics.jsonl')).flatMap((record) =>
    record.kind === kind ? [[record.step, Math.fround(record.loss)]] : [],
  );
const checkpoints = (run: string) => readdirSync(join(run, 'checkpoints')).sort();
const bytesOf = (run: string, name: string) => readFileSync(join(run, 'checkpoints', name));

describe.skipIf(!existsSync(mlbtcPath) || process.platform === 'win32')('a run as processes', () => {
  test.each([
    ['icl', icl, 12],
    ['lm', lm, 20],
    ['series', series, 15],
  ])('%s: killed at any instant and resumed, it is the run that never stopped', (_, words, spacing) =>
    inFolder(async (folder) => {
      const whole = await start(folder, [...words, '--out_dir=whole']).ended;
      expect(whole).toMatchObject({ code: 0 });
      const random = numbersFrom(7);
      let left = Math.ceil(kills / 3);
      for (let round = 0; left > 0; round += 1) {
        const place = join(folder, `round-${round}`);
        mkdirSync(place);
        const found = await trainThroughKills(place, words, { kills: Math.min(left, 8), spacing, random });
        left -= Math.max(1, found.length);
        // Whatever can be seen is whole.
        expect(found.flatMap(({ refused }) => refused)).toEqual([]);
        const [theirs, ours] = [join(folder, 'whole'), join(place, 'run')];
        expect(timeless(join(ours, 'metrics.jsonl'))).toEqual(timeless(join(theirs, 'metrics.jsonl')));
        expect(checkpoints(ours)).toEqual(checkpoints(theirs));
        for (const name of checkpoints(theirs)) expect(bytesOf(ours, name).equals(bytesOf(theirs, name))).toBe(true);
        for (const kind of ['train', 'evaluation'] as const) {
          expect(shownScalars(ours, `${kind}/loss`)).toEqual(lossesOf(ours, kind));
        }
        if (process.env.MLBTC_KILLS) console.log(`killed at ${found.map(({ lines }) => lines).join(', ')} lines`);
      }
    }),
  );

  test('one writer at a time; a dead one keeps nothing; Ctrl-C, and once more; a damaged checkpoint is passed over', () =>
    inFolder(async (folder) => {
      const [run, metrics] = [join(folder, 'run'), join(folder, 'run/metrics.jsonl')];
      const lines = () => readMetrics(metrics).length;
      // More than it will do here, and few enough that it ends by itself where this test is killed.
      const first = start(folder, [...icl, '--steps=10000', '--out_dir=run']);
      await linesReach(metrics, 4, first.child);
      const second = await start(folder, ['resume', 'run']).ended;
      expect(second.code, second.said).toBe(1);
      expect(second.said).toContain(`error: run is in use: process ${first.child.pid} is training there since `);
      const state = () => summarise(readRun(run)).state;
      expect(state()).toBe('running');
      first.child.kill('SIGKILL');
      await first.ended;
      expect(state()).toBe('interrupted');
      expect(existsSync(join(run, 'lock'))).toBe(true);

      const resumed = start(folder, ['resume', 'run']);
      await linesReach(metrics, lines() + 2, resumed.child);
      resumed.child.kill('SIGTERM');
      const ended = await resumed.ended;
      expect(ended.code, ended.said).toBe(130);
      expect(ended.said).toMatch(/interrupted after step \d+; .*`mlbtc resume run` goes on/);
      expect(existsSync(join(run, 'lock'))).toBe(false);
      const [before, last] = checkpoints(run);
      expect(ended.said).toContain(`after step ${Number(/\d+/.exec(last))};`);

      const bytes = bytesOf(run, last);
      bytes[bytes.length - 100] ^= 4;
      writeFileSync(join(run, 'checkpoints', last), bytes);
      const passing = start(folder, ['resume', 'run']);
      await linesReach(metrics, lines() + 2, passing.child);
      passing.child.kill('SIGINT');
      await wait(10);
      passing.child.kill('SIGINT');
      const { code, signal, said } = await passing.ended;
      expect(signal ?? code, said).toBeOneOf([130, 'SIGINT']);
      expect(said).toContain(
        `warning: run/checkpoints/${last} is not used: not a valid safetensors file: its content is not what was written`,
      );
      expect(said).toContain(`going on after step ${Number(/\d+/.exec(before))}, from run/checkpoints/${before}`);
      expect(lastGoodCheckpoint(join(run, 'checkpoints')).refused).toEqual([]);
      expect(checkpoints(run).filter((name) => name.endsWith('.tmp'))).toEqual([]);

      for (const words of [
        ['resume', 'run', '--d_model=16'],
        [...icl, '--d_model=16', '--training_resume_id=run'],
      ]) {
        const other = await start(folder, words).ended;
        expect(other.code, other.said).toBe(1);
        expect(other.said).toContain('error: run was begun with other options: d_model is 8 there and 16 here\n');
      }
      const anew = await start(folder, [...icl, '--out_dir=run']).ended;
      expect(anew.said).toContain(
        'error: run already holds a run of these options\n  help: `mlbtc resume run` goes on with it',
      );
    }));

  test('a dry run says what a step of the run is, and trains nothing', () =>
    inFolder(async (folder) => {
      writeFiles(join(folder, 'run'), {
        'config.yaml': 'n_dims: 3\nd_model: 8\nn_head: 2\nn_layer: 1\ntoken_mixing_struct: low_rank\n',
        'run.json': '{"command": ["mlbtc", "train", "icl"]}',
      });
      const told = await start(folder, ['train', 'icl', '--config=run/config.yaml', '--dry_run', '--json']).ended;
      expect(JSON.parse(told.said).dispatches).toBeGreaterThan(1);
      for (const words of [
        ['resume', 'run'],
        ['train', 'icl', '--training_resume_id=run'],
      ]) {
        expect(await start(folder, [...words, '--dry_run', '--json']).ended).toEqual(told);
      }
      expect(readdirSync(join(folder, 'run')).sort()).toEqual(['config.yaml', 'run.json']);
    }));

  test('a run that was only evaluated says how it is trained', () =>
    inFolder(async (folder) => {
      expect(await start(folder, [...lm, '--eval_only', '--out_dir=run']).ended).toMatchObject({ code: 0 });
      const { code, said } = await start(folder, ['resume', 'run', '--steps=80']).ended;
      expect(code).toBe(0);
      expect(said).toContain(
        '`mlbtc train lm --config run/config.yaml --eval_only=False` trains it from the beginning',
      );
    }));

  test('a finished run says so, and trains on: as if it had been longer from the beginning', () =>
    inFolder(async (folder) => {
      const metrics = join(folder, 'run/metrics.jsonl');
      const short = [
        ...icl,
        '--steps=12',
        '--training_curriculum_dims_interval=5',
        '--training_curriculum_points_interval=5',
      ];
      expect(await start(folder, [...short, '--out_dir=run']).ended).toMatchObject({ code: 0 });
      const text = readFileSync(metrics, 'utf8');
      for (const words of [
        ['resume', 'run'],
        [...short, '--out_dir=.', '--training_resume_id=run'],
      ]) {
        const again = await start(folder, words).ended;
        expect(again).toMatchObject({ code: 0 });
        expect(again.said).toMatch(/^\S*run is finished: 12 of 12 steps, held-out loss .*\n.*--steps 24` trains on/);
        expect(readFileSync(metrics, 'utf8')).toBe(text);
      }
      const fewer = await start(folder, ['resume', 'run', '--steps=11']).ended;
      expect(fewer).toMatchObject({ code: 2 });
      const longer = await start(folder, ['resume', 'run', '--steps=20']).ended;
      expect(longer).toMatchObject({ code: 0 });
      expect(longer.said).toContain('note: 20 steps in place of 12: the schedule goes on as it began');
      const again = await start(folder, ['train', 'icl', '--config=run/config.yaml', '--out_dir=again']).ended;
      expect(again).toMatchObject({ code: 0 });
      expect(timeless(metrics)).toEqual(timeless(join(folder, 'again/metrics.jsonl')));
      const rates = readMetrics(metrics).flatMap((record) => (record.kind === 'train' ? record.lr : []));
      expect(rates.slice(-4)).toEqual(new Array(4).fill(0.1 * 3e-4));
      expect(JSON.parse(readFileSync(join(folder, 'run/run.json'), 'utf8')).resumed).toMatchObject([{ step: 12 }]);
    }));

  test.skipIf(process.getuid?.() !== 0)('a folder that cannot be written is refused, and named', () =>
    inFolder(async (folder) => {
      chmodSync(folder, 0o755);
      expect(await start(folder, [...icl, '--steps=2', '--out_dir=run']).ended).toMatchObject({ code: 0 });
      const nobody = 65534;
      const { code, said } = await start(folder, ['resume', 'run', '--steps=4'], { uid: nobody }).ended;
      expect(code).toBe(1);
      expect(said).toBe('error: run: permission denied (EACCES)\n');
    }),
  );
});
