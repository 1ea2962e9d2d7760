/** A run from its options: `mlbtc train NAME OPTIONS`. Options may also ask to go on with a run that there is, as the reference's do. */
import { existsSync } from 'node:fs';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { FolderLock } from '../../compiler/command-line/folder-lock.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import { givenOptions } from '../options/parse.ts';
import type { OptionTable } from '../options/table.ts';
import {
  createRunFolder,
  discardUnstarted,
  freeFolder,
  type NewRun,
  removeIfEmpty,
  runFolder,
} from '../runs/folder.ts';
import type { EvaluationRecord, TrainRecord } from '../runs/metrics.ts';
import { differencesText, optionDifferences } from '../runs/resumed-options.ts';
import { lockRun } from '../runs/run-lock.ts';
import { copyNote, newTrainingRun, type ResolvedTraining } from '../runs/training-run.ts';
import type { CompiledTask, Phase } from '../training/task.ts';
import { answer } from './dry-kind.ts';
import { resumeRun } from './resume-run.ts';
import type { TrainingKind } from './training-kind.ts';
import { type Claim, trainInSession } from './training-session.ts';

export async function trainNew<
  Table extends OptionTable,
  R extends ResolvedTraining,
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
>(kind: TrainingKind<Table, R, P, C, T, E>, words: readonly string[]): Promise<void> {
  const toResume = runToResume(kind, words);
  if (toResume !== undefined) return resumeRun(kind, toResume, words);
  const resolved = answer(kind, words);
  if (resolved === undefined) return;
  refuseOccupied(kind, resolved);
  await trainInSession({
    begin: () => kind.begin(resolved),
    notes: ({ score }) => [...resolved.notes, copyNote(resolved, score)],
    options: resolved.options,
    claim: (opened, { score, record }) => newRun(newTrainingRun(kind.set.name, resolved, score, opened, words, record)),
  });
}

/** Undefined where a run is to begin, or where only help is asked for. */
function runToResume<Table extends OptionTable>(
  { set, resuming }: Pick<TrainingKind<Table, ResolvedTraining, Phase, never, never, never>, 'set' | 'resuming'>,
  words: readonly string[],
): string | undefined {
  if (words.includes('--help') || words.includes('-h')) return undefined;
  return resuming.runOf(givenOptions(set, words).values);
}

/** Throws UserError where `--out_dir` holds a run already, with what to do and in what it differs. */
function refuseOccupied<Table extends OptionTable, R extends ResolvedTraining>(
  kind: Pick<TrainingKind<Table, R, Phase, never, never, never>, 'set' | 'resuming' | 'resolve'>,
  asked: R,
): void {
  const path = asked.options.out_dir;
  if (path === null) return;
  const { configPath } = runFolder(path);
  if (!existsSync(configPath)) return;
  const differences = optionDifferences(kind, kind.resolve([`--config=${configPath}`]), asked);
  const found =
    differences.length === 0
      ? `of these options\n  help: \`mlbtc resume ${path}\` goes on with it`
      : `of other options: ${differencesText(differences)}\n  help: \`mlbtc resume ${path}\` goes on with that one`;
  throw new UserError(`${path} already holds a run ${found}; a new run needs another --out_dir`);
}

/** Claims the folder before anything is written there. */
function newRun(run: NewRun): Claim {
  const path = run.path ?? freeFolder(run.name);
  makeFolder(path);
  let lock: FolderLock | undefined;
  try {
    lock = lockRun(path);
    // A process that was killed while it made the folder has left a part of it.
    const folder = runFolder(path);
    if (lock.wasLeft && !existsSync(folder.configPath)) discardUnstarted(folder);
    return { folder: createRunFolder({ ...run, path }), lock, from: undefined, isNew: true, notes: [] };
  } catch (error) {
    lock?.release();
    removeIfEmpty(path);
    throw error;
  }
}
