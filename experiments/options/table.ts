/**
 * Rows of an option table and what can be done with any of them: read a value from the command line or from YAML, write it
 * back. One table of rows (`icl.ts`) is the only place that knows an option; parsing, help, presets and `config.yaml` read it.
 *
 * The trap: a value has two spellings, text on the command line (`True`, `16|8|4|4`) and a YAML value in a preset or a run's
 * config. Both go through the row's one zod schema, so that neither admits what the other refuses.
 */
import { z } from 'zod';
import { bytesOf, shareOf } from '../../compiler/command-line/amounts.ts';
import { closest } from '../../compiler/syntax/suggest.ts';

export type OptionKind = 'integer' | 'number' | 'boolean' | 'text' | 'amount' | 'list' | 'choice';

export interface OptionRow<T> {
  readonly kind: OptionKind;
  readonly schema: z.ZodType<T>;
  /** Undefined: has to be given. */
  readonly fallback: T | undefined;
  readonly help: string;
  readonly choices?: readonly string[];
  /** It names a file or a folder, from where one stands. */
  readonly isPath?: boolean;
  /** Given several times, the values go together. */
  readonly adds?: boolean;
  /** What says besides `none` that there is no value. */
  readonly none?: string | number;
}

export type OptionTable = Readonly<Record<string, OptionRow<unknown>>>;

export type OptionValues<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends OptionRow<infer T> ? T : never;
};

interface Limits {
  readonly min?: number;
  readonly max?: number;
  /** Smallest value that is not allowed: `above: 0` for a positive number. */
  readonly above?: number;
  /** A number that the reference writes for `none`. */
  readonly none?: number;
}

function numberSchema(base: z.ZodNumber, { min, max, above }: Limits): z.ZodNumber {
  let schema = base;
  if (min !== undefined) schema = schema.min(min, `must be at least ${min}`);
  if (max !== undefined) schema = schema.max(max, `must be at most ${max}`);
  if (above !== undefined) schema = schema.gt(above, `must be more than ${above}`);
  return schema;
}

const wholeNumber = z.number('must be a whole number').int('must be a whole number');
const realNumber = z.number('must be a number');

export function integer(fallback: number | undefined, help: string, limits: Limits = {}): OptionRow<number> {
  return { kind: 'integer', schema: numberSchema(wholeNumber, limits), fallback, help };
}

/** A whole number or `none`. */
export function optionalInteger(help: string, limits: Limits = {}): OptionRow<number | null> {
  const none = (value: unknown) => (limits.none !== undefined && value === limits.none ? null : value);
  const schema = z.preprocess(none, numberSchema(wholeNumber, limits).nullable()) as z.ZodType<number | null>;
  return { kind: 'integer', schema, fallback: null, help, none: limits.none };
}

export function real(fallback: number, help: string, limits: Limits = {}): OptionRow<number> {
  return { kind: 'number', schema: numberSchema(realNumber, limits), fallback, help };
}

/** A number or `none`. */
export function optionalReal(help: string, limits: Limits = {}): OptionRow<number | null> {
  return { kind: 'number', schema: numberSchema(realNumber, limits).nullable(), fallback: null, help };
}

export function flag(fallback: boolean, help: string): OptionRow<boolean> {
  return { kind: 'boolean', schema: z.boolean('must be True or False'), fallback, help };
}

/** A name, a file or a folder: never empty, which is what a script's unset variable comes to. */
export function text(help: string): OptionRow<string | null> {
  const isThere = (word: string) => word !== '';
  const schema = z.string('must be a text').refine(isThere, 'is empty; leave it out, or write none').nullable();
  return { kind: 'text', schema, fallback: null, help };
}

/** A text that nothing reads, and that may so be anything. */
export function ignoredText(help: string): OptionRow<string | null> {
  return { kind: 'text', schema: z.string('must be a text').nullable(), fallback: null, help };
}

/** An amount of memory, `4GiB`, or a share of it, `50%`; a number is bytes. */
export function memory(help: string): OptionRow<string | null> {
  const amount = 'must be an amount such as 4GiB, 500MB, 50% or a number of bytes';
  const spelling = /^\s*\d+(\.\d+)?\s*([kKmMgGtT][iI]?[bB]|[bB]|%)?\s*$/;
  const isAmount = (text: string) => (bytesOf(text) ?? shareOf(text)) !== undefined;
  const words = z.string(amount).regex(spelling, amount).refine(isAmount, amount);
  const schema = z.preprocess((value) => (typeof value === 'number' ? String(value) : value), words.nullable());
  return { kind: 'amount', schema: schema as z.ZodType<string | null>, fallback: null, help };
}

/** A file or a folder. */
export function path(help: string): OptionRow<string | null> {
  return { ...text(help), isPath: true };
}

/** Ranks and sizes, `16|8|4|4`; a 0 is for the score to judge. `none`: a word for no list. */
export function integerList(
  help: string,
  { fallback = null, none }: { readonly fallback?: readonly number[] | null; readonly none?: string } = {},
): OptionRow<readonly number[] | null> {
  const list = z
    .array(numberSchema(wholeNumber, { min: 0 }), 'must be a list such as 16|8|4|4')
    .min(1)
    .nullable();
  const schema = z.preprocess((value) => (isWord(value, none) ? null : value), list) as z.ZodType<
    readonly number[] | null
  >;
  return { kind: 'list', schema, fallback, help, none };
}

function isWord(value: unknown, word: string | undefined): boolean {
  return word !== undefined && (value === word || (Array.isArray(value) && value.length === 1 && value[0] === word));
}

/** Three shares of a whole, `0.7|0.1|0.2`, or three whole numbers of its parts. */
export function shares(fallback: readonly number[], help: string): OptionRow<readonly number[]> {
  const three = 'must be three shares below 1, such as 0.7|0.1|0.2, or three whole numbers of rows';
  const schema = z
    .array(z.number(three).positive(three), three)
    .length(3, three)
    .refine((parts) => parts.every((part) => part < 1) || parts.every(Number.isInteger), three)
    .refine((parts) => parts.some((part) => part >= 1) || total(parts) <= 1 + 1e-9, 'add up to more than 1');
  return { kind: 'list', schema, fallback, help };
}

function total(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** Names of any kind, `HUFL|OT`. */
export function names(help: string): OptionRow<readonly string[] | null> {
  const schema = z.array(z.coerce.string()).min(1).nullable();
  return { kind: 'list', schema, fallback: null, help };
}

/** What fills slots, `mlp_up=btt`; a list in a file, one at a time on the command line. */
export function fillings(help: string): OptionRow<readonly string[] | null> {
  const filling = 'must be SLOT=STRUCTURE, such as mlp_up=btt or linear=./mine.mlbtc';
  const schema = z
    .array(z.string(filling).regex(/^[A-Za-z]\w*=[^|,]+$/, filling))
    .min(1, filling)
    .nullable();
  return { kind: 'list', schema, fallback: null, help, adds: true };
}

/** A list of words out of a few, `MHA|SWA|MHA`. */
export function wordList(
  words: readonly string[],
  fallback: readonly string[],
  help: string,
): OptionRow<readonly string[]> {
  const word = z.enum(words as readonly [string, ...string[]], `must be a list of ${words.join(' and ')}`);
  return { kind: 'list', schema: z.array(word).min(1), fallback, help };
}

export function choice<const T extends string>(choices: readonly T[], fallback: T, help: string): OptionRow<T> {
  const schema = z.enum(choices as readonly [T, ...T[]], `must be one of ${choices.join(', ')}`);
  return { kind: 'choice', schema: schema as unknown as z.ZodType<T>, fallback, help, choices };
}

/** `choice` that may be left out. */
export function optionalChoice<const T extends string>(choices: readonly T[], help: string): OptionRow<T | null> {
  const schema = z.enum(choices as readonly [T, ...T[]], `must be one of ${choices.join(', ')}`).nullable();
  return { kind: 'choice', schema: schema as unknown as z.ZodType<T | null>, fallback: null, help, choices };
}

const booleanWords: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  1: true,
  false: false,
  no: false,
  0: false,
};

/** What a word of the command line says for a row, before its schema judges it; a word that fits no reading stays a word. */
export function readWord(kind: OptionKind, word: string): unknown {
  const lower = word.toLowerCase();
  if (lower === 'none' || lower === 'null') return null;
  switch (kind) {
    case 'boolean':
      return booleanWords[lower] ?? word;
    case 'integer':
    case 'number':
      return /^[-+]?(\d[\d_]*\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(word) ? Number(word.replaceAll('_', '')) : word;
    case 'list':
      return word
        .replace(/^\[|\]$/g, '')
        .split(/[|,]/)
        .map((part) => (/^\s*(\d+\.?\d*|\.\d+)\s*$/.test(part) ? Number(part) : part));
    case 'text':
    case 'amount':
    case 'choice':
      return word;
    default:
      return kind satisfies never;
  }
}

/** A value that a row admits, or what is wrong with it. */
export function validated(
  { schema, choices }: OptionRow<unknown>,
  value: unknown,
): { readonly value: unknown } | { readonly problem: string } {
  const result = schema.safeParse(value);
  if (result.success) return { value: result.data };
  const near = typeof value === 'string' && choices ? closest(value, choices) : undefined;
  return { problem: `${result.error.issues[0].message}${near === undefined ? '' : `; did you mean ${near}?`}` };
}

/** How a value is written back on a command line or shown in help. */
export function showValue(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return value.join('|');
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}
