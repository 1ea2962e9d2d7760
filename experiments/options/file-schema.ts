/**
 * JSON Schema of a preset or a run's config, for editors: names, values, defaults and what an option is for, from the option table that
 * also reads the file. Draft 7, which editors of YAML understand best.
 *
 * The trap: a value has two spellings in a file too, `[16, 8]` and `16|8`, and `none` for no value. Whatever the schema admits the reader
 * admits; the reader also takes names with `-`, and numbers and flags as words, which an editor may well mark.
 */
import { z } from 'zod';
import { sizesSchema } from './layer-file.ts';
import type { OptionSet } from './set.ts';
import type { OptionRow, OptionTable } from './table.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

export function fileSchema({ name, table, aliases }: OptionSet<OptionTable>): JsonSchema {
  const rows = Object.entries(table).map(([option, row]) => [option, optionSchema(row)] as const);
  const short = Object.entries(aliases).map(([alias, option]) => [
    alias,
    { ...optionSchema(table[option]), description: `${option}: ${table[option].help}` },
  ]);
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: `Options of mlbtc train ${name}`,
    type: 'object',
    properties: {
      ...Object.fromEntries([...rows, ...short]),
      sizes: { ...jsonSchemaOf(sizesSchema), description: 'sizes and consts of the structure, as -s gives them' },
    },
    additionalProperties: false,
  };
}

function optionSchema(row: OptionRow<unknown>): JsonSchema {
  const { schema, help, fallback } = row;
  const value = jsonSchemaOf(schema);
  const ofKind = row.kind === 'list' ? listSpellings(value) : row.kind === 'amount' ? [aboveZero] : [];
  const spelled = [...ofKind, ...noneSpellings(row)];
  const told = { description: help, ...(fallback === undefined ? {} : { default: fallback }) };
  return spelled.length === 0 ? { ...value, ...told } : { anyOf: [...alternatives(value), ...spelled], ...told };
}

/** An amount without a unit. */
const aboveZero: JsonSchema = { type: 'number', exclusiveMinimum: 0 };

function alternatives(value: JsonSchema): readonly JsonSchema[] {
  return (value.anyOf as readonly JsonSchema[] | undefined) ?? [value];
}

/** What a schema makes of a value, without the bounds that any number in JavaScript has. */
function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...value } = z.toJSONSchema(schema, {
    target: 'draft-7',
    io: 'output',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  return value;
}

/** One value for a list of one, and all of them in a word: `16|8`. */
function listSpellings(value: JsonSchema): readonly JsonSchema[] {
  const list = alternatives(value).find(({ type }) => type === 'array');
  const item = (list?.items ?? {}) as JsonSchema;
  const length = typeof list?.maxItems === 'number' ? list.maxItems : undefined;
  const one = itemPattern(item);
  const further = length === undefined ? '*' : `{${length - 1}}`;
  const isNumber = item.type === 'integer' || item.type === 'number';
  return [
    { type: 'string', pattern: `^(${one})([|,](${one}))${further}$` },
    ...(isNumber && (length ?? 1) === 1 ? [item] : []),
  ];
}

function itemPattern({ type, enum: words, pattern }: JsonSchema): string {
  if (typeof pattern === 'string') return pattern.replace(/^\^|\$$/g, '');
  if (Array.isArray(words)) return words.join('|');
  if (type === 'integer') return '\\d+';
  return type === 'number' ? '\\d+\\.?\\d*|\\.\\d+' : '[^|,]+';
}

function noneSpellings({ schema, kind, none }: OptionRow<unknown>): readonly JsonSchema[] {
  if (!schema.safeParse(null).success) return [];
  const words = none === undefined ? ['none'] : ['none', none];
  return kind === 'text' ? [] : [{ enum: words }];
}
