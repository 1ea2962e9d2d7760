/** The runs below a folder, each in a few figures and in what sets it apart; a folder that cannot be read says why. */
import { statSync } from 'node:fs';
import { relative } from 'node:path';
import { describeError, systemError } from '../../compiler/command-line/errors.ts';
import type { TaskName } from '../options/set.ts';
import { differingOptions } from './differing-options.ts';
import { findRuns } from './find-runs.ts';
import { type RunSummary, summarise } from './run-summary.ts';
import { readRun, type StoredRun } from './stored-run.ts';

export interface ListedRun extends RunSummary {
  /** From the folder that was asked for; `.` for itself. */
  readonly name: string;
  readonly task: TaskName;
  /** The options in which it differs from the others of its kind. */
  readonly differs: Readonly<Record<string, string>>;
}

export interface DamagedRun {
  readonly name: string;
  readonly state: 'damaged';
  readonly message: string;
}

/** Throws what the file system says where the folder is none. */
export function listRuns(folder: string): readonly (ListedRun | DamagedRun)[] {
  if (!statSync(folder).isDirectory()) throw systemError('ENOTDIR', 'scandir', folder);
  const found = findRuns(folder).map((path) => ({ name: relative(folder, path) || '.', read: attempt(path) }));
  const whole = found.flatMap(({ read }) => (typeof read === 'string' ? [] : [read.run]));
  const differences = differingOptions(whole);
  return found.map(({ name, read }) => {
    if (typeof read === 'string') return { name, state: 'damaged', message: read };
    const { run, summary } = read;
    return { name, task: run.task, ...summary, differs: differences[whole.indexOf(run)] };
  });
}

/** What is wrong where it cannot be read. */
function attempt(path: string): { readonly run: StoredRun; readonly summary: RunSummary } | string {
  try {
    const run = readRun(path);
    return { run, summary: summarise(run) };
  } catch (error) {
    return describeError(error).message.replace(/^error: /, '');
  }
}
