/** What the log makes of what it reads: a loss beyond all reason ends a run as one that is not finite does. */
import { expect, test } from 'vitest';
import type { TrainRecord } from '../../../experiments/runs/metrics.ts';
import { createLog, DivergedAt } from '../../../experiments/training/log.ts';
import type { ProgressState } from '../../../experiments/training/progress.ts';
import type { CompiledTask } from '../../../experiments/training/task.ts';

const phase = { step: 0 };

/** A log whose task keeps nothing of its own, told these losses one after the other. */
async function failureOf(losses: readonly number[]): Promise<unknown> {
  const log = createLog<typeof phase, CompiledTask<typeof phase>, TrainRecord>(
    { record: (facts) => facts as TrainRecord, shown: (record) => record as unknown as ProgressState },
    { record: { append: () => undefined }, progress: { update: () => undefined } },
  );
  for (const [step, loss] of losses.entries()) {
    const reading = new Map([
      ['loss', [loss]],
      ['diverged', [0]],
    ]);
    log.ask(Promise.resolve(reading), phase, step);
  }
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
