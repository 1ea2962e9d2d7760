/**
 * `outcome.json`: how a run's training ended, written when it does and taken away when it goes on. Where there is none, the run is going
 * on or was killed.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { z } from 'zod';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { DivergedError, describeError, InterruptedError } from '../../compiler/command-line/errors.ts';
import type { RunFolder } from './folder.ts';

const outcomeSchema = z.object({
  outcome: z.enum(['finished', 'interrupted', 'diverged', 'failed']),
  /** What was said. */
  message: z.string(),
  at: z.string(),
});
export type Outcome = z.infer<typeof outcomeSchema>;

type Place = Pick<RunFolder, 'outcomePath' | 'metricsPath'>;

/**
 * `error` is what ended it; without one it is finished. Nothing is written of a run that never began, nor after an outcome: what goes
 * wrong after the last step is no end of training.
 */
export function noteOutcome({ outcomePath, metricsPath }: Place, error?: unknown): void {
  if (!existsSync(metricsPath) || existsSync(outcomePath)) return;
  const message = error === undefined ? '' : describeError(error).message;
  const outcome: Outcome = { outcome: outcomeOf(error), message, at: new Date().toISOString() };
  try {
    writeFileAtomically(outcomePath, [`${JSON.stringify(outcome)}\n`]);
  } catch (problem) {
    // A disk that is full has ended the training already, and that is what should be heard.
    if (error === undefined) throw problem;
  }
}

function outcomeOf(error: unknown): Outcome['outcome'] {
  if (error === undefined) return 'finished';
  if (error instanceof InterruptedError) return 'interrupted';
  return error instanceof DivergedError ? 'diverged' : 'failed';
}

export function forgetOutcome({ outcomePath }: Pick<RunFolder, 'outcomePath'>): void {
  rmSync(outcomePath, { force: true });
}

/** Undefined where there is none, or none that can be read. */
export function readOutcome({ outcomePath }: Pick<RunFolder, 'outcomePath'>): Outcome | undefined {
  try {
    return outcomeSchema.parse(JSON.parse(readFileSync(outcomePath, 'utf8')));
  } catch {
    return undefined;
  }
}
