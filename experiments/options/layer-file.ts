/**
 * A preset or a run's config: a YAML map of options under their names, and `sizes`. What is wrong is told with its line, everything at
 * once.
 */
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { UserError } from '../../compiler/command-line/errors.ts';
import { readText } from '../../compiler/command-line/input-file.ts';
import type { SizeValue } from './mixers.ts';
import { type Names, namesOf, nearestOption, normal } from './names.ts';
import type { OptionSet } from './set.ts';
import { type OptionTable, readWord, showValue, validated } from './table.ts';

/** Values by canonical name; sizes of the score go along. */
export interface Layer {
  readonly values: Readonly<Record<string, unknown>>;
  readonly sizes: Readonly<Record<string, SizeValue>>;
}

/** Sizes are whole and consts are not; which is which the score's file says. */
export const sizesSchema = z.record(z.string(), z.union([z.number(), z.array(z.int().min(0))]));

/** Throws UserError where the file is none, with a line for each mistake. */
export function readLayer(set: OptionSet<OptionTable>, path: string): Layer {
  return readLayerFile(namesOf(set), path);
}

export function readLayerFile(names: Names, path: string): Layer {
  const lines = new LineCounter();
  const document = parseDocument(readText(path), { lineCounter: lines, prettyErrors: false });
  const lineOf = (offset: number) => `${path}:${lines.linePos(offset).line}`;
  const [broken] = document.errors;
  if (broken !== undefined) throw new UserError(`${lineOf(broken.pos[0])}: not YAML: ${broken.message}`);
  const { contents } = document;
  if (!isMap(contents)) {
    throw new UserError(`${path}: a map of options is expected, as a run's config.yaml holds it`);
  }
  const values: Record<string, unknown> = {};
  let sizes: Layer['sizes'] = {};
  const problems: string[] = [];
  const placed = new Map<string, string>();
  for (const { key, value: node } of contents.items) {
    const place = lineOf(isScalar(key) ? (key.range?.[0] ?? 0) : 0);
    const written = String(isScalar(key) ? key.value : key);
    const value = isScalar(node) || node === null ? (node?.value ?? null) : document.createNode(node).toJS(document);
    const read = written === 'sizes' ? readSizes(value) : readOption(names, written, value);
    if (typeof read === 'string') problems.push(`${place}: ${read}`);
    else if ('sizes' in read) sizes = read.sizes;
    else if (placed.has(read.name))
      problems.push(`${place}: ${written} is ${read.name} again, which ${placed.get(read.name)} has given`);
    else {
      values[read.name] = read.value;
      placed.set(read.name, `line ${place.slice(path.length + 1)}`);
    }
  }
  if (problems.length > 0) throw new UserError(problems.join('\n'));
  return { values, sizes };
}

/** What is wrong, where it is wrong. */
function readSizes(value: unknown): Pick<Layer, 'sizes'> | string {
  const result = sizesSchema.safeParse(value ?? {});
  return result.success ? { sizes: result.data } : 'sizes: numbers or lists of whole numbers are expected';
}

function readOption(
  names: Names,
  written: string,
  value: unknown,
): { readonly name: string; readonly value: unknown } | string {
  const name = names.canonical.get(normal(written));
  if (name === undefined) {
    const near = nearestOption(names, written, ['sizes']);
    const help = near === undefined ? `\`mlbtc train ${names.set.name} --help\` lists them` : `did you mean ${near}?`;
    return `unknown option '${written}'; ${help}`;
  }
  const row = names.rows[name];
  const native = typeof value === 'string' ? readWord(row.kind, value) : value;
  const judged = validated(row, row.kind === 'list' && typeof native === 'number' ? [native] : native);
  return 'problem' in judged ? `${written}: ${showValue(value)} ${judged.problem}` : { name, value: judged.value };
}
