/**
 * A run's folder: `config.yaml`, `metrics.jsonl`, `checkpoints/`, `plots/`. Who trains writes here, who plots reads here.
 *
 * The trap: a folder that already holds a run is never written over; a new run gets a new folder.
 */
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { UserError } from '../../compiler/command-line/errors.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import type { ResolvedIcl } from '../options/icl.ts';

export interface RunFolder {
  readonly path: string;
  readonly configPath: string;
  readonly metricsPath: string;
  readonly checkpointsPath: string;
  readonly plotsPath: string;
}

export function runFolder(path: string): RunFolder {
  return {
    path,
    configPath: join(path, 'config.yaml'),
    metricsPath: join(path, 'metrics.jsonl'),
    checkpointsPath: join(path, 'checkpoints'),
    plotsPath: join(path, 'plots'),
  };
}

/** Makes the folder of a new run, with its config. Throws UserError where a run is there already. */
export function createRunFolder(resolved: ResolvedIcl): RunFolder {
  const { options, sizes, preset } = resolved;
  const wanted = options.out_dir ?? freeFolder(join('runs', preset ?? `icl-${scoreName(resolved)}`));
  const folder = runFolder(wanted);
  if (existsSync(folder.metricsPath) || existsSync(folder.configPath)) {
    throw new UserError(`${wanted} already holds a run; choose another --out_dir`);
  }
  for (const path of [folder.path, folder.checkpointsPath, folder.plotsPath]) makeFolder(path);
  const config = { ...options, mlr_rank_list: options.mlr_rank_list?.join('|') ?? null, out_dir: wanted };
  const header = '# Every option of this run; `mlbtc train icl --config THIS_FILE` repeats it.\n';
  writeFileAtomically(folder.configPath, [header, stringify({ ...config, sizes })]);
  return folder;
}

/** Takes back a folder in which nothing was trained: what was wrong can be put right and tried again at the same place. */
export function discardUnstarted({ path, configPath, metricsPath, checkpointsPath, plotsPath }: RunFolder): void {
  if (existsSync(metricsPath)) return;
  rmSync(configPath, { force: true });
  for (const folder of [checkpointsPath, plotsPath, path]) {
    if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
  }
}

/** What the run's score is called in titles and folder names. */
export function scoreName({ options }: Pick<ResolvedIcl, 'options'>): string {
  const { structure, token_mixing_struct: mixer } = options;
  return structure === null
    ? String(mixer)
    : (structure.split(/[\\/]/).at(-1) as string).replace(/\.mlbtc$/, '').replace(/[^\p{L}\p{N}_.-]/gu, '_');
}

function freeFolder(base: string): string {
  const used = (path: string) => existsSync(path) && readdirSync(path).length > 0;
  if (!used(base)) return base;
  let number = 2;
  while (used(`${base}-${number}`)) number += 1;
  return `${base}-${number}`;
}
