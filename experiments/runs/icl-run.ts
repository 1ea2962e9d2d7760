/** A run of in-context learning read back, and what is known of its model under other settings: `settings.json` in its folder. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { UserError } from '../../compiler/command-line/errors.ts';
import { type Score, scoreOf } from '../models/score.ts';
import { type IclOptions, resolveIcl } from '../options/icl.ts';
import { existingRun, type RunFolder } from './folder.ts';

export interface IclRun {
  readonly folder: RunFolder;
  readonly options: IclOptions;
  readonly score: Score;
}

/** Throws UserError where the folder is no run. */
export function readIclRun(path: string): IclRun {
  const folder = existingRun(path, 'mlbtc train icl');
  const { options, sizes } = resolveIcl(['--config', folder.configPath]);
  return { folder, options, score: scoreOf(options, sizes, folder.structurePath) };
}

const numbers = z.array(z.number());
const curve = z.object({ mean: numbers, low: numbers, high: numbers });
const settingSchema = z.object({
  setting: z.string(),
  /** File that the params are from. */
  checkpoint: z.string(),
  points: z.number(),
  prompts: z.number(),
  model: curve,
  /** By name. */
  baselines: z.record(z.string(), curve),
});
const settingsSchema = z.array(settingSchema);

/** Errors at each point, and between which values 90 % of their bootstrap lies. */
export type SettingRecord = z.infer<typeof settingSchema>;

function settingsPath({ path }: RunFolder): string {
  return join(path, 'settings.json');
}

/** What the last evaluations found, none where there was none. Throws UserError where the file is damaged. */
export function readSettings(folder: RunFolder): readonly SettingRecord[] {
  const path = settingsPath(folder);
  if (!existsSync(path)) return [];
  try {
    return settingsSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    throw new UserError(`${path} is not what \`mlbtc eval\` writes; remove it and evaluate again`);
  }
}

/** Writes them beside those of the settings that were not evaluated now; returns the file's path. */
export function writeSettings(folder: RunFolder, found: readonly SettingRecord[]): string {
  const names = new Set(found.map(({ setting }) => setting));
  const kept = readSettings(folder).filter(({ setting }) => !names.has(setting));
  writeFileAtomically(settingsPath(folder), [`${JSON.stringify([...kept, ...found])}\n`]);
  return settingsPath(folder);
}
