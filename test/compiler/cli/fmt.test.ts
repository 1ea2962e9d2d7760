/** `mlbtcc fmt`: in place, from standard input, and as a check. */
import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mlbtcc, writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const loose = '// first\nstructure S{axis i:I\ninput x[i]\n  y[i]=2*x[i] // twice\n output y}\n';
const laid = `// first
structure S {
  axis i: I
  input x[i]
  y[i] = 2 * x[i]  // twice
  output y
}
`;

test('in place, once and for all; nothing else is left in the folder', async () => {
  await inFolder(async (folder) => {
    writeFiles(folder, { 'a.mlbtc': loose });
    const path = join(folder, 'a.mlbtc');
    chmodSync(path, 0o640);
    symlinkSync(path, join(folder, 'link.mlbtc'));
    expect(await mlbtcc(['fmt', '--check', path])).toEqual({ code: 1, out: `${path}\n`, err: '' });
    expect(readFileSync(path, 'utf8')).toBe(loose);
    expect(await mlbtcc(['fmt', join(folder, 'link.mlbtc')])).toEqual({ code: 0, out: '', err: '' });
    expect(readFileSync(path, 'utf8')).toBe(laid);
    expect(lstatSync(join(folder, 'link.mlbtc')).isSymbolicLink()).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder).sort()).toEqual(['a.mlbtc', 'link.mlbtc']);
    const { mtimeMs } = statSync(path);
    expect((await mlbtcc(['fmt', path])).code).toBe(0);
    expect(statSync(path).mtimeMs).toBe(mtimeMs);
    expect(await mlbtcc(['fmt', '--check', path])).toEqual({ code: 0, out: '', err: '' });
  });
});

test('from standard input to standard output', async () => {
  expect(await mlbtcc(['fmt', '-'], loose)).toEqual({ code: 0, out: laid, err: '' });
  expect(await mlbtcc(['fmt', '--check', '-'], loose)).toEqual({ code: 1, out: '<stdin>\n', err: '' });
});

test('a file with mistakes is not touched, the others are laid out', async () => {
  await inFolder(async (folder) => {
    writeFiles(folder, { 'a.mlbtc': 'structure S {\n  axis i I\n}\n', 'b.mlbtc': loose });
    const { code, out, err } = await mlbtcc([
      'fmt',
      join(folder, 'a.mlbtc'),
      join(folder, 'b.mlbtc'),
      join(folder, 'c'),
    ]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('a.mlbtc:2:');
    expect(err).toContain('E0001: the file cannot be read');
    expect(readFileSync(join(folder, 'a.mlbtc'), 'utf8')).toBe('structure S {\n  axis i I\n}\n');
    expect(readFileSync(join(folder, 'b.mlbtc'), 'utf8')).toBe(laid);
  });
});
