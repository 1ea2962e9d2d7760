/** `mlbtcc` and `mlbtc run` as processes, from `dist/` as they are installed: exit statuses, pipes, the library beside them. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../../runtime/safetensors.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const root = new URL('../../../', import.meta.url).pathname;
const commands = { mlbtcc: join(root, 'dist/compiler/mlbtcc.js'), mlbtc: join(root, 'dist/experiments/mlbtc.js') };
const isBuilt = existsSync(commands.mlbtcc) && existsSync(commands.mlbtc);

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What Dawn says by itself on stderr of a driver's limits (lavapipe's, at every opening). */
const saidByDawn = /^Warning: max\w+ artificially reduced from .*\n/gm;

/** Runs a shell line in the folder, with the commands as $MLBTCC and $MLBTC. */
function shell(folder: string, line: string): Promise<Ended> {
  const env = {
    ...process.env,
    MLBTCC: `${process.execPath} ${commands.mlbtcc}`,
    MLBTC: `${process.execPath} ${commands.mlbtc}`,
  };
  return new Promise((resolve) => {
    execFile('sh', ['-c', line], { cwd: folder, env, encoding: 'utf8' }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err: err.replace(saidByDawn, '') }),
    );
  });
}

const useOfBtt = `import "btt"

structure S {
  axis n: N, i: 16
  input z[n, i]
  use BTT(D = 16, x = z) as m
  output m.y
}
`;

const score = `structure S {
  axis b: 2, t, u: T, i, j: 8, h: 2, r: 3
  input x[b, t, i]
  param Q[h, r, i] ~ normal(fan_in = i)
  param K[h, r, j] ~ normal(fan_in = j)
  A[b, h, t, u] = softmax[u](Q[h, r, i] * x[b, t, i] * K[h, r, j] * x[b, u, j])
  output A
}
`;

test.skipIf(!isBuilt)('a command is one module: what it loads at its start lies in it', () => {
  for (const path of Object.values(commands)) {
    const loaded = [...readFileSync(path, 'utf8').matchAll(/^import [^;]*?from "([^"]+)"/gm)].map(([, name]) => name);
    expect(loaded.filter((name) => !name.startsWith('node:') && name !== '@resvg/resvg-js')).toEqual([]);
  }
});

describe.skipIf(!isBuilt)('as processes', () => {
  test('exit statuses', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, { 'good.mlbtc': useOfBtt, 'bad.mlbtc': 'structure S { output y }' });
      const line = '$MLBTCC check good.mlbtc; echo $?; $MLBTCC check bad.mlbtc; echo $?; $MLBTCC check; echo $?';
      const { out, err } = await shell(folder, line);
      expect(out).toBe(`0
bad.mlbtc:1:22: error E0401: \`y\` is not known here
  1 | structure S { output y }
    |                      ^

1 error
1
2
`);
      expect(err).toBe("error: missing required argument 'file'\n(mlbtcc check --help tells more)\n");
    });
  });

  test('a reader that goes away is no failure, and fmt is a filter', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, { 'good.mlbtc': useOfBtt });
      const line = '$MLBTCC explain good.mlbtc | head -1; $MLBTCC fmt - < good.mlbtc | cmp - good.mlbtc && echo same';
      expect(await shell(folder, line)).toEqual({ code: 0, out: 'S, good.mlbtc\nsame\n', err: '' });
    });
  });

  test('what explain compiles several times over it reads once, so a pipe will do', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, { 'score.mlbtc': score });
      const { out } = await shell(folder, 'cat score.mlbtc | $MLBTCC explain /dev/stdin');
      expect(out).toMatch(/rank bound +3 {2}\S+: 3, whatever T\n/);
    });
  });

  test('mlbtc run from file to file, and its refusals', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, { 'good.mlbtc': useOfBtt });
      const fill = (shape: readonly number[]) => {
        const count = shape.reduce((n, extent) => n * extent, 1);
        return { dtype: 'F32' as const, shape, data: new Float32Array(count).fill(1) };
      };
      const tensors = new Map([
        ['z', fill([2, 16])],
        ['m.L', fill([8, 2, 2, 1])],
        ['m.R', fill([2, 8, 8, 1])],
      ]);
      writeSafetensors(join(folder, 'in'), tensors);
      const line = '$MLBTC run good.mlbtc --in in --out out && $MLBTC run good.mlbtc --vjp --in in --out none';
      const { code, out, err } = await shell(folder, line);
      expect([code, out]).toEqual([1, '']);
      expect(err).toContain('error: in: the cotangent `cot.m.y` is missing\n  expected:\n    z');
      expect(err).not.toContain('    at ');
      expect(existsSync(join(folder, 'none'))).toBe(false);
      const [[name, { shape, data }]] = readSafetensors(join(folder, 'out')).tensors;
      expect([name, shape, [...data]]).toEqual(['m.y', [2, 16], new Array(32).fill(16)]);
      const piped = 'cat in | $MLBTC run good.mlbtc --in /dev/stdin --out /dev/stdout | cmp - out && echo same';
      expect(await shell(folder, piped)).toEqual({ code: 0, out: 'same\n', err: '' });
      const ontoItself =
        'ln in hard; ln -s in link; cp in kept; for o in ./in hard link good.mlbtc; do ' +
        '$MLBTC run good.mlbtc --in in --out $o; echo $?; done; cmp in kept && $MLBTCC check good.mlbtc';
      const refused = await shell(folder, ontoItself);
      expect([refused.code, refused.out]).toEqual([0, '2\n2\n2\n2\n']);
      expect(refused.err).toContain('error: hard is the same file as in, which is read: writing it would destroy');
    });
  });
});
