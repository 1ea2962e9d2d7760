/** `mlbtcc check`: what a person and a script see, and the exit status. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { mlbtcc, writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const sharedFolder = new URL('../../structures/', import.meta.url).pathname;
const good = 'structure Good { axis i: I  input x[i]  y[i] = 2 * x[i]  output y }\n';
const bad = `structure Bad {
  size D = 10, spare = 3
  axis i, j: D
  input x[i]
  param W[i, j] ~ normal(fan_in = j)
  y[i] = W[i, k] * x[j]
  output z
}
`;

/** The output with the folder's own name taken out. */
async function checked(files: Readonly<Record<string, string | Uint8Array>>, ...args: string[]) {
  return inFolder(async (folder) => {
    writeFiles(folder, files);
    const result = await mlbtcc(['check', ...args.map((a) => (a.endsWith('.mlbtc') ? join(folder, a) : a))]);
    const bare = (text: string): string => text.replaceAll(`${folder}/`, '');
    return { ...result, out: bare(result.out), err: bare(result.err) };
  });
}

describe('for people', () => {
  test('nothing to say about a right file', async () => {
    expect(await checked({ 'good.mlbtc': good }, 'good.mlbtc')).toEqual({ code: 0, out: '', err: '' });
  });

  test('every mistake with its place, the line and a caret', async () => {
    const { code, out, err } = await checked({ 'bad.mlbtc': bad }, 'bad.mlbtc');
    expect([code, err]).toEqual([1, '']);
    expect(out).toBe(`bad.mlbtc:2:16: warning W0201: nothing uses the size \`spare\`
  2 |   size D = 10, spare = 3
    |                ^^^^^
  help: remove it

bad.mlbtc:6:15: error E0401: \`k\` is not known here
  6 |   y[i] = W[i, k] * x[j]
    |               ^
  help: declare it: \`axis k: N\`

bad.mlbtc:7:10: error E0401: \`z\` is not known here
  7 |   output z
    |          ^

2 errors, 1 warning
`);
  });

  test('a number that is too large is told once', async () => {
    const { code, out } = await checked({ 'large.mlbtc': good.replace('2 *', '1e999 *') }, 'large.mlbtc');
    expect(code).toBe(1);
    expect(out).toContain('error E0119: `1e999` is too large');
    expect(out).toMatch(/^1 error$/m);
  });

  test('warnings alone do not fail', async () => {
    const text = good.replace('axis', 'size spare = 1 axis');
    const { code, out } = await checked({ 'good.mlbtc': text }, 'good.mlbtc');
    expect(code).toBe(0);
    expect(out).toContain('warning W0201');
  });

  test('what depends on a size without a value is postponed, and looked at once it is bound', async () => {
    const text = 'structure S { size D check D % 4 == 0 "D in quarters" axis i: D  input x[i]  y[i] = x[i]  output y }';
    const file = { 's.mlbtc': text.replace('input x[i]', 'param x[i] ~ ones') };
    expect((await checked(file, 's.mlbtc')).code).toBe(0);
    const { code, out } = await checked(file, 's.mlbtc', '-s', 'D=6');
    expect(code).toBe(1);
    expect(out).toContain('E0309: D in quarters');
    expect((await checked(file, 's.mlbtc', '-s', 'D=8')).code).toBe(0);
  });

  test('a mistake in an imported file is shown with that file', async () => {
    const files = { 'main.mlbtc': `import "part/inner.mlbtc"\n${good}`, 'part/inner.mlbtc': 'structure {' };
    const { out } = await checked(files, 'main.mlbtc');
    expect(out).toContain('part/inner.mlbtc:1:11: error');
  });

  test('the library answers bare names, a file beside it relative ones, and what is missing is said', async () => {
    const use = 'structure S { axis n: N, i: 16  input z[n, i]  use BTT(D = 16, x = z) as m  output m.y }';
    expect(await checked({ 'a.mlbtc': `import "btt"\n${use}` }, 'a.mlbtc')).toMatchObject({ code: 0, out: '' });
    const { code, out } = await checked({ 'a.mlbtc': `import "bt"\nimport "gone.mlbtc"\n${good}` }, 'a.mlbtc');
    expect(code).toBe(1);
    expect(out).toContain('the library has no `bt`');
    expect(out).toContain('there is no file `gone.mlbtc`');
  });

  test('one file reached on two ways is one file: a cycle is seen', async () => {
    const files = {
      'a.mlbtc': `import "sub/../b.mlbtc"\n${good}`,
      'b.mlbtc': `import "./a.mlbtc"\n${good}`,
      'sub/x': '',
    };
    const { out } = await checked(files, 'a.mlbtc');
    expect(out).toContain('E0202');
  });
});

describe('what is no structure at all', () => {
  test('several files, each with its answer, as data', async () => {
    const files = {
      'good.mlbtc': good,
      'bad.mlbtc': bad,
      'empty.mlbtc': '',
      'bytes.mlbtc': Uint8Array.from({ length: 4000 }, (_, i) => (i * 37) % 256),
      'folder.mlbtc/x': '',
    };
    const names = ['good.mlbtc', 'bad.mlbtc', 'empty.mlbtc', 'bytes.mlbtc', 'folder.mlbtc', 'gone.mlbtc'];
    const { code, out, err } = await checked(files, ...names, '--json');
    expect([code, err]).toEqual([1, '']);
    const list = JSON.parse(out) as { file: string; code: string; severity: string; line: number; column: number }[];
    expect(list.map((d) => `${d.file} ${d.code} ${d.severity} ${d.line}:${d.column}`)).toEqual([
      'bad.mlbtc W0201 warning 2:16',
      'bad.mlbtc E0401 error 6:15',
      'bad.mlbtc E0401 error 7:10',
      'empty.mlbtc E0116 error 1:1',
      'bytes.mlbtc E0101 error 1:1',
      'folder.mlbtc E0001 error 1:1',
      'gone.mlbtc E0001 error 1:1',
    ]);
    expect(Object.keys(list[0])).toEqual(['code', 'severity', 'file', 'line', 'column', 'message', 'help']);
  });

  test('a misspelt path is helped', async () => {
    const { out } = await checked({ 'good.mlbtc': good }, 'goood.mlbtc');
    expect(out).toContain('good.mlbtc`?');
    const bare = await inFolder((folder) => {
      writeFiles(folder, { 'good.mlbtc': good });
      return mlbtcc(['check', join(folder, 'good')]);
    });
    expect(bare.out).toContain('good.mlbtc`?');
    expect((await checked({}, 'lowrank.mlbtc')).out).toMatch(/the library's own is .*low_rank\.mlbtc/);
  });

  test('an endless file is given up', async () => {
    const { code, out } = await mlbtcc(['check', '/dev/zero']);
    expect(code).toBe(1);
    expect(out).toContain('is larger than 16 MiB');
  });
});

describe('the command line itself', () => {
  test.each([
    [['check'], 'missing required argument'],
    [['chek', 'a.mlbtc'], "unknown command 'chek'\n  help: did you mean `mlbtcc check`?"],
    [['check', 'a.mlbtc', '--jason'], 'unknown option'],
    [['check', 'a.mlbtc', '-s', 'D'], 'there is no `=` in it'],
    [['check', 'a.mlbtc', '-s', 'D='], 'D has no value'],
    [['check', 'a.mlbtc', '-s', 'D=four'], '"four" is neither'],
    [['check', 'a.mlbtc', '-s', 'D=1.5.2'], '"1.5.2" is neither'],
    [['check', 'a.mlbtc', '-s', 'up.=1'], '"up." is no name'],
    [['check', 'a.mlbtc', '--slot', 'up'], 'write NAME=FILE'],
    [['check', 'a.mlbtc', '--slot', 'up=btt', '--slot', 'up=mlr'], 'the slot up is filled twice'],
    [['check', 'a.mlbtc', '-s', 'D=99999999999'], 'larger than 2147483647'],
    [['check', 'a.mlbtc', '-s', 'ranks=[4,two]'], '"two" is neither'],
    [['check', 'a.mlbtc', '-s', '2D=4'], '"2D" is no name'],
    [['check', 'a.mlbtc', '-s', 'D=4', '-s', 'D=5'], 'bound twice'],
    [['check', 'a.mlbtc', '-s', 'ranks=4,2,2'], 'write -s "ranks=[4,2,2]"'],
    [['check', 'a.mlbtc', '-s', 'D=8, ranks = 4, 2'], 'write -s "D=8, ranks = [4,2]"'],
    [['build', 'a.mlbtc'], '--out'],
    [['build', 'a.mlbtc', '--strcture', 'A'], "unknown option '--strcture'\n  help: did you mean --structure?"],
    [['build', 'a.mlbtc', '-s', 'D=4', '--oute=x'], 'did you mean --out?'],
    [['build', 'a.mlbtc', '--structure', '--emit', '-o', 'x', '--emt', 'ts'], 'unknown option'],
    [['build', 'a.mlbtc', '-o', 'x', '--emit', 'wgsl,spirv'], '"spirv" is none of wgsl, ir, json, ts, dot'],
    [['lsp', '--stdio'], "unknown command 'lsp'\n  help: there are check, build, explain, fmt"],
    [[], 'Usage: mlbtcc'],
  ])('%j', async (args, told) => {
    const { code, out, err } = await mlbtcc(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(told);
    expect(err).not.toContain('    at ');
  });

  test('a default is shown as it is written', async () => {
    const { out } = await mlbtcc(['build', '--help']);
    expect(out.replace(/\s+/g, ' ')).toContain('(default: wgsl,json)');
    expect(out).not.toContain('{}');
  });

  test('lists and several bindings in one', async () => {
    const file = `${sharedFolder}mlr.mlbtc`;
    expect((await mlbtcc(['check', file, '-s', 'ranks=[4,2,2],D=64'])).code).toBe(0);
    expect((await mlbtcc(['check', file, '-s', 'D=66', '-s', 'ranks=[4,2,2]'])).code).toBe(1);
  });

  test('a size is a whole number, a const any', async () => {
    const text = 'structure S { size D = 4 const gamma = 0.9 axis i: D input x[i] y[i] = gamma * x[i] output y }\n';
    const file = { 's.mlbtc': text };
    expect((await checked(file, 's.mlbtc', '-s', 'gamma=-0.5e-1')).code).toBe(0);
    for (const value of ['1.5', '-4']) {
      const { code, out } = await checked(file, 's.mlbtc', '-s', `D=${value}`);
      expect(code).toBe(1);
      expect(out).toContain(`E0308: the size \`D\` cannot be ${value}: sizes are whole numbers from 0`);
    }
  });

  test('slots: the library by bare name, a file by its path, its sizes with a dot', async () => {
    const files = {
      'm.mlbtc': `structure M {
  size D = 16
  axis n: N, t: T, i: D
  slot Up(w[n, t, i]) -> z[n, t, i]
  input w[n, t, i]
  use Up(w = w, D = D, rows = D) as up
  y[n, t, i] = up.z[n, t, i]
  output y
}
`,
      'mine.mlbtc': 'structure Mine { size k = 1 axis n: N, i: 3 input x[n, i] y[n, i] = k * x[n, i] output y }\n',
    };
    expect((await checked(files, 'm.mlbtc', '--slot', 'up=btt', '-s', 'up.s=2')).code).toBe(0);
    expect((await checked(files, 'm.mlbtc')).code).toBe(0);
    expect((await checked(files, 'm.mlbtc', '--slot', 'up=bt')).err).toContain(
      'the library has no bt; did you mean btt?',
    );
    expect((await checked(files, 'm.mlbtc', '--slot', 'up=./no')).err).toContain('--slot up=./no: ');
    expect((await checked(files, 'm.mlbtc', '--slot', 'up=btt', '-s', 'up.q=2')).out).toContain('has no size `q`');
    await inFolder(async (folder) => {
      writeFiles(folder, files);
      const { code, out } = await mlbtcc([
        'check',
        join(folder, 'm.mlbtc'),
        '--slot',
        `up=${join(folder, 'mine.mlbtc')}`,
      ]);
      expect(code).toBe(1);
      expect(out).toMatch(/mine\.mlbtc:1:.*`w` of the slot `Up` has 16 elements along `i`/);
    });
  });

  test('help teaches', async () => {
    const { code, out } = await mlbtcc(['--help']);
    expect(code).toBe(0);
    expect(out).toContain('structure LowRank {');
    for (const command of ['check', 'build', 'explain', 'fmt']) {
      const help = await mlbtcc([command, '--help']);
      expect(help.code).toBe(0);
      expect(help.out).toContain(`mlbtcc ${command} `);
      expect(help.out).toContain('Examples:');
    }
    expect((await mlbtcc(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('the structure in the help is one', async () => {
    const { out } = await mlbtcc(['--help']);
    const text = out.slice(out.indexOf('  structure LowRank'), out.indexOf('Then:'));
    expect(await checked({ 'low_rank.mlbtc': text }, 'low_rank.mlbtc')).toEqual({ code: 0, out: '', err: '' });
  });
});
