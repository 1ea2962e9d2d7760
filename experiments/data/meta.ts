/**
 * `meta.json` of prepared data: what made them and what they hold. It says nothing of when and where, so that the same texts give the
 * same file. (The reference writes its symbols as `meta.pkl`, Python's own format; here they stand in `symbols`.)
 *
 * Only `tokenizer` is needed to read tokens: `{"tokenizer": "chars96"}` beside the .bin files of another program will do.
 */
import { z } from 'zod';

export const metaName = 'meta.json';
export const metaFormat = 'mlbtc-tokens-1';
export const splitFiles = { train: 'train.bin', val: 'val.bin' } as const;

const count = z.number().int().min(0);
const partSchema = z.object({ tokens: count, bytes: count, characters: count, sha256: z.string() });

const writtenSchema = z.object({
  format: z.literal(metaFormat),
  /** Of the program. */
  version: z.string(),
  tokenizer: z.string(),
  vocabulary: z.number().int().min(1),
  /** Of a token; more than one byte: the lowest first. */
  dtype: z.enum(['uint8', 'uint16']),
  /** The characters in the order of their tokens, where tokens are characters. */
  symbols: z.string().optional(),
  /** What stands after each document. */
  end: count,
  train: partSchema,
  val: partSchema,
  split: z.object({
    /** `documents`: each by chance; `last`: the end of the text. */
    by: z.enum(['documents', 'last']),
    fraction: z.number(),
    seed: count,
  }),
  documents: z.object({
    read: count,
    kept: count,
    /** Held a character that has no token. */
    dropped: count,
    empty: count,
    /** Rows that could not be read. */
    bad: count,
    percentKept: z.number(),
  }),
  inputs: z.object({
    files: count,
    bytes: count,
    field: z.string(),
    /** Of the request: paths, sizes and times of the inputs, and the options. */
    request: z.string(),
  }),
});

/** What reading takes of it. */
export const readableMeta = writtenSchema
  .pick({ vocabulary: true, train: true, val: true })
  .partial()
  .extend({ format: z.literal(metaFormat).optional(), tokenizer: z.string() });

export type Meta = z.infer<typeof writtenSchema>;
export type PartMeta = z.infer<typeof partSchema>;
export type ReadableMeta = z.infer<typeof readableMeta>;

export function metaText(meta: Meta): string {
  return `${JSON.stringify(meta, null, 2)}\n`;
}

/** The request that complete data were made from; undefined where there are none. */
export function requestOf(text: string): string | undefined {
  try {
    return writtenSchema.parse(JSON.parse(text)).inputs.request;
  } catch {
    return undefined;
  }
}
