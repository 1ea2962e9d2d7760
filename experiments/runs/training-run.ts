/** What the folder of a run that trains a model begins with; and, when a run is repeated, which structure that is. */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { OpenedDevice } from '../../runtime/device.ts';
import type { TensorCores } from '../../runtime/tensor-cores.ts';
import type { Score } from '../models/score.ts';
import { isSameStructure, readStructure } from '../models/structure-copy.ts';
import { isFile } from '../options/maps.ts';
import type { Resolved } from '../options/parse.ts';
import type { TaskName } from '../options/set.ts';
import { optionSets } from '../options/sets.ts';
import type { OptionRow, OptionValues } from '../options/table.ts';
import { debugRows, type dryRunRows, type ModelOptions } from '../options/transformer.ts';
import { copiedStructure, type NewRun, runFolder, scoreName } from './folder.ts';
import { describeProvenance, type Maker, readStructureOrigin } from './provenance.ts';

/** What every kind of training has among its options. */
export type ResolvedTraining = Resolved<
  ModelOptions &
    OptionValues<typeof dryRunRows & typeof debugRows> & {
      readonly seed: number;
      readonly out_dir: string | null;
      readonly device: string | null;
      readonly tensor_cores: TensorCores | null;
    }
>;

/** `record` is what `run.json` says beside where the run comes from; a run that is imported was made on no device. */
export function newTrainingRun(
  task: TaskName,
  resolved: ResolvedTraining,
  score: Score,
  opened: OpenedDevice | undefined,
  words: readonly string[] = [],
  record: Readonly<Record<string, unknown>> = {},
  maker: Maker = 'train',
): NewRun {
  const { options, sizes, origins, preset } = resolved;
  const { table } = optionSets[task];
  // How closely this process looked at the run is not the run's.
  const kept = Object.entries(options).filter(([option]) => !Object.hasOwn(debugRows, option));
  const copy = copiedStructure(score.files.keys().next().value as string);
  return {
    task,
    path: options.out_dir,
    name: preset?.startsWith(task) === true ? preset : `${task}-${preset ?? scoreName(resolved)}`,
    options: {
      ...Object.fromEntries(kept.map(([option, value]) => [option, written(value, table[option])])),
      structure: options.structure === null ? null : copy,
      slot: copiedSlots(options, score)?.join('|') ?? null,
    },
    sizes,
    origins,
    structure: score.files,
    provenance: {
      ...describeProvenance({
        maker,
        opened,
        seed: options.seed,
        words: [task, ...words],
        structure: { copy, from: score.source.file },
      }),
      ...record,
    },
  };
}

/** Slots as they are filled again: a file of the user's by its copy, the library's by their names. */
function copiedSlots({ slot }: ModelOptions, { sources, nameOf }: Score): readonly string[] | undefined {
  return slot?.map((word) => {
    const [name, filler] = [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)];
    const source = isFile(filler) ? sources.find(({ file }) => file === filler) : undefined;
    return source === undefined ? word : `${name}=${copiedStructure(nameOf(source))}`;
  });
}

/** Lists as they are written on a command line; a path so that it is the same file from wherever the run is repeated. */
function written(value: unknown, row: OptionRow<unknown> | undefined): unknown {
  if (row?.isPath === true && typeof value === 'string') return resolve(value);
  return Array.isArray(value) ? value.join('|') : value;
}

/**
 * A note where the score is another run's own copy: that it is, and whether the file that was copied has changed since. Undefined
 * where it is none, or a copy of the library's that is as the library has it.
 */
export function copyNote({ options }: ResolvedTraining, score: Score): string | undefined {
  const path = score.source.file;
  const { path: run, recordPath } = runFolder(dirname(dirname(resolve(path))));
  const origin = readStructureOrigin(recordPath);
  if (origin === undefined || resolve(run, origin.copy) !== resolve(path)) return undefined;
  const hasChanged = existsSync(origin.from) && differs(origin.from, score);
  if (hasChanged)
    return `note: ${origin.from} has changed since that run; trained is the run's own copy of it, ${path}`;
  return options.structure === null ? undefined : `note: the structure is the run's own copy, ${path}`;
}

function differs(path: string, score: Score): boolean {
  try {
    return !isSameStructure(readStructure(path), score);
  } catch {
    return true;
  }
}
