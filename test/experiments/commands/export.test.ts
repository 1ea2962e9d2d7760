import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inFolder } from '../../support/folder.ts';

const command = new URL('../../../dist/experiments/mlbtc.js', import.meta.url).pathname;
const near = new URL('../../../docs/near.mlbtc', import.meta.url).pathname;

const mlbtc = (folder: string, ...words: readonly string[]) =>
  spawnSync(process.execPath, [command, ...words], { cwd: folder, encoding: 'utf8' });

describe.skipIf(!existsSync(command))('mlbtc export', () => {
  test('a structure goes where it is told, or beside where one stands', () =>
    inFolder((folder) => {
      const { stdout, status } = mlbtc(folder, 'export', near, '--to', 'pytorch', '-s', 'T=8');
      expect([stdout, status]).toEqual([`${near} as a PyTorch module in near.py\n`, 0]);
      const printed = mlbtc(folder, 'export', near, '--to', 'pytorch', '-s', 'T=8', '--out', '/dev/stdout').stdout;
      expect(printed).toBe(readFileSync(join(folder, 'near.py'), 'utf8'));
    }));

  test.each([
    [['export', near, '--to', 'pytroch'], 2, 'error: --to pytroch: did you mean pytorch?'],
    [
      ['export', near, '--to', 'npz'],
      2,
      `error: --to npz is of a run, and ${near} is a structure: --to pytorch writes its module`,
    ],
    [
      ['export', '.', '--to', 'pytorch'],
      2,
      'error: --to pytorch is of a .mlbtc file, and . is called otherwise; of a run: --to reference, --to safetensors, --to npz',
    ],
    [
      ['export', '.', '--to', 'npz', '-s', 'D=4'],
      2,
      'error: --size means nothing for a run, which has what it was trained with',
    ],
    [
      ['import'],
      2,
      'error: say what it is a model of: mlbtc import icl, mlbtc import lm, mlbtc import series, mlbtc import vit',
    ],
    [['import', 'lm', '--preset', 'tiny', 'w.npz'], 2, 'error: the file comes first: mlbtc import lm FILE --preset …'],
  ])('%j', (words, code, message) =>
    inFolder((folder) => {
      const { status, stderr } = mlbtc(folder, ...words);
      expect([status, stderr.trimEnd()]).toEqual([code, message]);
    }),
  );
});
