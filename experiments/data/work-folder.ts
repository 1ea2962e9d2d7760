/**
 * Where a preparation works until it is complete: the folder `OUT.partial` beside the output, which becomes the output by one rename.
 * Its `state.json` says how far the inputs were read and how much of each part was on the disk by then; who goes on cuts the
 * parts to that length. So it does not matter at which instant a preparation is killed.
 *
 * The trap: nothing may be removed there that somebody else put there; and two at once would write into each other's files.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { UserError } from '../../compiler/command-line/errors.ts';
import { type FolderLock, lockFolder } from '../../compiler/command-line/folder-lock.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import { metaName, requestOf, splitFiles } from './meta.ts';
import { workFolder } from './open.ts';

const count = z.number().int().min(0);
const stateSchema = z.object({
  request: z.string(),
  /** The file that is read, and rows of it that are done. */
  file: count,
  row: count,
  read: count,
  kept: count,
  heldOut: count,
  dropped: count,
  empty: count,
  bad: count,
  /** What was the first of its kind, and where. */
  firstDropped: z.string().optional(),
  firstBad: z.string().optional(),
  /** Of the parts. */
  trainBytes: count,
  valBytes: count,
  /** Whether the end of the text is in a held-out file of its own. */
  isCut: z.boolean(),
});

export type PrepareState = z.infer<typeof stateSchema>;

export function newState(request: string): PrepareState {
  const counts = { read: 0, kept: 0, heldOut: 0, dropped: 0, empty: 0, bad: 0 };
  return { request, file: 0, row: 0, ...counts, trainBytes: 0, valBytes: 0, isCut: false };
}

export interface WorkFolder {
  readonly path: string;
  readonly trainPath: string;
  /** Of documents that chance holds out. */
  readonly valPath: string;
  /** Of the end of the text, where that is held out. */
  readonly cutPath: string;
  readonly metaPath: string;
  readonly writeState: (state: PrepareState) => void;
  /** Nobody works here any more. */
  readonly leave: () => void;
  readonly remove: () => void;
}

const stateName = 'state.json';
const lockName = 'lock';
const cutName = 'held-out.bin';
const ownNames: readonly string[] = [splitFiles.train, splitFiles.val, cutName, metaName, stateName, lockName];

/**
 * The folder, locked, and the state to go on from. Throws UserError where another process works there, or where it holds something
 * else; system errors.
 */
export function enterWorkFolder(
  out: string,
  request: string,
): { readonly work: WorkFolder; readonly state: PrepareState; readonly begun: 'new' | 'anew' | 'on' | 'complete' } {
  const path = workFolder(out);
  makeFolder(path);
  const alien = readdirSync(path).find((name) => !isOwn(name));
  if (alien !== undefined) {
    throw new UserError(`${path} is needed to work in, and holds ${alien}; move that away or choose another --out`);
  }
  const lock = lockFolder(path, { doing: 'preparing data', help: 'choose another --out' });
  const work = workIn(path, lock);
  if (existsSync(work.metaPath) && requestOf(readFileSync(work.metaPath, 'utf8')) === request) {
    return { work, state: newState(request), begun: 'complete' };
  }
  const state = readState(work, join(path, stateName));
  if (state?.request === request) return { work, state, begun: 'on' };
  const wasBegun = existsSync(join(path, stateName));
  for (const name of readdirSync(path)) if (name !== lockName) rmSync(join(path, name));
  return { work, state: newState(request), begun: wasBegun ? 'anew' : 'new' };
}

function isOwn(name: string): boolean {
  return ownNames.includes(name) || (name.startsWith('.') && name.endsWith('.tmp'));
}

function workIn(path: string, lock: FolderLock): WorkFolder {
  return {
    path,
    trainPath: join(path, splitFiles.train),
    valPath: join(path, splitFiles.val),
    cutPath: join(path, cutName),
    metaPath: join(path, metaName),
    writeState: (state) => writeFileAtomically(join(path, stateName), [`${JSON.stringify(state)}\n`]),
    leave: lock.release,
    remove: () => {
      lock.release();
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Undefined where there is none, or it says more than the parts hold. */
function readState({ trainPath, valPath, cutPath }: WorkFolder, path: string): PrepareState | undefined {
  try {
    const state = stateSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    const val = state.isCut ? cutPath : valPath;
    return statSync(trainPath).size >= state.trainBytes && statSync(val).size >= state.valBytes ? state : undefined;
  } catch {
    return undefined;
  }
}

/** Makes the output of a work folder whose parts and meta file are complete; however often it is begun. */
export function completeOutput(work: WorkFolder, out: string): void {
  if (existsSync(work.cutPath)) renameSync(work.cutPath, work.valPath);
  const whole: readonly string[] = [splitFiles.train, splitFiles.val, metaName];
  for (const name of readdirSync(work.path)) if (!whole.includes(name)) rmSync(join(work.path, name));
  if (existsSync(out)) rmdirSync(out);
  makeFolder(dirname(out));
  renameSync(work.path, out);
}
