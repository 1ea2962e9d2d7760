import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isSameStructure, readStructure } from '../../../experiments/models/structure-copy.ts';
import { mlbtcc, writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const main = `import "btt"
import "../lib/rope.mlbtc"
import "rope.mlbtc" // beside this one

structure S {
  axis n: N, i: 16
  input z[n, i]
  use BTT(D = 16, x = z) as m
  y[n, i] = far(near(m.y[n, i]))
  output y
}
`;
const files = {
  'mine/main.mlbtc': main,
  'mine/rope.mlbtc': 'fn near(a) = a + 1\n',
  'lib/rope.mlbtc': 'import "helper.mlbtc"\nfn far(a) = twice(a)\n',
  'lib/helper.mlbtc': 'fn twice(a) = 2 * a\n',
};

test('a copy holds all that is imported, the library too, and is a structure by itself', () =>
  inFolder(async (folder) => {
    writeFiles(folder, files);
    const copy = readStructure(join(folder, 'mine/main.mlbtc'));
    expect([...copy.files.keys()]).toEqual([
      ...['main.mlbtc', 'btt.mlbtc', 'rope.mlbtc', 'rope-2.mlbtc', 'helper.mlbtc'],
    ]);
    expect(copy.files.get('main.mlbtc')).toBe(
      main.replace('"btt"', '"btt.mlbtc"').replace('../lib/', '').replace('"rope.mlbtc" //', '"rope-2.mlbtc" //'),
    );
    expect(copy.source.text).toBe(main);
    expect(copy.resolve('btt', copy.source.file)?.text).toContain('structure BTT');

    const moved = join(folder, 'moved');
    mkdirSync(moved);
    writeFiles(moved, Object.fromEntries(copy.files));
    for (const original of ['mine', 'lib']) rmSync(join(folder, original), { recursive: true });
    expect(await mlbtcc(['check', join(moved, 'main.mlbtc')])).toMatchObject({ code: 0, out: '' });
    const again = readStructure(join(moved, 'main.mlbtc'));
    expect(again.files).toEqual(copy.files);
    expect(isSameStructure(again, copy)).toBe(true);
    writeFileSync(join(moved, 'helper.mlbtc'), 'fn twice(a) = 3 * a\n');
    expect(isSameStructure(readStructure(join(moved, 'main.mlbtc')), copy)).toBe(false);
  }));

test('what cannot be read or understood is a diagnostic of its file', () =>
  inFolder((folder) => {
    const path = join(folder, 'a.mlbtc');
    expect(() => readStructure(path)).toThrow('a.mlbtc: error E0001: the file cannot be read');
    writeFileSync(path, 'structure {');
    expect(() => readStructure(path)).toThrow(/a\.mlbtc:1:11: error/);
    writeFileSync(path, 'import "nowhere.mlbtc"\nstructure S { axis i: 2 input x[i] output x }\n');
    expect([...readStructure(path).files.values()][0]).toContain('import "nowhere.mlbtc"');
  }));
