/** `mlbtcc build --print-after`: the program between passes, and the kernels that it becomes. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mlbtcc, writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const lowRank = `structure LowRank {
  size D = 6, r = 4
  axis b: B, i, j: D, k: r
  input x[b, j]
  param L[i, k] ~ normal(fan_in = k)
  param R[j, k] ~ normal(fan_in = j)
  W[i, j] = L[i, k] * R[j, k]
  y[b, i] = W[i, j] * x[b, j]
  output y
}
`;

async function build(...words: readonly string[]) {
  return inFolder(async (folder) => {
    writeFiles(folder, { 'low_rank.mlbtc': lowRank });
    const result = await mlbtcc(['build', join(folder, 'low_rank.mlbtc'), '-s', 'B=3', ...words]);
    return { ...result, files: readdirSync(folder) };
  });
}

const given = `input x: f32[3, 6]
param L: f32[6, 4] ~ normal(std = 0.5, fan_in = 4)
param R: f32[6, 4] ~ normal(std = 0.4082482904638631, fan_in = 6)
`;

test('the program after the one pass that was asked for; nothing is written', async () => {
  const { code, out, err, files } = await build('--print-after', 'order');
  expect([code, err, files]).toEqual([0, '', ['low_rank.mlbtc']]);
  expect(out).toBe(`// after order
${given}tensor y~1: f32[4, 3]
  y~1[k, b] sum= R[j, k] * x[b, j]   over k: 4, b: 3, j: 6
tensor y: f32[3, 6]
  y[b, i] sum= L[i, k] * y~1[k, b]   over b: 3, i: 6, k: 4
output y

`);
});

test('all: every pass in its order, what it leaves alone said in a line, the derivatives, the kernels at the end', async () => {
  const { code, out } = await build('--print-after', 'all', '--grad');
  expect(code).toBe(0);
  expect(out.split('\n').filter((line) => line.startsWith('//'))).toEqual([
    '// as written',
    '// after integers: the same',
    '// after lines: the same',
    '// after simplify: the same',
    '// after distribute: the same',
    '// after inline',
    '// after simplify, time 2',
    '// after unfold: the same',
    '// after chunk: the same',
    '// after order',
    '// after simplify, time 3: the same',
    '// after differentiate',
    '// after simplify, time 4, with derivatives: the same',
    '// after distribute, time 2, with derivatives: the same',
    '// after order, time 2, with derivatives: the same',
    '// after simplify, time 5, with derivatives: the same',
    '// after schedule',
  ]);
  const kernels = out.slice(out.indexOf('// after schedule'));
  expect(kernels).toMatch(/^buffer x: \d+ bytes, input$/m);
  expect(kernels).toMatch(/^kernel 0 .*: \w+ on \d+×\d+×\d+ workgroups/m);
  expect(kernels).toMatch(/^ {2}writes y in \S+\[\d+, \+\d+\]$/m);
});

test('several; with -o the kernels are written too', async () => {
  const { code, out, files } = await inFolder(async (folder) => {
    writeFiles(folder, { 'low_rank.mlbtc': lowRank });
    const words = ['-s', 'B=3', '-o', join(folder, 'made'), '--print-after', 'written,schedule'];
    const result = await mlbtcc(['build', join(folder, 'low_rank.mlbtc'), ...words]);
    return { ...result, files: readdirSync(join(folder, 'made')) };
  });
  expect(code).toBe(0);
  expect(out).toMatch(/^\/\/ as written\n(.|\n)*\n\/\/ after schedule\n(.|\n)*made: \d+ files, \d+ kernels\n$/);
  expect(files).toContain('manifest.json');
});

test('a pass that there is not names the nearest; without -o and without it, -o is missing', async () => {
  const misspelt = await build('--print-after', 'inlin');
  expect([misspelt.code, misspelt.err]).toEqual([2, expect.stringContaining('did you mean inline?')]);
  const neither = await build();
  expect([neither.code, neither.err]).toEqual([2, expect.stringContaining("'-o, --out <folder>' not specified")]);
});
