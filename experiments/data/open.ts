/**
 * Prepared data from their folder: `train.bin`, `val.bin`, `meta.json`. Everything that training could stumble over later is looked for
 * here: sizes, and every token, because one beyond the vocabulary would read another param's memory on the device.
 *
 * The trap: the files may be far larger than memory, so tokens are read where they lie, by their place in the file.
 */
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { UserError } from '../../compiler/command-line/errors.ts';
import { metaName, type ReadableMeta, readableMeta, splitFiles } from './meta.ts';
import type { SplitName, TokenData, TokenSplit } from './token-data.ts';
import { isTokenizerName, tokenizerNames, tokenizerShapes } from './tokenizers.ts';

/** Where a preparation works until it is complete. */
export function workFolder(folder: string): string {
  return `${resolve(folder)}.partial`;
}

/** Throws UserError for what is missing, cut short, contradictory or beyond the vocabulary; system errors. */
export function openTokenData(folder: string): TokenData {
  const meta = readMeta(folder);
  const { tokenizer } = meta;
  if (!isTokenizerName(tokenizer)) {
    throw new UserError(
      `${join(folder, metaName)}: no tokenizer is called ${tokenizer}; there are ${tokenizerNames.join(', ')}`,
    );
  }
  const { vocabulary, bytesPerToken } = tokenizerShapes[tokenizer];
  if (meta.vocabulary !== undefined && meta.vocabulary !== vocabulary) {
    throw new UserError(
      `${join(folder, metaName)}: says ${meta.vocabulary} different tokens, and ${tokenizer} has ${vocabulary}; prepare the data again`,
    );
  }
  const open = (name: SplitName) => openSplit(folder, name, meta, bytesPerToken, vocabulary);
  return { name: basename(resolve(folder)), tokenizer, vocabulary, train: open('train'), val: open('val') };
}

function readMeta(folder: string): ReadableMeta {
  const path = join(folder, metaName);
  if (!existsSync(folder)) {
    throw new UserError(
      existsSync(workFolder(folder))
        ? `${folder} is not complete yet; run its \`mlbtc data prepare\` again, which goes on where it was`
        : `${folder}: there is no such folder; make it with \`mlbtc data prepare FILES --out ${folder}\``,
    );
  }
  if (!statSync(folder).isDirectory()) {
    throw new UserError(
      `${folder}: is a file; make data of it with \`mlbtc data prepare ${folder} --out NAME\` and give \`--data NAME\``,
    );
  }
  if (!existsSync(path)) {
    throw new UserError(
      existsSync(join(folder, splitFiles.train))
        ? `${folder}: has no ${metaName}, so nobody knows what its tokens mean; if they are the reference's 96 symbols, ` +
            `\`echo '{"tokenizer":"chars96"}' > ${path}\` says so, and "gpt2" or "bytes" say those`
        : `${folder}: holds no prepared data; make some with \`mlbtc data prepare FILES --out ANOTHER_FOLDER\``,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) throw error;
    throw new UserError(`${path}: is not JSON; prepare the data again`);
  }
  const parsed = readableMeta.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path: where, message } = parsed.error.issues[0];
  throw new UserError(`${path}: ${where.join('.') || 'the whole'}: ${message}; prepare the data again`);
}

function openSplit(
  folder: string,
  name: SplitName,
  meta: ReadableMeta,
  bytesPerToken: 1 | 2,
  vocabulary: number,
): TokenSplit {
  const path = join(folder, splitFiles[name]);
  if (!existsSync(path)) throw new UserError(`${path} is missing; prepare the data again`);
  const { size } = statSync(path);
  if (size === 0)
    throw new UserError(`${path} holds no tokens; prepare the data again, with a larger --val_fraction or more text`);
  if (size % bytesPerToken !== 0) {
    throw new UserError(
      `${path} has ${size} bytes, which is no whole number of tokens of ${bytesPerToken} bytes (${meta.tokenizer}); prepare the data again`,
    );
  }
  const length = size / bytesPerToken;
  const expected = meta[name];
  if (expected !== undefined && expected.tokens !== length) {
    throw new UserError(
      `${path} has ${length} tokens, and ${metaName} says ${expected.tokens}; it was cut short or replaced: prepare the data again`,
    );
  }
  const read = (start: number, count: number) => readTokens(path, bytesPerToken, length, start, count);
  checkTokens(path, { length, read }, vocabulary, meta.tokenizer);
  return {
    length,
    bytesPerToken,
    characters: expected?.characters,
    ...(expected && { sha256: expected.sha256 }),
    read,
  };
}

function readTokens(path: string, bytesPerToken: 1 | 2, length: number, start: number, count: number) {
  if (start < 0 || count < 0 || start + count > length) {
    throw new RangeError(`tokens ${start} to ${start + count} of ${length}`);
  }
  const bytes = new Uint8Array(count * bytesPerToken);
  const file = openSync(path, 'r');
  try {
    for (let done = 0; done < bytes.length; ) {
      const got = readSync(file, bytes, done, bytes.length - done, start * bytesPerToken + done);
      if (got === 0) throw new UserError(`${path} became shorter while it was read`);
      done += got;
    }
  } finally {
    closeSync(file);
  }
  return bytesPerToken === 1 ? bytes : new Uint16Array(bytes.buffer);
}

const pieceTokens = 2 ** 20;

function checkTokens(
  path: string,
  { length, read }: Pick<TokenSplit, 'length' | 'read'>,
  vocabulary: number,
  tokenizer: string,
): void {
  for (let start = 0; start < length; start += pieceTokens) {
    const tokens = read(start, Math.min(pieceTokens, length - start));
    for (let i = 0; i < tokens.length; i += 1) {
      if (tokens[i] < vocabulary) continue;
      throw new UserError(
        `${path}: token ${tokens[i]} at place ${start + i} is beyond the ${vocabulary} of ${tokenizer}; ` +
          'the tokens are of another tokenizer, or the file is damaged',
      );
    }
  }
}
