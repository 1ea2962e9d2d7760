/** What the log makes of what it reads: a loss beyond all reason ends a run as one that is not finite does; and in which order. */
import { expect, test } from 'vitest';
import type { MetricsRecord, TrainRecord } from '../../../experiments/runs/metrics.ts';
import { createLog, DivergedAt } from '../../../experiments/training/log.ts';
import type { ProgressState } from '../../../experiments/training/progress.ts';
import type { CompiledTask } from '../../../experiments/training/task.ts';

const phase = { step: 0 };

interface LogBegin {
  readonly begin: number;
  readonly before: readonly MetricsRecord[];
}

function newLog(append: (record: MetricsRecord) => void, resumed: Partial<LogBegin> = {}) {
  return createLog<typeof phase, CompiledTask<typeof phase>, TrainRecord>(
    { record: (facts) => facts as TrainRecord, shown: (record) => record as unknown as ProgressState },
    { record: { append }, progress: { update: () => undefined }, ...resumed },
  );
}

const readingOf = (loss: number) =>
  new Map([
    ['loss', [loss]],
    ['diverged', [0]],
  ]);

/** A log whose task keeps nothing of its own, told these losses one after the other. */
async function failureOf(losses: readonly number[], resumed: Partial<LogBegin> = {}): Promise<unknown> {
  const log = newLog(() => undefined, resumed);
  for (const [step, loss] of losses.entries()) log.ask(Promise.resolve(readingOf(loss)), phase, step);
  return log.finish().catch((error: unknown) => error);
}

test('a finite loss of a million times the first is a divergence, at its step and with both losses', async () => {
  const failure = (await failureOf([0.5, 0.6, 4e5, 6e5])) as DivergedAt;
  expect(failure).toBeInstanceOf(DivergedAt);
  expect(failure.step).toBe(3);
  expect(failure.reason).toBe('the loss, 6.00e+5, is more than a million times the first, 0.500');
});

test('a large loss that began large is none, nor one that grows from 0', async () => {
  expect(await failureOf([1e30, 2e30, 0.1, 9e35])).toBeUndefined();
  expect(await failureOf([0, 3])).toBeUndefined();
});

test('a loss that is the same to the last bit in three readings is told beside it, from the step where it began', async () => {
  const details: string[] = [];
  const log = createLog<typeof phase, CompiledTask<typeof phase>, TrainRecord>(
    {
      record: (facts) => facts as TrainRecord,
      shown: (record) => ({ ...record, detail: 'tokens' }) as unknown as ProgressState,
    },
    { record: { append: () => undefined }, progress: { update: ({ detail }) => details.push(detail) } },
  );
  for (const [step, loss] of [2, 3, 3, 3, 3, 2].entries()) log.ask(Promise.resolve(readingOf(loss)), phase, step);
  await log.finish();
  const told = 'tokens · unchanged since step 2';
  expect(details).toEqual(['tokens', 'tokens', 'tokens', told, told, 'tokens']);
});

test('a record of another kind does not overtake the steps before it, however late they are read', async () => {
  const written: string[] = [];
  const log = newLog(({ kind, step }) => written.push(`${kind ?? 'step'} ${step}`));
  let arrive: (reading: Map<string, number[]>) => void = () => undefined;
  const late = new Promise<Map<string, number[]>>((resolve) => {
    arrive = resolve;
  });
  log.ask(late, phase, 0);
  log.append({ kind: 'stage', step: 1, dims: 1, points: 1, baselines: {} });
  log.ask(Promise.resolve(readingOf(1)), phase, 1);
  arrive(readingOf(1));
  await log.finish();
  expect(written).toEqual(['step 1', 'stage 1', 'step 2']);
});

test('after a failure nothing more is written', async () => {
  const written: number[] = [];
  const log = newLog(({ step }) => written.push(step));
  for (const [step, loss] of [1, 1e7, 1].entries()) log.ask(Promise.resolve(readingOf(loss)), phase, step);
  log.append({ kind: 'stage', step: 3, dims: 1, points: 1, baselines: {} });
  await expect(log.finish()).rejects.toThrow('diverged at step 1');
  expect(written).toEqual([1]);
});

test('a run that goes on holds its losses to the first that it ever had, and its time to what it took', async () => {
  const line = { kind: 'train', loss: 0.5, lr: 1, stepsPerSecond: 1, pointwise: [], dims: 1, points: 1 } as const;
  const before = [1, 2].map((step) => ({ ...line, pointwise: [], step, timeS: 100 * step, loss: step / 2 }));
  expect(await failureOf([6e5], { begin: 2, before })).toBeInstanceOf(DivergedAt);
  const times: number[] = [];
  const log = newLog((record) => times.push((record as TrainRecord).timeS), { begin: 2, before });
  log.ask(Promise.resolve(readingOf(1)), phase, 2);
  await log.finish();
  expect(times[0]).toBeGreaterThan(200);
  expect(times[0]).toBeLessThan(260);
});
