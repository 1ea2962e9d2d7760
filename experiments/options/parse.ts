/**
 * From the words after `mlbtc train NAME` to a full set of options: defaults, then a preset, then a run's config, then the
 * command line, each overriding the one before. Which options there are is the set's business (`set.ts`).
 *
 * The trap: `-` and `_` are equal in names, and a name may itself begin with `no` — so `--no-x` is tried only when no option
 * is called that.
 */
import { existsSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { readText } from '../../compiler/command-line/input-file.ts';
import { addBindings } from '../../compiler/command-line/size-options.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { experimentsFolder, presetNames } from '../library.ts';
import type { SizeValue } from './mixers.ts';
import type { OptionSet } from './set.ts';
import { type OptionRow, type OptionTable, type OptionValues, readWord, showValue } from './table.ts';

export interface Resolved<Options> {
  readonly options: Options;
  /** Sizes of the score given by `-s`. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
  /** What a person should hear about, such as ignored options. */
  readonly notes: readonly string[];
  readonly preset: string | undefined;
  /** Folder of the copies that the run of `--config` has kept; undefined without one. */
  readonly copies: string | undefined;
}

/** Layers of values by canonical name; `sizes` go along. */
interface Layer {
  readonly values: Readonly<Record<string, unknown>>;
  readonly sizes: Readonly<Record<string, SizeValue>>;
}

/** Words of the command line that are not options of the table. */
const specialOptions = ['preset', 'config', 's', 'size', 'help'];

/** An option set as parsing sees it: canonical names by every spelling that is understood. */
interface Names {
  readonly set: OptionSet<OptionTable>;
  readonly rows: Readonly<Record<string, OptionRow<unknown>>>;
  readonly canonical: ReadonlyMap<string, string>;
}

function namesOf(set: OptionSet<OptionTable>): Names {
  const spelled = [...Object.keys(set.table).map((name) => [name, name]), ...Object.entries(set.aliases)];
  return { set, rows: set.table, canonical: new Map(spelled.map(([from, to]) => [normal(from), to])) };
}

function normal(name: string): string {
  return name.replaceAll('-', '_').toLowerCase();
}

/** Reads the words after `mlbtc train NAME`. Throws UsageError for the command line's mistakes, UserError for a file's. */
export function resolveOptions<Table extends OptionTable>(
  set: OptionSet<Table>,
  words: readonly string[],
): Resolved<OptionValues<Table>> {
  const names = namesOf(set);
  const commandLine = readWords(names, words);
  const preset = commandLine.preset === undefined ? emptyLayer : readPreset(names, commandLine.preset);
  const config = commandLine.config === undefined ? emptyLayer : readConfig(names, commandLine.config);
  const given: Record<string, unknown> = {};
  for (const layer of [preset, config, commandLine]) {
    // A score replaces a score, whichever way either is named.
    if (layer.values.structure && !layer.values.token_mixing_struct) given.token_mixing_struct = null;
    if (layer.values.token_mixing_struct && !layer.values.structure) given.structure = null;
    Object.assign(given, layer.values);
  }
  const options = complete(set, given);
  const ignored = Object.keys(commandLine.values).filter((name) => name in (set.groups.Ignored ?? {}));
  const notes = ignored.length > 0 ? [`note: ${ignored.map((name) => `--${name}`).join(', ')} ignored`] : [];
  return {
    options,
    sizes: { ...preset.sizes, ...config.sizes, ...commandLine.sizes },
    notes,
    preset: commandLine.preset,
    copies: commandLine.config === undefined ? undefined : join(dirname(commandLine.config), 'structure'),
  };
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
    given[name] = validated(
      row,
      native,
      (problem) => new UserError(`${origin}: ${name}: ${showValue(value)} ${problem}`),
    );
  }
  return complete(set, given);
}

const emptyLayer: Layer = { values: {}, sizes: {} };

interface CommandLine extends Layer {
  readonly preset: string | undefined;
  readonly config: string | undefined;
}

function readWords(names: Names, words: readonly string[]): CommandLine {
  const values: Record<string, unknown> = {};
  const sizes: Record<string, SizeValue> = {};
  const special: Record<string, string> = {};
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
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(word);
    if (match === null) {
      throw new UsageError(`'${word}' is not an option; options are written --name VALUE or --name=VALUE`);
    }
    const { name, value } = readOption(names, match[1], match[2], words[at + 1]);
    if (value.took) at += 1;
    if (specialOptions.includes(name)) special[name] = String(value.value);
    else values[name] = value.value;
  }
  return { values, sizes, preset: special.preset, config: special.config };
}

interface Taken {
  readonly value: unknown;
  /** Whether the value was the next word. */
  readonly took: boolean;
}

function readOption(
  { set, rows, canonical }: Names,
  written: string,
  attached: string | undefined,
  next: string | undefined,
) {
  const key = normal(written);
  if (specialOptions.includes(key)) return { name: key, value: takeWord(written, attached, next) };
  const name = canonical.get(key);
  if (name !== undefined) return { name, value: takeValue(rows[name], written, attached, next) };
  const positiveName = key.startsWith('no_') ? canonical.get(key.slice(3)) : undefined;
  if (positiveName !== undefined && rows[positiveName].kind === 'boolean') {
    if (attached !== undefined) throw new UsageError(`--${written} takes no value`);
    return { name: positiveName, value: { value: false, took: false } };
  }
  const near = closest(key, [...canonical.keys(), 'preset', 'config']);
  const help =
    near === undefined
      ? `\`mlbtc train ${set.name} --help\` lists them`
      : `did you mean --${near in set.aliases ? near : (canonical.get(near) ?? near)}?`;
  throw new UsageError(`unknown option --${written}; ${help}`);
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
  const read = readWord(row.kind, String(value));
  return { value: validated(row, read, (problem) => new UsageError(`--${written} ${value}: ${problem}`)), took };
}

function validated(row: OptionRow<unknown>, value: unknown, fail: (problem: string) => Error): unknown {
  const result = row.schema.safeParse(value);
  if (result.success) return result.data;
  const near = typeof value === 'string' && row.choices ? closest(value, row.choices) : undefined;
  throw fail(`${result.error.issues[0].message}${near === undefined ? '' : `; did you mean ${near}?`}`);
}

function readPreset(names: Names, name: string): Layer {
  const known = presetNames(names.set.name);
  if (!known.includes(name)) {
    if (known.length === 0) throw new UsageError(`--preset ${name}: \`mlbtc train ${names.set.name}\` has no presets`);
    const near = closest(name, known);
    throw new UsageError(`no preset '${name}'; ${near ? `did you mean ${near}?` : `there are: ${known.join(', ')}`}`);
  }
  return layerOf(names, join(experimentsFolder, 'presets', names.set.name, `${name}.yaml`));
}

function readConfig(names: Names, path: string): Layer {
  const layer = layerOf(names, path);
  // The folder of the run that is repeated is not the folder of the new one.
  const { out_dir: _, ...values } = layer.values;
  const { structure } = values;
  if (typeof structure !== 'string') return { ...layer, values };
  // Beside the config; where it is not, from where one stands, as on the command line.
  const beside = resolve(dirname(path), structure);
  return { ...layer, values: { ...values, structure: existsSync(beside) ? relative('', beside) : structure } };
}

/** Sizes are whole and consts are not; which is which the score's file says. */
const sizesSchema = z.record(z.string(), z.union([z.number(), z.array(z.int().min(0))]));

/** A preset or a config: a YAML map of options under their names, and `sizes`. Throws UserError where it is none. */
export function readLayer(set: OptionSet<OptionTable>, path: string): Layer {
  return layerOf(namesOf(set), path);
}

function layerOf({ rows, canonical }: Names, path: string): Layer {
  let content: unknown;
  try {
    content = parseYaml(readText(path));
  } catch (error) {
    if (error instanceof UserError || (error as NodeJS.ErrnoException).syscall) throw error;
    throw new UserError(`${path}: not YAML: ${(error as Error).message.split('\n')[0]}`);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UserError(`${path}: a map of options is expected, as a run's config.yaml holds it`);
  }
  const values: Record<string, unknown> = {};
  let sizes: Readonly<Record<string, SizeValue>> = {};
  for (const [written, value] of Object.entries(content)) {
    if (written === 'sizes') {
      const result = sizesSchema.safeParse(value ?? {});
      if (!result.success) throw new UserError(`${path}: sizes: numbers or lists of whole numbers are expected`);
      sizes = result.data;
      continue;
    }
    const name = canonical.get(normal(written));
    if (name === undefined) {
      const near = closest(normal(written), canonical.keys());
      throw new UserError(
        `${path}: unknown option '${written}'${near ? `; did you mean ${canonical.get(near)}?` : ''}`,
      );
    }
    const row = rows[name];
    const native = typeof value === 'string' ? readWord(row.kind, value) : value;
    values[name] = validated(
      row,
      native,
      (problem) => new UserError(`${path}: ${written}: ${showValue(value)} ${problem}`),
    );
  }
  return { values, sizes };
}
