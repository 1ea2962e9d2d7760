import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const command = new URL('../../../dist/experiments/mlbtc.js', import.meta.url).pathname;

describe.skipIf(!existsSync(command))('mlbtc data prepare, as a process', () => {
  const prepare = (cwd: string, ...words: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [command, 'data', 'prepare', ...words], {
      cwd,
      encoding: 'utf8',
    });
    return { status, stdout, stderr: stderr.split('\n').filter((line) => !/^(reading|checking) · |^$/.test(line)) };
  };

  test('says what it made, what it left out, and how to go on', () =>
    inFolder((folder) => {
      writeFiles(folder, {
        'in/a.txt': 'call me',
        'in/b.txt': 'Ishma\u00ebl',
        'in/c.jsonl': '{"text": ""}\n{',
        'in/.d': 'x',
      });
      const { status, stdout, stderr } = prepare(
        folder,
        'in',
        '--out',
        'made/here',
        '--split=last',
        '--val_fraction=0.5',
      );
      expect(stdout).toBe(
        [
          'made/here: 1 of 4 documents (25 %) as chars96, 96 different tokens',
          '  train.bin: 4 tokens, 4 bytes',
          '  val.bin: 4 tokens, 4 bytes: the last 0.5 of the text',
          "  dropped for a character without a token: 1, the first: 'ë' (U+00EB) in in/b.txt",
          '  empty: 1',
          '  could not be read: 1, the first: in/c.jsonl:2: not JSON; each row has to be an object on a line of its own',
          'train on it: mlbtc train lm --data made/here',
          '',
        ].join('\n'),
      );
      expect([status, stderr]).toEqual([0, ['left out: 1 files or folders whose names begin with a dot']]);
      expect(readdirSync(join(folder, 'made'))).toEqual(['here']);
    }));

  test('counts one document as one', () =>
    inFolder((folder) => {
      writeFiles(folder, { 'a.txt': 'x' });
      const { stdout } = prepare(folder, 'a.txt', '--out', 'd');
      expect(stdout.split('\n').slice(0, 2)).toEqual([
        'd: 1 of 1 document (100 %) as chars96, 96 different tokens',
        '  train.bin: 1 token, 1 byte',
      ]);
    }));

  test('refuses what it cannot do, before anything is written', () =>
    inFolder((folder) => {
      writeFiles(folder, { 'a.txt': 'text', 'b.txt': '\t' });
      expect(prepare(folder, 'a.txt', '--out', 'd', '--val_fraction', '1.5')).toMatchObject({
        status: 2,
        stderr: ['error: --val_fraction 1.5: has to be a number between 0 and 1'],
      });
      expect(prepare(folder, 'a.txt', '--out', 'a.txt')).toMatchObject({
        status: 1,
        stderr: ['error: a.txt is where the tokens go, and not read; there is no other input'],
      });
      expect(prepare(folder, 'c.txt', '--out', 'd')).toMatchObject({
        status: 1,
        stderr: [expect.stringContaining('c.txt: no such file')],
      });
      expect(prepare(folder, 'b.txt', '--out', 'd')).toMatchObject({
        status: 1,
        stderr: [
          expect.stringMatching(/^error: no usable document in b\.txt: of 1, 1 with a character that chars96 has no/),
          expect.any(String),
          expect.stringMatching(/U\+0009 in b\.txt/),
        ],
      });
      for (const words of [
        ['a.txt', '--out', ''],
        ['', '--out', 'd'],
      ]) {
        expect(prepare(folder, ...words)).toMatchObject({ status: 2, stderr: [expect.stringMatching(/^error: .*''/)] });
      }
      expect(readdirSync(folder)).toEqual(['a.txt', 'b.txt']);
    }));
});
