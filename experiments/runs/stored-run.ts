/** A run read back from its folder, whichever training made it: its options and its records. What it trained is not built again. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../compiler/command-line/errors.ts';
import { readLayer } from '../options/layer-file.ts';
import { complete } from '../options/parse.ts';
import type { TaskName } from '../options/set.ts';
import { optionSets } from '../options/sets.ts';
import { existingRun, type RunFolder } from './folder.ts';
import { type MetricsRecord, readMetrics } from './metrics.ts';
import { type Maker, readCommand } from './provenance.ts';

export interface StoredRun {
  readonly folder: RunFolder;
  readonly task: TaskName;
  readonly maker: Maker;
  /** Every option of its kind of training, and the sizes of the score under `-s NAME`. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Of the structure's copy: scores of one name may have different texts. */
  readonly structureDigest: string;
  readonly records: readonly MetricsRecord[];
}

/** Throws UserError where the folder is no run, or not a whole one. */
export function readRun(path: string): StoredRun {
  const folder = existingRun(path, 'mlbtc train');
  const command = readCommand(folder.recordPath);
  if (command === undefined) {
    throw new UserError(`${path} is no run: ${folder.recordPath} does not say which \`mlbtc train\` made it`);
  }
  const { task, maker } = command;
  const { values, sizes } = readLayer(optionSets[task], folder.configPath);
  const sizeOptions = Object.entries(sizes).map(([name, value]) => [`-s ${name}`, value]);
  return {
    folder,
    task,
    maker,
    options: { ...complete(optionSets[task], values), ...Object.fromEntries(sizeOptions) },
    structureDigest: digestOf(folder.structurePath),
    records: existsSync(folder.metricsPath) ? readMetrics(folder.metricsPath) : [],
  };
}

const digestLength = 8;

function digestOf(structurePath: string): string {
  const hash = createHash('sha256');
  const names = existsSync(structurePath) ? readdirSync(structurePath).sort() : [];
  for (const name of names) hash.update(`${name}\n`).update(readFileSync(join(structurePath, name)));
  return hash.digest('hex').slice(0, digestLength);
}
