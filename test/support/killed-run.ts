/** A training in processes of its own that are killed without a word, each at another instant, and resumed until it is finished. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastGoodCheckpoint, type RefusedCheckpoint } from '../../experiments/runs/checkpoint.ts';
import { type MetricsRecord, readMetrics } from '../../experiments/runs/metrics.ts';

export const mlbtcPath = new URL('../../dist/experiments/mlbtc.js', import.meta.url).pathname;

/** One process of `mlbtc`, with what it says. */
export function start(cwd: string, words: readonly string[], options: { readonly uid?: number } = {}) {
  const child = spawn(process.execPath, [mlbtcPath, ...words], { cwd, ...options });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text: Buffer) => {
      said += text;
    });
  }
  // Its output too has ended.
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, signal: child.signalCode, said }));
  return { child, ended };
}

export const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits until there are so many lines of metrics, or the process has ended. */
export async function linesReach(path: string, count: number, child: ChildProcess): Promise<void> {
  const lines = () => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0);
  while (child.exitCode === null && child.signalCode === null && lines() < count) await wait(3);
}

export interface Kill {
  /** Lines of metrics that were there. */
  readonly lines: number;
  readonly refused: readonly RefusedCheckpoint[];
}

/**
 * Trains with `words` below `folder`, in `run`, killed `kills` times: sooner or later after the process begins or after some step, and
 * whatever it is about to do then. `random` gives numbers from 0 to 1.
 */
export async function trainThroughKills(
  folder: string,
  words: readonly string[],
  { kills, spacing, random }: { readonly kills: number; readonly spacing: number; readonly random: () => number },
): Promise<readonly Kill[]> {
  const run = join(folder, 'run');
  const metrics = join(run, 'metrics.jsonl');
  const found: Kill[] = [];
  for (;;) {
    const hasBegun = existsSync(join(run, 'config.yaml'));
    const { child, ended } = start(folder, hasBegun ? ['resume', 'run'] : [...words, '--out_dir=run']);
    if (found.length < kills) {
      const isEarly = random() < 0.25;
      const before = existsSync(metrics) ? readMetrics(metrics).length : 0;
      if (!isEarly) await linesReach(metrics, before + 1 + Math.floor(spacing * random()), child);
      await wait((isEarly ? 2500 : 25) * random());
      child.kill('SIGKILL');
    }
    const { code, signal, said } = await ended;
    if (signal === 'SIGKILL') {
      const checkpoints = join(run, 'checkpoints');
      found.push({
        lines: existsSync(metrics) ? readMetrics(metrics).length : 0,
        refused: existsSync(checkpoints) ? lastGoodCheckpoint(checkpoints).refused : [],
      });
    } else if (code !== 0) throw new Error(`exit ${code}: ${said}`);
    else return found;
  }
}

/** A run's record but for times and speeds. */
export function timeless(metricsPath: string): readonly MetricsRecord[] {
  const apart = { timeS: 0, stepsPerSecond: 0, tokensPerSecond: 0, flopsPerSecond: 0 };
  return readMetrics(metricsPath).map((record) => ({ ...record, ...apart }));
}
