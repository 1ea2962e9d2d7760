import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openTokenData } from '../../../experiments/data/open.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const meta = '{"tokenizer": "chars96"}';
const some = Uint8Array.of(1, 2, 3);

/** What is said of a folder `data` with these files. */
const refusal = (files: Readonly<Record<string, string | Uint8Array>>) =>
  inFolder((folder) => {
    writeFiles(folder, files);
    try {
      openTokenData(join(folder, 'data'));
      return 'nothing was refused';
    } catch (error) {
      return (error as Error).message.replaceAll(`${folder}/`, '');
    }
  });

describe('prepared data', () => {
  test('of another program, with no more than the name of the tokenizer beside them', () =>
    inFolder((folder) => {
      writeFiles(folder, { 'train.bin': some, 'val.bin': Uint8Array.of(95), 'meta.json': meta });
      const { vocabulary, train, val } = openTokenData(folder);
      expect([vocabulary, train.length, train.bytesPerToken, train.characters]).toEqual([96, 3, 1, undefined]);
      expect([...train.read(1, 2), ...val.read(0, 1)]).toEqual([2, 3, 95]);
      expect(() => train.read(2, 2)).toThrow('tokens 2 to 4 of 3');
      writeFiles(folder, {
        'meta.json': '{"tokenizer": "gpt2"}',
        'train.bin': Uint8Array.of(0x50, 0xc4, 1, 0),
        'val.bin': Uint8Array.of(0, 0),
      });
      expect(Array.from(openTokenData(folder).train.read(0, 2))).toEqual([50256, 1]);
    }));

  test('that are not there, or not whole', async () => {
    expect(await refusal({})).toContain(
      'data: there is no such folder; make it with `mlbtc data prepare FILES --out data`',
    );
    expect(await refusal({ 'data.partial/state.json': '' })).toContain('data is not complete yet');
    expect(await refusal({ data: 'a text' })).toContain('data: is a file; make data of it with');
    expect(await refusal({ 'data/a.txt': 'a text' })).toContain('data: holds no prepared data');
    expect(await refusal({ 'data/train.bin': some, 'data/val.bin': some })).toContain(
      'echo \'{"tokenizer":"chars96"}\' > data/meta.json',
    );
    expect(await refusal({ 'data/meta.json': meta, 'data/train.bin': some })).toBe(
      'data/val.bin is missing; prepare the data again',
    );
    expect(await refusal({ 'data/meta.json': meta, 'data/train.bin': '', 'data/val.bin': some })).toContain(
      'data/train.bin holds no tokens',
    );
  });

  test('that contradict themselves', async () => {
    const with_ = (text: string, train: Uint8Array = some) =>
      refusal({ 'data/meta.json': text, 'data/train.bin': train, 'data/val.bin': some });
    expect(await with_('{')).toBe('data/meta.json: is not JSON; prepare the data again');
    expect(await with_('{}')).toContain('data/meta.json: tokenizer: ');
    expect(await with_('{"tokenizer": "words"}')).toBe(
      'data/meta.json: no tokenizer is called words; there are chars96, bytes, gpt2',
    );
    expect(await with_('{"tokenizer": "chars96", "vocabulary": 65}')).toContain(
      'says 65 different tokens, and chars96 has 96',
    );
    expect(await with_('{"tokenizer": "gpt2"}')).toContain(
      'has 3 bytes, which is no whole number of tokens of 2 bytes (gpt2)',
    );
    expect(await with_(meta, Uint8Array.of(95, 96))).toContain(
      'data/train.bin: token 96 at place 1 is beyond the 96 of chars96',
    );
    const part = { tokens: 4, bytes: 4, characters: 4, sha256: '' };
    expect(await with_(JSON.stringify({ tokenizer: 'chars96', train: part }))).toContain(
      'data/train.bin has 3 tokens, and meta.json says 4',
    );
  });
});
