/**
 * From the words after `mlbtc train NAME` to a full set of options: defaults, then a preset, then a run's config, then the
 * command line, each overriding the one before. Which options there are is the set's business (`set.ts`).
 *
 * The trap: `-` and `_` are equal in names, and a name may itself begin with `no` — so `--no-x` is tried only when no option
 * is called that.
 */
import { existsSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { readText } from '../../compiler/command-line/input-file.ts';
import { addBindings } from '../../compiler/command-line/size-options.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { experimentsFolder, presetNames } from '../library.ts';
import { taskOfConfig } from './config-head.ts';
import { type Layer, readLayerFile } from './layer-file.ts';
import { layered, overridingNotes, toldOrigins } from './layers.ts';
import { isFile } from './maps.ts';
import type { SizeValue } from './mixers.ts';
import { type Names, namesOf, nearestOption, normal } from './names.ts';
import type { OptionSet } from './set.ts';
import { type OptionRow, type OptionTable, type OptionValues, readWord, showValue, validated } from './table.ts';

export interface Resolved<Options> {
  readonly options: Options;
  /** Sizes of the score given by `-s`. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
  /** Who gave an option its value, where it is not the default or where sources disagree; by option. */
  readonly origins: Readonly<Record<string, string>>;
  /** What a person should hear about, such as ignored options. */
  readonly notes: readonly string[];
  readonly preset: string | undefined;
  /** Folder of the copies that the run of `--config` has kept; undefined without one. */
  readonly copies: string | undefined;
}

/** Words of the command line that are not options of the table. */
const specialOptions = ['preset', 'config', 's', 'size', 'help'];

/** Reads the words after `mlbtc train NAME`. Throws UsageError for the command line's mistakes, UserError for a file's. */
export function resolveOptions<Table extends OptionTable>(
  set: OptionSet<Table>,
  words: readonly string[],
): Resolved<OptionValues<Table>> {
  const names = namesOf(set);
  const commandLine = readWords(names, words);
  const { preset, config } = commandLine;
  const { given, origins, sizes } = layered(set, layersOf(names, commandLine));
  const options = complete(set, given);
  const ignored = Object.keys(commandLine.values).filter((name) => name in (set.groups.Ignored ?? {}));
  const ignoredNotes = ignored.length > 0 ? [`note: ${ignored.map((name) => `--${name}`).join(', ')} ignored`] : [];
  return {
    options,
    sizes,
    origins: toldOrigins(set, options, origins),
    notes: [...ignoredNotes, ...commandLine.notes, ...overridingNotes(origins)],
    preset,
    copies: config === undefined ? undefined : join(dirname(config), 'structure'),
  };
}

/** What the words give, their preset and config included, and nothing that is at its default. Throws as `resolveOptions` does. */
export function givenOptions<Table extends OptionTable>(
  set: OptionSet<Table>,
  words: readonly string[],
): { readonly values: Partial<OptionValues<Table>>; readonly sizes: Layer['sizes'] } {
  const names = namesOf(set);
  const { given, sizes } = layered(set, layersOf(names, readWords(names, words)));
  return { values: given as Partial<OptionValues<Table>>, sizes };
}

/** From the first to the one that is above all others. */
function layersOf(names: Names, commandLine: CommandLine) {
  const { preset, config } = commandLine;
  return [
    ...(preset === undefined ? [] : [{ source: `preset ${preset}`, ...readPreset(names, preset) }]),
    ...(config === undefined ? [] : [{ source: config, ...readConfig(names, config) }]),
    { source: 'the command line', ...commandLine },
  ];
}

/** Options as words of a command line that gives them. */
export function asWords(
  values: Readonly<Record<string, unknown>>,
  sizes: Readonly<Record<string, SizeValue>> = {},
): readonly string[] {
  return [
    ...Object.entries(values).map(([name, value]) => `--${name}=${showValue(value)}`),
    ...Object.entries(sizes).flatMap(([name, value]) => [
      '-s',
      `${name}=${Array.isArray(value) ? `[${value.join(',')}]` : value}`,
    ]),
  ];
}

/** All options from those given, the others at their defaults. Throws UsageError for those that must be given. */
export function complete<Table extends OptionTable>(
  set: OptionSet<Table>,
  given: Readonly<Record<string, unknown>>,
): OptionValues<Table> {
  const values: Record<string, unknown> = {};
  const missing: string[] = [];
  for (const [name, row] of Object.entries(set.table)) {
    const value = given[name] === undefined ? row.fallback : given[name];
    if (value === undefined) missing.push(`--${name}`);
    values[name] = value;
  }
  if (missing.length > 0) {
    throw new UsageError(
      `missing: ${missing.join(', ')}; or start from a preset: --preset ${presetNames(set.name).join(' | ')}`,
    );
  }
  return values as OptionValues<Table>;
}

/**
 * Options from a record of values under their names, such as a golden case's `config`; what the table does not know is left
 * out. Throws UserError for a value that an option does not admit.
 */
export function optionsFromRecord<Table extends OptionTable>(
  set: OptionSet<Table>,
  record: Readonly<Record<string, unknown>>,
  origin: string,
): OptionValues<Table> {
  const given: Record<string, unknown> = {};
  for (const [name, row] of Object.entries(set.table)) {
    const value = record[name];
    if (value === undefined) continue;
    const native = typeof value === 'string' ? readWord(row.kind, value) : value;
    const judged = validated(row, native);
    if ('problem' in judged) throw new UserError(`${origin}: ${name}: ${showValue(value)} ${judged.problem}`);
    given[name] = judged.value;
  }
  return complete(set, given);
}

interface CommandLine extends Layer {
  readonly notes: readonly string[];
  readonly preset: string | undefined;
  readonly config: string | undefined;
}

function readWords(names: Names, words: readonly string[]): CommandLine {
  const values: Record<string, unknown> = {};
  const sizes: Record<string, SizeValue> = {};
  const special: Record<string, string> = {};
  const notes: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at];
    if (word === '-s' || word === '--size' || /^-s./.test(word)) {
      if (/^-s./.test(word)) Object.assign(sizes, addBindings({}, word.slice(2)));
      else if (words[at + 1] === undefined) throw new UsageError('-s needs NAME=VALUE, for example -s rank=8');
      while (words[at + 1] !== undefined && !words[at + 1].startsWith('-')) {
        at += 1;
        Object.assign(sizes, addBindings({}, words[at]));
      }
      continue;
    }
    if (word === '-v' && names.rows.verbose !== undefined) {
      values.verbose = true;
      continue;
    }
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(word);
    if (match === null) {
      const option = optionTaking(names, word);
      const help = option ? `did you mean --${option} ${word}?` : 'options are written --name VALUE or --name=VALUE';
      throw new UsageError(`'${word}' is not an option; ${help}`);
    }
    const { name, value } = readOption(names, match[1], match[2], words[at + 1]);
    if (value.took) at += 1;
    const taken: Record<string, unknown> = specialOptions.includes(name) ? special : values;
    if (names.rows[name]?.adds === true && Array.isArray(taken[name])) {
      taken[name] = [...taken[name], ...(value.value as readonly unknown[])];
      continue;
    }
    if (name in taken && showValue(taken[name]) !== showValue(value.value)) {
      notes.push(`note: --${name} is given twice; ${showValue(value.value)} counts, not ${showValue(taken[name])}`);
    }
    taken[name] = value.value;
  }
  return { values, sizes, notes, preset: special.preset, config: special.config };
}

interface Taken {
  readonly value: unknown;
  /** Whether the value was the next word. */
  readonly took: boolean;
}

function readOption(names: Names, written: string, attached: string | undefined, next: string | undefined) {
  const { rows, canonical } = names;
  const key = normal(written);
  if (specialOptions.includes(key)) return { name: key, value: takeWord(written, attached, next) };
  const name = canonical.get(key);
  if (name !== undefined) return { name, value: takeValue(rows[name], written, attached, next) };
  const positiveName = key.startsWith('no_') ? canonical.get(key.slice(3)) : undefined;
  if (positiveName !== undefined && rows[positiveName].kind === 'boolean') {
    if (attached !== undefined) throw new UsageError(`--${written} takes no value`);
    return { name: positiveName, value: { value: false, took: false } };
  }
  const near = nearestOption(names, key, ['preset', 'config']) ?? optionTaking(names, attached ?? next ?? '');
  const help = near === undefined ? `\`mlbtc train ${names.set.name} --help\` lists them` : `did you mean --${near}?`;
  throw new UsageError(`unknown option --${written}; ${help}`);
}

/** The option whose value a word looks like: a file of ours, or the name of a preset. */
function optionTaking({ set, rows }: Names, word: string): string | undefined {
  if (word.endsWith('.mlbtc') && rows.structure !== undefined) return 'structure';
  if (word.endsWith('.yaml')) return 'config';
  return presetNames(set.name).includes(word) ? 'preset' : undefined;
}

function takeWord(written: string, attached: string | undefined, next: string | undefined): Taken {
  if (attached !== undefined) return { value: attached, took: false };
  if (next === undefined || next.startsWith('--')) throw new UsageError(`--${written} needs a value`);
  return { value: next, took: true };
}

function takeValue(
  row: OptionRow<unknown>,
  written: string,
  attached: string | undefined,
  next: string | undefined,
): Taken {
  if (row.kind === 'boolean' && attached === undefined) {
    const took = next !== undefined && /^(true|false)$/i.test(next);
    return { value: took ? readWord('boolean', next) : true, took };
  }
  const { value, took } = takeWord(written, attached, next);
  const judged = validated(row, readWord(row.kind, String(value)));
  if ('problem' in judged) throw new UsageError(`--${written} ${value === '' ? "''" : value}: ${judged.problem}`);
  return { value: judged.value, took };
}

function readPreset(names: Names, name: string): Layer {
  const known = presetNames(names.set.name);
  if (!known.includes(name)) {
    if (known.length === 0) throw new UsageError(`--preset ${name}: \`mlbtc train ${names.set.name}\` has no presets`);
    const near = closest(name, known);
    throw new UsageError(`no preset '${name}'; ${near ? `did you mean ${near}?` : `there are: ${known.join(', ')}`}`);
  }
  return readLayerFile(names, join(experimentsFolder, 'presets', names.set.name, `${name}.yaml`));
}

function readConfig(names: Names, path: string): Layer {
  const task = taskOfConfig(readText(path));
  if (task !== undefined && task !== names.set.name) {
    throw new UserError(
      `${path} has the options of a run of \`mlbtc train ${task}\`, not of \`mlbtc train ${names.set.name}\``,
    );
  }
  const layer = readLayerFile(names, path);
  // The folder of the run that is repeated is not the folder of the new one.
  const { out_dir: _, ...values } = layer.values;
  const { structure, slot } = values;
  // Beside the config; where it is not, from where one stands, as on the command line.
  const found = (file: string) => {
    const beside = resolve(dirname(path), file);
    return existsSync(beside) ? relative('', beside) : file;
  };
  const filled = (filling: string) =>
    filling.replace(/=(.*)$/s, (whole, file) => (isFile(file) ? `=${found(file)}` : whole));
  return {
    ...layer,
    values: {
      ...values,
      ...(typeof structure === 'string' && { structure: found(structure) }),
      ...(Array.isArray(slot) && { slot: slot.map(filled) }),
    },
  };
}
