import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, test } from 'vitest';
import { splitSeed } from '../../../experiments/data/held-out.ts';
import { openTokenData } from '../../../experiments/data/open.ts';
import { type PrepareOptions, type PrepareWatcher, prepareData } from '../../../experiments/data/prepare.ts';
import { cutOf } from '../../../experiments/data/read-text.ts';
import type { TokenSplit } from '../../../experiments/data/token-data.ts';
import { chars96, tokenizerNamed } from '../../../experiments/data/tokenizers.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const gpt2 = await tokenizerNamed('gpt2');
const bytes = await tokenizerNamed('bytes');
const quiet: PrepareWatcher = {
  update: () => undefined,
  say: () => undefined,
  signals: { endAsked: () => false, takeCheckpointAsked: () => false },
};
const defaults = { tokenizer: chars96, split: undefined, valFraction: undefined, field: 'text' } as const;

/** Prepares in a folder that holds the files, and says what is in each part. */
async function prepared(
  files: Readonly<Record<string, string | Uint8Array>>,
  options: Partial<PrepareOptions> = {},
  watcher = quiet,
) {
  return inFolder(async (folder) => {
    writeFiles(folder, files);
    const inputs = (options.inputs ?? ['']).map((path) => join(folder, path));
    const result = await prepareData({ ...defaults, ...options, inputs, out: join(folder, 'out') }, watcher);
    const data = openTokenData(join(folder, 'out'));
    const { decoder } = options.tokenizer ?? chars96;
    const text = ({ read, length }: TokenSplit) => {
      const { push, end } = decoder();
      return Array.from(read(0, length), push).join('') + end();
    };
    return {
      ...result!,
      train: text(data.train),
      val: text(data.val),
      text: text(data.train) + text(data.val),
      data,
      place: (message: string | undefined) => message?.replaceAll(`${folder}/`, ''),
    };
  });
}

const refusal = async (files: Readonly<Record<string, string | Uint8Array>>, options: Partial<PrepareOptions> = {}) =>
  prepared(files, options).then(
    () => 'nothing was refused',
    (error: Error) => error.message.replaceAll(/\/\S*mlbtc-[^/]*\//g, ''),
  );

const lines = (...rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

/** A frame of zstd with one raw block. */
function zstd(text: string): Uint8Array {
  const content = Buffer.from(text);
  const header = (content.length << 3) | 1;
  return Buffer.concat([
    Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, content.length, header & 255, (header >> 8) & 255, header >> 16),
    content,
  ]);
}

describe('what is read', () => {
  test('files and folders of every kind, in the order of their names, compressed or not', async () => {
    const { text, meta } = await prepared({
      'b.txt': 'text',
      'a/1.jsonl': lines({ text: 'one' }, { text: 'two' }),
      'a/2.json.gz': gzipSync(lines({ text: 'packed' })),
      'a/3.txt.zst': zstd('z standard'),
      'a/4.parquet': new Uint8Array(
        parquetWriteBuffer({ columnData: [{ name: 'text', data: ['in a table', 'and more'], type: 'STRING' }] }),
      ),
      'c.txt.gz': gzipSync('last'),
    });
    expect(text).toBe('one\ntwo\npacked\nz standard\nin a table\nand more\ntext\nlast\n');
    expect(meta.documents).toEqual({ read: 8, kept: 8, dropped: 0, empty: 0, bad: 0, percentKept: 100 });
  });

  test('another field; several frames and members; lines without an end and empty ones', async () => {
    const { text } = await prepared(
      {
        '1.jsonl.gz': Buffer.concat([
          gzipSync(lines({ body: 'a' })),
          gzipSync(`\n\r\n${JSON.stringify({ body: 'b' })}`),
        ]),
        '2.jsonl.zst': Buffer.concat([zstd(lines({ body: 'c', text: 'not this' })), zstd(lines({ body: 'd' }))]),
      },
      { field: 'body' },
    );
    expect(text).toBe('a\nb\nc\nd\n');
  });

  test('dropped, empty and bad documents are counted, the first of each told with its place', async () => {
    const rows = [
      lines({ text: 'kept' }, { text: 'caf\u00e9' }),
      '{"text": "half\n',
      lines({ text: '' }, { body: 'x' }, { text: 3 }, [1], null, { text: 'a\tb' }),
      '{"text": "\\ud800"}\n',
      '\xff\n',
    ].join('');
    const { text, meta, firstBad, firstDropped, place } = await prepared({
      'a.jsonl': Buffer.from(rows.replace('caf\u00e9', 'caf\\u00e9'), 'latin1'),
      'b.txt': Uint8Array.of(65, 0xc3),
    });
    expect(text).toBe('kept\n');
    expect(meta.documents).toEqual({ read: 12, kept: 1, dropped: 2, empty: 1, bad: 8, percentKept: 8.33 });
    expect(place(firstDropped)).toBe("'é' (U+00E9) in a.jsonl:2");
    expect(place(firstBad)).toBe('a.jsonl:3: not JSON');
  });

  test('JSON that is one whole and no rows is told so', async () => {
    const whole = { 'a.json': JSON.stringify([{ text: 'one' }, { text: 'two' }]) };
    expect(await refusal(whole)).toMatch(/a\.json:1: a list; each row has to be an object on a line of its own$/);
    const pretty = { 'a.json': JSON.stringify([{ text: 'one' }], null, 2) };
    expect(await refusal(pretty)).toMatch(/a\.json:1: not JSON; each row has to be an object on a line of its own$/);
  });

  test('a table of no bytes, or too few', async () => {
    expect(await refusal({ 'a.parquet': '' })).toBe(
      'a.parquet: is broken as Parquet (it is empty); fetch it again or leave it out',
    );
    expect(await refusal({ 'a.parquet': 'PAR1PAR1' })).toMatch(/broken as Parquet \(it ends too early\)/);
  });

  test('rows of a table that are no text, or no UTF-8', async () => {
    const table = (data: readonly unknown[], type: 'STRING' | 'BYTE_ARRAY') =>
      new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'text', data: [...data], type, nullable: true }] }));
    const { text, meta, firstBad, place } = await prepared({
      'a.parquet': table(['one', null, 'two'], 'STRING'),
      'b.parquet': table([Uint8Array.of(111, 107), Uint8Array.of(0xff)], 'BYTE_ARRAY'),
    });
    expect(text).toBe('one\ntwo\nok\n');
    expect(meta.documents).toMatchObject({ read: 5, kept: 3, bad: 2 });
    expect(place(firstBad)).toBe('a.parquet row 2: no field `text`');
  });

  test('a document larger than any piece, dropped for its last character', async () => {
    const long = 'All work and no play makes Jack a dull boy.\n'.repeat(30_000);
    const { text, meta, val, train } = await prepared({ 'a.txt': long, 'b.txt': `${long}\u2014`, 'c.txt': 'end' });
    expect(text).toBe(`${long}\nend\n`);
    expect(meta.documents).toMatchObject({ kept: 2, dropped: 1 });
    expect(train.length).toBe(Math.floor(0.9 * (long.length + 5)));
    expect(val.endsWith('end\n')).toBe(true);
  });

  test('what cannot be read as a whole is refused with a way out', async () => {
    const table = parquetWriteBuffer({ columnData: [{ name: 'body', data: ['x'], type: 'STRING' }] });
    const packed = gzipSync('a'.repeat(1000));
    expect(await refusal({ 'a.parquet': new Uint8Array(table) })).toBe(
      'a.parquet: has no column `text`; its columns are body: give --field one of them',
    );
    expect(await refusal({ 'a.parquet': 'no table at all' })).toMatch(/^a\.parquet: is broken as Parquet \(/);
    expect(await refusal({ 'a.gz': packed.subarray(0, 20) })).toBe(
      'a.gz: is broken as gzip (unexpected end of file); fetch it again or leave it out',
    );
    expect(await refusal({ 'a.zst': zstd('hello').subarray(0, 11) })).toMatch(/^a\.zst: is broken as zstd \(/);
    expect(await refusal({ 'a.txt': 'a' }, { inputs: ['a.txt', ''] })).toContain('a.txt is given twice');
    expect(await refusal({ 'a.txt': 'a' }, { inputs: ['b.txt'] })).toContain('ENOENT');
  });

  test('a text without a usable document is an error with counts, and leaves nothing', () =>
    inFolder(async (folder) => {
      writeFiles(folder, { 'in/a.txt': 'dash \u2014', 'in/b.txt': '', 'in/c.jsonl': 'x\n' });
      const preparing = prepareData({ ...defaults, inputs: [join(folder, 'in')], out: join(folder, 'out') }, quiet);
      await expect(preparing).rejects.toThrow(
        /of 3, 1 with a character that chars96 has no token for, 1 empty, 1 that could not be read\n {2}--tokenizer bytes takes any text\n.*'—' \(U\+2014\) in .*a\.txt\n.*c\.jsonl:1: not JSON/,
      );
      expect(readdirSync(folder)).toEqual(['in']);
    }));

  test('links that lead round in a circle are seen, and the output does not feed on itself', () =>
    inFolder(async (folder) => {
      writeFiles(folder, { 'in/a.txt': 'text' });
      const options = { ...defaults, inputs: [folder], out: join(folder, 'in/out') };
      const { meta } = (await prepareData(options, quiet))!;
      expect(meta.inputs.files).toBe(1);
      expect(await prepareData(options, quiet)).toBeUndefined();
      symlinkSync(folder, join(folder, 'in/again'));
      await expect(prepareData({ ...options, out: join(folder, 'b') }, quiet)).rejects.toThrow('round in a circle');
    }));
});

describe('tokens', () => {
  test('of GPT-2, as in its publication; what looks special is text', async () => {
    const encode = (text: string) => Array.from(gpt2.encode(text)!);
    expect(encode('Hello world')).toEqual([15496, 995]);
    expect(encode('<|endoftext|>')).not.toContain(50256);
    const { data, text, meta } = await prepared({ 'a.txt': 'Hello world' }, { tokenizer: gpt2 });
    expect([data.vocabulary, data.train.bytesPerToken, meta.dtype]).toEqual([50257, 2, 'uint16']);
    expect(text).toBe('Hello world<|endoftext|>');
  });

  test('come back as the text, and count its characters, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        for (const tokenizer of [bytes, gpt2]) {
          const tokens = tokenizer.encode(text)!;
          const { push, end } = tokenizer.decoder();
          expect(Array.from(tokens, push).join('') + end()).toBe(text);
          expect(Array.from(tokens).reduce((sum, token) => sum + tokenizer.characters(token), 0)).toBe(
            [...text].length,
          );
        }
      }),
      { numRuns: 100 },
    );
  });

  test('do not depend on where a text is cut into pieces', () => {
    const spaced = fc.array(fc.constantFrom(' ', '\n', '  \n', 'word', "it's", '12', '\u00a0', '—!', '\r\n', 'é'), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(spaced, spaced, (left, right) => {
        const text = left.join('') + right.join('');
        const cut = cutOf(left.join(''));
        const parts = [text.slice(0, cut), text.slice(cut)].flatMap((part) => Array.from(gpt2.encode(part)!));
        expect(parts).toEqual(Array.from(gpt2.encode(text)!));
      }),
      { numRuns: 500 },
    );
  });

  test('a word without an end is cut at a length of its own, never inside a character', () => {
    expect(cutOf('a'.repeat(2 ** 16))).toBe(0);
    expect(cutOf('a'.repeat(2 ** 16 + 9))).toBe(2 ** 16);
    expect(cutOf(`${'a'.repeat(2 ** 16 - 1)}😀`)).toBe(2 ** 16 + 1);
  });
});

describe('what is held out', () => {
  const rows = (count: number) => lines(...Array.from({ length: count }, (_, i) => ({ text: `document ${i}` })));

  test('documents by chance, each by its own number whatever comes behind it', async () => {
    const options = { valFraction: 0.05, split: 'documents' } as const;
    const { train, val, meta } = await prepared({ 'a.jsonl': rows(1000) }, options);
    const numbers = (text: string) => text.match(/\d+/g)!.map(Number);
    expect(numbers(val).length).toBeGreaterThan(25);
    expect(numbers(val).length).toBeLessThan(80);
    expect([...numbers(train), ...numbers(val)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
    const fewer = await prepared({ 'a.jsonl': rows(500) }, options);
    expect(numbers(fewer.val)).toEqual(numbers(val).filter((number) => number < 500));
    expect(meta.split).toEqual({ by: 'documents', fraction: 0.05, seed: splitSeed });
  });

  test('documents that are dropped count, as in the reference, which splits first', async () => {
    const options = { valFraction: 0.05, split: 'documents' } as const;
    const all = await prepared({ 'a.jsonl': rows(400) }, options);
    const some = await prepared({ 'a.jsonl': rows(400).replaceAll(/document (\d*[13579])"/g, 'd\u00e9 $1"') }, options);
    const even = all.val.split('\n').filter((line) => /[02468]$/.test(line));
    expect(some.val).toBe(even.map((line) => `${line}\n`).join(''));
  });

  test('the last tenth where chance has too few documents, none of them lost', async () => {
    const { train, val, meta } = await prepared({ 'a.jsonl': rows(100) }, { valFraction: 0.05 });
    expect(meta.split).toEqual({ by: 'last', fraction: 0.05, seed: splitSeed });
    expect((train + val).split('\n').sort()).toEqual(
      rows(100)
        .match(/document \d+/g)!
        .concat('')
        .sort(),
    );
    expect(val.length).toBe(Math.ceil(0.05 * (train + val).length));
    const ordered = await prepared({ 'a.jsonl': rows(100) }, { split: 'last', valFraction: 0.3 });
    expect(ordered.text).toBe(
      rows(100)
        .match(/document \d+/g)!
        .map((line) => `${line}\n`)
        .join(''),
    );
  });

  test('a part without a document is refused where documents were asked for', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, { 'a.txt': 'one' });
      const options = { ...defaults, inputs: [join(folder, 'a.txt')], out: join(folder, 'out') };
      await expect(prepareData({ ...options, split: 'documents' }, quiet)).rejects.toThrow(
        'leaves no held-out part of 1 document; give',
      );
      expect(readdirSync(folder)).toEqual(['a.txt']);
    });
  });
});

describe('a preparation that is interrupted', () => {
  const text = lines(
    ...Array.from({ length: 30_000 }, (_, i) => ({ text: `${i % 7 === 0 ? '\t' : ''}row ${i} of many` })),
  );
  const table = parquetWriteBuffer({
    columnData: [{ name: 'text', data: Array.from({ length: 6000 }, (_, i) => `row ${i} of a table`), type: 'STRING' }],
    rowGroupSize: 700,
    codec: 'GZIP',
    compressors: { GZIP: gzipSync },
  });
  const files = {
    'a.jsonl': text,
    'b.txt': 'a text\n'.repeat(20_000),
    'c.parquet': new Uint8Array(table),
    'd.jsonl.gz': gzipSync(text),
  };
  const folderOf = (path: string) =>
    Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name)).toString('base64')]));

  test.each(['last', 'documents', undefined] as const)('goes on from any instant to the same bytes (%s)', (split) =>
    inFolder(async (folder) => {
      writeFiles(join(folder, 'in'), files);
      const options = { ...defaults, split, inputs: [join(folder, 'in')], out: join(folder, 'whole') };
      const copies: string[] = [];
      const watcher = {
        ...quiet,
        update: () => {
          if (copies.length >= 4) return;
          copies.push(join(folder, `copy${copies.length}`));
          cpSync(join(folder, 'whole.partial'), `${copies.at(-1)}.partial`, { recursive: true });
        },
        signals: { ...quiet.signals, takeCheckpointAsked: () => true },
      };
      await prepareData(options, watcher);
      const whole = folderOf(join(folder, 'whole'));
      expect(Object.keys(whole)).toEqual(['meta.json', 'train.bin', 'val.bin']);
      expect(copies.length).toBeGreaterThan(1);
      for (const copy of copies) {
        await prepareData({ ...options, out: copy }, quiet);
        expect(folderOf(copy)).toEqual(whole);
        expect(existsSync(`${copy}.partial`)).toBe(false);
      }
    }),
  );

  test('by Ctrl-C says so; with other options it begins anew', () =>
    inFolder(async (folder) => {
      writeFiles(join(folder, 'in'), files);
      const options = { ...defaults, inputs: [join(folder, 'in')], out: join(folder, 'out') };
      let asked = 0;
      const endAsked = () => {
        asked += 1;
        return asked > 1;
      };
      const signals = { ...quiet.signals, endAsked };
      await expect(prepareData(options, { ...quiet, signals })).rejects.toThrow(/interrupted after \d+ documents/);
      expect(existsSync(options.out)).toBe(false);
      const said: string[] = [];
      const say = (line: string) => void said.push(line);
      asked = 0;
      await expect(prepareData(options, { ...quiet, say, signals })).rejects.toThrow('interrupted');
      await prepareData({ ...options, tokenizer: bytes }, { ...quiet, say });
      expect(said.map((line) => line.replace(/\d+|\S+\.partial/, '#'))).toEqual([
        'going on after # documents',
        '# was begun with other inputs or options: beginning anew',
      ]);
    }));

  test('nothing of others is touched', () =>
    inFolder(async (folder) => {
      writeFiles(folder, { 'in/a.txt': 'text', 'out/mine': 'x', 'b.partial/mine': 'x', 'c.partial/lock': '1\n' });
      const prepare = (out: string) =>
        prepareData({ ...defaults, inputs: [join(folder, 'in')], out: join(folder, out) }, quiet);
      await expect(prepare('out')).rejects.toThrow('out is not empty; choose another --out');
      await expect(prepare('b')).rejects.toThrow('b.partial is needed to work in, and holds mine');
      await expect(prepare('c')).rejects.toThrow(/c\.partial is in use: .* choose another --out/);
      await prepare('d');
      writeFileSync(join(folder, 'in/a.txt'), 'another text');
      await expect(prepare('d')).rejects.toThrow('holds data made from other inputs or with other options');
      rmSync(join(folder, 'd'), { recursive: true });
      mkdirSync(join(folder, 'd'));
      await prepare('d');
    }));
});
