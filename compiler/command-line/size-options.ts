/**
 * `-s D=256 -s ranks=[4,2,2] -s gamma=0.5 -s up.rank=2`: sizes and consts as they are bound on a command line, here and in
 * `mlbtc`; with a dot, those of what fills a slot.
 *
 * What is written wrong is a mistake of the command line and shows the text; whether the structure has such a size or const, and
 * whether the value suits it, is the analysis's question. The trap: some shells and file systems hand over `é` as two characters, which
 * no name in a file can have; so names are composed first.
 */
import { Option } from 'commander';
import { UsageError } from './errors.ts';

export type BoundSize = number | readonly number[];
export type SizeBindings = Readonly<Record<string, BoundSize>>;

const namePattern = /^\p{L}[\p{L}\p{Nd}_]*(\.\p{L}[\p{L}\p{Nd}_]*)*$/u;
const numberPattern = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
const largestSize = 2 ** 31 - 1;

/** The option as commander takes it: repeatable, several bindings may share one by commas. */
export function sizeOption(): Option {
  return new Option('-s, --size <name=value>', 'bind a size or const; repeatable: -s D=256 -s ranks=[4,2,2]').argParser(
    (text: string, previous: SizeBindings | undefined) => addBindings(previous ?? {}, text),
  );
}

/** Adds what one `-s` says. Throws UsageError. */
export function addBindings(known: SizeBindings, text: string): SizeBindings {
  const result: Record<string, BoundSize> = { ...known };
  refuseBareList(text);
  for (const part of splitOutsideBrackets(text)) {
    const [name, value] = parseBinding(part, text);
    if (Object.hasOwn(result, name)) throw new UsageError(`-s ${shown(text)}: ${name} is bound twice`);
    result[name] = value;
  }
  return result;
}

/** `ranks=4,2,2`, whose list has no brackets. */
function refuseBareList(text: string): void {
  const bare = /(?:^|,)\s*([^=,[\]]+?)\s*=\s*(\d+(?:\s*,\s*\d+)+)\s*(?=,|$)/.exec(text);
  if (bare === null) return;
  const mended = text.replace(bare[2], `[${bare[2].replace(/\s+/g, '')}]`);
  throw new UsageError(`-s ${shown(text)}: a list stands in brackets\n  help: write -s ${JSON.stringify(mended)}`);
}

function parseBinding(part: string, whole: string): [string, BoundSize] {
  const fail = (problem: string) =>
    new UsageError(`-s ${shown(whole)}: ${problem}\n  help: write NAME=VALUE, as in -s D=256 or -s ranks=[4,2,2]`);
  const equals = part.indexOf('=');
  if (equals < 0) throw fail('there is no `=` in it');
  const name = part.slice(0, equals).trim().normalize('NFC');
  const value = part.slice(equals + 1).trim();
  if (!namePattern.test(name)) throw fail(`${shown(name)} is no name of a size`);
  if (value === '') throw fail(`${name} has no value`);
  const list = /^\[(.*)\]$/s.exec(value);
  if (list === null) return [name, parseSize(value, fail)];
  if (list[1].trim() === '') return [name, []];
  return [name, list[1].split(',').map((element) => parseSize(element.trim(), fail))];
}

function parseSize(text: string, fail: (problem: string) => UsageError): number {
  if (!numberPattern.test(text)) throw fail(`${shown(text)} is neither a number nor a list of whole numbers`);
  const value = Number(text);
  if (Number.isInteger(value) && value > largestSize) throw fail(`${text} is larger than ${largestSize}`);
  return value;
}

function splitOutsideBrackets(text: string): string[] {
  const parts = [''];
  let depth = 0;
  for (const character of text) {
    if (character === '[') depth++;
    if (character === ']') depth--;
    if (character === ',' && depth === 0) parts.push('');
    else parts[parts.length - 1] += character;
  }
  return parts;
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
