/**
 * A run that has stopped, however it did, goes on from its last whole checkpoint: `mlbtc resume RUN`. What it wrote after that is cut,
 * and written again.
 *
 * The trap: nothing of the folder may change before it is claimed, nor before all that can be refused has been looked at.
 */
import { existsSync } from 'node:fs';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { OptionTable } from '../options/table.ts';
import { type Checkpoint, type FoundCheckpoint, lastGoodCheckpoint, setAside } from '../runs/checkpoint.ts';
import { changeConfig, existingRun, type RunFolder, removeHalfWritten } from '../runs/folder.ts';
import { type EvaluationRecord, readMetrics, type TrainRecord } from '../runs/metrics.ts';
import { noteOutcome, readOutcome } from '../runs/outcome.ts';
import { changedFact, noteResumption } from '../runs/provenance.ts';
import { resumedOptions } from '../runs/resumed-options.ts';
import { lockRun } from '../runs/run-lock.ts';
import type { ResolvedTraining } from '../runs/training-run.ts';
import { short } from '../training/progress.ts';
import type { CompiledTask, Phase } from '../training/task.ts';
import { tellStep } from './dry-kind.ts';
import type { BegunTraining, TrainingKind } from './training-kind.ts';
import { trainInSession } from './training-session.ts';

/** `words` are options as of `mlbtc train`. */
export async function resumeRun<
  Table extends OptionTable,
  R extends ResolvedTraining,
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
>(kind: TrainingKind<Table, R, P, C, T, E>, path: string, words: readonly string[]): Promise<void> {
  const folder = existingRun(path, `mlbtc train ${kind.set.name}`);
  const { resolved, changes, note } = resumedOptions(kind, folder, words);
  if (resolved.options.dry_run) return tellStep(kind, resolved);
  const lock = lockRun(path);
  try {
    const begun = kind.begin(resolved);
    const fact = changedFact(folder.recordPath, begun.record);
    if (fact !== undefined) throw new UserError(`${path} cannot go on: ${fact}`);
    const found = lastGoodCheckpoint(folder.checkpointsPath);
    const { checkpoint } = found;
    refuseWithoutWhole(found, path);
    const end = checkpoint?.step === begun.steps ? finalEvaluation(folder, begun) : undefined;
    if (end !== undefined) {
      noteOutcome(folder);
      process.stdout.write(
        finishedText(path, begun.steps, end, trainingOn(kind, folder, resolved.options, begun.steps)),
      );
      return;
    }
    await trainInSession({
      begin: () => begun,
      notes: () => [note, ...divergedNotes(folder)],
      options: resolved.options,
      claim: (opened) => {
        const notes = [
          ...clearAway(found, folder),
          noteResumption(folder.recordPath, opened, checkpoint?.step ?? 0, words),
        ];
        if (Object.keys(changes).length > 0) changeConfig(folder, changes);
        const where = checkpoint === undefined ? 'no checkpoint yet: beginning again' : fromText(checkpoint);
        return { folder, lock, from: checkpoint, isNew: false, notes: [...notes, where] };
      },
    });
  } finally {
    lock.release();
  }
}

function fromText({ step, path }: Checkpoint): string {
  return `going on after step ${step}, from ${path}`;
}

/** Throws UserError where there are checkpoints and none is whole: beginning again is for a person to decide. */
function refuseWithoutWhole({ checkpoint, refused }: FoundCheckpoint, path: string): void {
  if (checkpoint !== undefined || refused.length === 0) return;
  const reasons = refused.map((one) => `  ${one.path}: ${one.reason}\n`).join('');
  throw new UserError(
    `${path} has no whole checkpoint:\n${reasons}  help: move them away to begin again from the first step`,
  );
}

function clearAway({ refused }: FoundCheckpoint, folder: RunFolder): readonly string[] {
  removeHalfWritten(folder);
  return refused.map(({ path, reason }) => `warning: ${path} is not used: ${reason}; it is now ${setAside(path)}`);
}

/** Undefined where something is still to be written. */
function finalEvaluation(
  { metricsPath }: RunFolder,
  { steps, lastRecord }: Pick<BegunTraining<Phase, never, never, never>, 'steps' | 'lastRecord'>,
): EvaluationRecord | undefined {
  const records = existsSync(metricsPath) ? readMetrics(metricsPath) : [];
  if (records.at(-1)?.kind !== lastRecord) return undefined;
  return records.find((record): record is EvaluationRecord => record.kind === 'evaluation' && record.step === steps);
}

function finishedText(path: string, steps: number, { loss }: EvaluationRecord, trainingOn: string): string {
  return (
    `${path} is finished: ${steps} of ${steps} steps, held-out loss ${short(loss)}\n` +
    `  ${trainingOn}, \`mlbtc plot ${path}\` draws its plots\n`
  );
}

/** The command that trains a finished run for longer, or one that was to be short in its whole length. */
function trainingOn<Table extends OptionTable>(
  { set, resuming }: Pick<TrainingKind<Table, ResolvedTraining, Phase, never, never, never>, 'set' | 'resuming'>,
  { path, configPath }: RunFolder,
  options: object,
  steps: number,
): string {
  const { shortRun } = resuming;
  const isShort = shortRun !== undefined && (options as Readonly<Record<string, unknown>>)[shortRun] === true;
  return isShort
    ? `\`mlbtc train ${set.name} --config ${configPath} --${shortRun}=False\` trains it from the beginning`
    : `\`mlbtc resume ${path} --steps ${2 * steps}\` trains on`;
}

/** Nothing has changed since, so that what led there comes again. */
function divergedNotes(folder: RunFolder): readonly string[] {
  const outcome = readOutcome(folder);
  return outcome?.outcome === 'diverged' ? [`note: this run has diverged, and will again: ${outcome.message}`] : [];
}
