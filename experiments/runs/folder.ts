/**
 * A run's folder, whatever is trained: `config.yaml`, `run.json`, `structure/`, `metrics.jsonl`, `checkpoints/`, `plots/`. Who
 * trains writes here, who plots reads here. It holds all that repeating the run takes, so it can be moved, and the files that it
 * was made from can change.
 *
 * The trap: a folder that already holds a run is never written over; a new run gets a new folder.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { UserError } from '../../compiler/command-line/errors.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import type { SizeValue } from '../options/mixers.ts';
import type { TaskName } from '../options/set.ts';
import { changedConfig, configText } from './config-text.ts';
import { eventFileNames } from './events/event-file.ts';

export interface RunFolder {
  readonly path: string;
  /** Every option, and the sizes given by `-s`. */
  readonly configPath: string;
  /** What the run was made with (provenance.ts). */
  readonly recordPath: string;
  /** The structure that is trained, with all that it imports (structure-copy.ts). */
  readonly structurePath: string;
  readonly metricsPath: string;
  /** How training ended (outcome.ts). */
  readonly outcomePath: string;
  readonly checkpointsPath: string;
  readonly plotsPath: string;
}

/** Of a run's folder, and in a config the folder of a structure that is its own copy. */
const structureFolder = 'structure';

export function runFolder(path: string): RunFolder {
  return {
    path,
    configPath: join(path, 'config.yaml'),
    recordPath: join(path, 'run.json'),
    structurePath: join(path, structureFolder),
    metricsPath: join(path, 'metrics.jsonl'),
    outcomePath: join(path, 'outcome.json'),
    checkpointsPath: join(path, 'checkpoints'),
    plotsPath: join(path, 'plots'),
  };
}

/** The folder of a run that there is; `maker` is the command that makes one. Throws UserError where there is none. */
export function existingRun(path: string, maker: string): RunFolder {
  const folder = runFolder(path);
  if (existsSync(folder.configPath)) return folder;
  throw new UserError(
    `${path === '' ? "''" : path} holds no run: there is no ${folder.configPath}; give the folder that \`${maker}\` has made`,
  );
}

export interface NewRun {
  readonly task: TaskName;
  /** `--out_dir`; without it a new folder below `runs/` that is called `name`. */
  readonly path: string | null;
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly sizes: Readonly<Record<string, SizeValue>>;
  /** Who gave them (options/layers.ts). */
  readonly origins: Readonly<Record<string, string>>;
  /** Texts of the structure's copy by file name. */
  readonly structure: ReadonlyMap<string, string>;
  /** Content of `run.json`. */
  readonly provenance: Readonly<Record<string, unknown>>;
}

/** Makes the folder of a new run. Throws UserError where a run is there already. */
export function createRunFolder(run: NewRun): RunFolder {
  const wanted = run.path ?? freeFolder(run.name);
  const folder = runFolder(wanted);
  if (existsSync(folder.metricsPath) || existsSync(folder.configPath)) {
    throw new UserError(
      `${wanted} already holds a run; \`mlbtc resume ${wanted}\` goes on with it, a new one needs another --out_dir`,
    );
  }
  if (existsSync(folder.structurePath)) {
    throw new UserError(`${folder.structurePath} is in the way of the run's own; choose another --out_dir`);
  }
  makeFolder(wanted);
  try {
    fillFolder(folder, wanted, run);
  } catch (error) {
    discardUnstarted(folder);
    throw error;
  }
  return folder;
}

function fillFolder(
  folder: RunFolder,
  wanted: string,
  { task, options, sizes, origins, structure, provenance }: NewRun,
): void {
  const { checkpointsPath, plotsPath, structurePath } = folder;
  for (const inner of [checkpointsPath, plotsPath, structurePath]) makeFolder(inner);
  for (const [file, text] of structure) writeFileAtomically(join(structurePath, file), [text]);
  writeFileAtomically(folder.recordPath, [`${JSON.stringify(provenance, null, 2)}\n`]);
  writeFileAtomically(folder.configPath, [
    configText({ task, options: { ...options, out_dir: wanted, sizes }, origins }),
  ]);
}

/** The run goes on with these options from now on. */
export function changeConfig({ configPath }: RunFolder, changes: Readonly<Record<string, unknown>>): void {
  writeFileAtomically(configPath, [changedConfig(readFileSync(configPath, 'utf8'), changes, 'mlbtc resume')]);
}

/** How a config names a file of the structure's copy. */
export function copiedStructure(file: string): string {
  return `${structureFolder}/${file}`;
}

/** Takes back a folder in which nothing was trained: what was wrong can be put right and tried again at the same place. */
export function discardUnstarted(folder: RunFolder): void {
  const { path, configPath, recordPath, structurePath, metricsPath, checkpointsPath, plotsPath } = folder;
  if (existsSync(metricsPath) || (existsSync(checkpointsPath) && readdirSync(checkpointsPath).length > 0)) return;
  const events = existsSync(path) ? eventFileNames(path).map((name) => join(path, name)) : [];
  for (const file of [configPath, recordPath, ...events]) rmSync(file, { force: true });
  rmSync(structurePath, { recursive: true, force: true });
  for (const inner of [checkpointsPath, plotsPath, path]) removeIfEmpty(inner);
}

/** As files are written (atomic-file.ts); those of a lock may be another process's. */
const halfWritten = /^\.(?!lock\.).*\.tmp$/;

/** Removes what a killed process left half written. */
export function removeHalfWritten({ path, checkpointsPath }: RunFolder): void {
  for (const inner of [path, checkpointsPath]) {
    const names = existsSync(inner) ? readdirSync(inner) : [];
    for (const name of names) if (halfWritten.test(name)) rmSync(join(inner, name), { force: true });
  }
}

export function removeIfEmpty(path: string): void {
  if (existsSync(path) && readdirSync(path).length === 0) rmdirSync(path);
}

/** What a score is called in titles and folder names. */
export function scoreName({ options }: { readonly options: ScoreOptions }): string {
  const { structure, token_mixing_struct: mixer } = options;
  return structure === null
    ? String(mixer)
    : (structure.split(/[\\/]/).at(-1) as string).replace(/\.mlbtc$/, '').replace(/[^\p{L}\p{N}_.-]/gu, '_');
}

interface ScoreOptions {
  readonly structure: string | null;
  readonly token_mixing_struct: string | null;
}

/** A folder below `runs/` for a new run of that name. */
export function freeFolder(name: string): string {
  const base = join('runs', name);
  const used = (path: string) => existsSync(path) && readdirSync(path).length > 0;
  if (!used(base)) return base;
  let number = 2;
  while (used(`${base}-${number}`)) number += 1;
  return `${base}-${number}`;
}
