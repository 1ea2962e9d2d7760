/**
 * `run.json`: what a run was made with, beside its options: which version of this program, on which machine and device, from
 * which file; and each time that the run went on. For people, and for whoever compares two runs that should be equal.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { type TaskName, taskNames } from '../options/set.ts';

const structureSchema = z.object({
  /** Main file of the copy, relative to the run's folder. */
  copy: z.string(),
  /** The file that was copied. */
  from: z.string(),
});
const provenanceSchema = z.object({ structure: structureSchema });

/** Where a run's structure came from; undefined where the folder does not say. */
export function readStructureOrigin(recordPath: string): z.infer<typeof structureSchema> | undefined {
  try {
    return provenanceSchema.parse(JSON.parse(readFileSync(recordPath, 'utf8'))).structure;
  } catch {
    return undefined;
  }
}

/** The commands that make runs: `mlbtc train icl …`, `mlbtc import icl …`. */
const makers = ['train', 'import'] as const;
export type Maker = (typeof makers)[number];

const commandSchema = z.object({
  command: z.tuple([z.literal('mlbtc'), z.enum(makers), z.enum(taskNames)]).rest(z.string()),
});

/** Which command made a run, of what; undefined where the folder does not say. */
export function readCommand(recordPath: string): { readonly maker: Maker; readonly task: TaskName } | undefined {
  try {
    const [, maker, task] = commandSchema.parse(JSON.parse(readFileSync(recordPath, 'utf8'))).command;
    return { maker, task };
  } catch {
    return undefined;
  }
}

/** Which training a run is of; undefined where the folder does not say. */
export function readTask(recordPath: string): TaskName | undefined {
  return readCommand(recordPath)?.task;
}

export interface Provenance {
  readonly maker: Maker;
  /** Undefined where none was needed. */
  readonly opened: OpenedDevice | undefined;
  readonly seed: number;
  /** Of the command line after the maker's name. */
  readonly words: readonly string[];
  readonly structure: z.infer<typeof structureSchema>;
}

/** The record's content. */
export function describeProvenance({ maker, opened, seed, words, structure }: Provenance): Record<string, unknown> {
  return {
    begun: new Date().toISOString(),
    command: ['mlbtc', maker, ...words],
    seed,
    structure: { ...structure, from: resolve(structure.from) },
    mlbtc: programVersion(),
    node: process.version,
    platform: `${process.platform} ${process.arch} ${release()}`,
    cpu: { model: cpus()[0]?.model ?? 'unknown', cores: cpus().length, memoryBytes: totalmem() },
    ...(opened === undefined ? {} : { device: describeDevice(opened) }),
  };
}

function describeDevice({ name, rung, adapterInfo }: OpenedDevice): Record<string, unknown> {
  const { vendor, architecture, device, description } = adapterInfo;
  return { name, rung, vendor, architecture, device, description };
}

const recordSchema = z.looseObject({
  device: z.object({ name: z.string() }).optional(),
  resumed: z.array(z.unknown()).optional(),
});

/** Adds to a run's record that it goes on after so many steps. Returns a note where that is on another device. */
export function noteResumption(
  recordPath: string,
  opened: OpenedDevice,
  step: number,
  words: readonly string[],
): string | undefined {
  const record = recordSchema.parse(JSON.parse(readFileSync(recordPath, 'utf8')));
  const resumption = {
    at: new Date().toISOString(),
    step,
    options: words,
    mlbtc: programVersion(),
    node: process.version,
    device: describeDevice(opened),
  };
  const resumed = [...(record.resumed ?? []), resumption];
  writeFileAtomically(recordPath, [`${JSON.stringify({ ...record, resumed }, null, 2)}\n`]);
  const before = record.device?.name;
  if (before === undefined || before === opened.name) return undefined;
  return `note: the run began on ${before}: on ${opened.name} it is not, bit for bit, what it would have been`;
}

/** Relative; another machine's logarithm may have another last bit. */
const sameNumber = 1e-9;

/**
 * The first fact that a run was begun with and that is another one now, in words; where its data lie is none, nor is what an earlier
 * version did not write down.
 */
export function changedFact(recordPath: string, now: Readonly<Record<string, unknown>>): string | undefined {
  const before: unknown = JSON.parse(readFileSync(recordPath, 'utf8'));
  return changedIn([], before, now);
}

function changedIn(path: readonly string[], before: unknown, now: unknown): string | undefined {
  if (typeof now === 'object' && now !== null) {
    for (const [name, value] of Object.entries(now)) {
      if (name === 'name') continue;
      const old = typeof before === 'object' && before !== null ? (before as Record<string, unknown>)[name] : undefined;
      const changed = old === undefined ? undefined : changedIn([...path, name], old, value);
      if (changed !== undefined) return changed;
    }
    return undefined;
  }
  const isClose =
    typeof now === 'number' && typeof before === 'number' && Math.abs(now - before) <= sameNumber * Math.abs(before);
  if (now === before || isClose) return undefined;
  return `its ${path.join('.')} was ${String(before)} and is ${String(now)}`;
}

interface ProgramVersion {
  readonly version: string;
  /** Where it runs from a clone of its repository. */
  readonly commit?: string;
  /** Whether files differ from that commit. */
  readonly changed?: boolean;
}

function programVersion(): ProgramVersion {
  const root = packageFolder();
  if (root === undefined) return { version: 'unknown' };
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const git = (...words: readonly string[]) =>
    execFileSync('git', ['-C', root, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    // An installed package may lie in somebody else's repository.
    const [folder, commit] = git('rev-parse', '--show-toplevel', 'HEAD').split('\n');
    if (realpathSync(folder) !== realpathSync(root)) return { version };
    return { version, commit, changed: git('status', '--porcelain', '--untracked-files=no') !== '' };
  } catch {
    return { version };
  }
}

/** Found upwards from here: from the sources, or from `dist/`. */
function packageFolder(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let up = dirname(folder); up !== folder; [folder, up] = [up, dirname(up)]) {
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  return undefined;
}
