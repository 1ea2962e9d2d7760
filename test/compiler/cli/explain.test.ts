/** `mlbtcc explain`: the numbers that people come for, as data and as text. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ExplainReport } from '../../../compiler/commands/explain-report.ts';
import { mlbtcc, writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const shared = (name: string): string => new URL(`../../structures/${name}.mlbtc`, import.meta.url).pathname;

async function explained(name: string, ...args: string[]): Promise<ExplainReport> {
  const { code, out, err } = await mlbtcc(['explain', shared(name), '--json', ...args]);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out);
}

const sumOf = (items: readonly { readonly multiplyAdds: number }[]): number =>
  items.reduce((total, { multiplyAdds }) => total + multiplyAdds, 0);

describe('a structured matrix is never formed', () => {
  test.each([
    [4096, 655_360],
    [256, 10_240],
  ])('BTT at D = %d', async (D, work) => {
    const report = await explained('btt', '-s', `D=${D}`, '-s', 's=1');
    expect(report).toMatchObject({ params: work, multiplyAdds: work, denseMultiplyAdds: D * D, cacheBytes: null });
    expect(sumOf(report.kernels)).toBe(work);
    expect(sumOf(report.order)).toBe(work);
    expect(report.sizes.filter((size) => size.unbound).map(({ name }) => name)).toEqual(['N']);
    expect(report.rankBound).toBe(D);
  });

  const batchOf: Readonly<Record<string, string>> = { low_rank: 'B', mlr: 'B' };
  const matrices = ['btt', 'butterfly', 'kronecker', 'low_rank', 'mlbtc', 'mlr', 'monarch', 'tensor_train'];
  test.each(matrices)('%s, forward and backward within three forwards', async (name) => {
    const batch = `${batchOf[name] ?? 'N'}=7`;
    const forward = await explained(name, '-s', batch);
    const both = await explained(name, '-s', batch, '--grad');
    expect(forward.multiplyAdds).toBeGreaterThan(0);
    expect(forward.multiplyAdds).toBeLessThan(forward.denseMultiplyAdds ?? 0);
    expect(forward.multiplyAdds).toBeLessThanOrEqual(forward.leftToRightMultiplyAdds);
    expect(both.multiplyAdds).toBeLessThanOrEqual(3 * forward.multiplyAdds);
    expect(both.multiplyAdds).toBeGreaterThan(forward.multiplyAdds);
  });
});

test('a score: cache and rank', async () => {
  const report = await explained('attention', '-s', 'D=64', '-s', 'H=4', '-s', 'T=32');
  // 4 heads of 16 keys in f32.
  expect(report.cacheBytes).toBe(4 * 16 * 4);
  expect(report.rankBound).toBe(16);
});

test.each([
  ['attention', 32, 8 * 32 * 4],
  ['bilinear_btt', 256, 8 * 256 * 4],
  ['bilinear_mlr', 80, 2560],
  ['sliding_window', 32, 8 * 32 * 4],
])(
  '%s with its tokens unbound: rank and cache hold whatever their number, work counts one',
  async (name, rank, bytes) => {
    const report = await explained(name);
    expect(report).toMatchObject({ rankBound: rank, cacheBytes: bytes, unboundTokens: ['T'] });
    const bound = await explained(name, '-s', 'T=512');
    expect(bound).toMatchObject({ rankBound: rank, cacheBytes: bytes, unboundTokens: [], cached: report.cached });
    expect(report.multiplyAdds).toBeLessThan(bound.multiplyAdds / 500);
  },
);

test('what nothing bounds is unknown, and says so; a layer has no dense product', async () => {
  await inFolder(async (folder) => {
    const text = `structure Capped {
  size D = 8, T = 6
  axis b: B, t, u: T, i: D
  input x[b, t, i]
  param Q[i] ~ ones
  A[b, t, u] = softmax[u](tanh(Q[i] * x[b, t, i] * x[b, u, i]) where u <= t)
  y[b, t, i] = A[b, t, u] * x[b, u, i]
  output y
}
`;
    writeFiles(folder, { 'capped.mlbtc': text });
    const { out } = await mlbtcc(['explain', join(folder, 'capped.mlbtc'), '--json']);
    expect(JSON.parse(out)).toMatchObject({ rankBound: 'unknown', denseMultiplyAdds: null });
    const shown = await mlbtcc(['explain', join(folder, 'capped.mlbtc')]);
    expect(shown.out).toMatch(/rank bound +unknown {2}scores of A: unknown\n/);
    expect(shown.out).toMatch(/multiply-adds +[\d,]+ {2}no matrix and no scores, so nothing dense to compare with\n/);
  });
});

test('queries and keys of two unbound numbers; a head size that is unbound still counts as 1', async () => {
  await inFolder(async (folder) => {
    const text = `structure Cross {
  size D, H = 2
  axis b: B, t: T, u: N, h: H, i, j: D
  input x[b, t, i]
  input z[b, u, i]
  param M[h, i, j] ~ normal(fan_in = i)
  A[b, h, t, u] = softmax[u](x[b, t, i] * M[h, i, j] * z[b, u, j])
  output A
}
`;
    writeFiles(folder, { 'cross.mlbtc': text });
    const report = async (...args: string[]) => {
      const { code, out } = await mlbtcc(['explain', join(folder, 'cross.mlbtc'), '--json', ...args]);
      expect(code).toBe(0);
      return JSON.parse(out) as ExplainReport;
    };
    expect(await report('-s', 'D=6')).toMatchObject({ rankBound: 6, unboundTokens: ['T', 'N'] });
    expect(await report('-s', 'D=6', '-s', 'T=4')).toMatchObject({ rankBound: 4, unboundTokens: ['N'] });
    expect(await report('-s', 'D=5000')).toMatchObject({ rankBound: null, unboundTokens: ['T', 'N'], scoreRanks: [] });
    const { out } = await mlbtcc(['explain', join(folder, 'cross.mlbtc'), '-s', 'D=6']);
    expect(out).toMatch(/rank bound +6 {2}A~sum: 6, whatever T and N\n/);
    expect(out).toMatch(/cache +\d+ bytes {2}a token: /);
  });
});

test('the text, whole', async () => {
  await inFolder(async (folder) => {
    const text = `/// Two thin factors.
structure LowRank {
  /// The width.
  size D = 8
  size r = 2
  axis b: B, i, j: D, k: r
  /// What comes in.
  input x[b, j]
  param L[i, k] ~ normal(std = 0.5)
  param R[j, k] ~ ones, fixed
  W[i, j] = L[i, k] * R[j, k]
  y[b, i] = W[i, j] * x[b, j]
  output y
}
`;
    writeFiles(folder, { 'low_rank.mlbtc': text });
    const { code, out, err } = await mlbtcc(['explain', join(folder, 'low_rank.mlbtc')]);
    expect([code, err]).toEqual([0, '']);
    expect(out.replaceAll(`${folder}/`, '')).toBe(`LowRank, low_rank.mlbtc
  Two thin factors.

Sizes
  D = 8  The width.
  r = 2
  B = 1  not bound, counted as 1

Tensors
  input   x  f32[1, 8]  What comes in.
  param   L  f32[8, 2]  ~ normal(std = 0.5)
  param   R  f32[8, 2]  ~ constant(1), fixed
  output  y  f32[1, 8]

Cost
  params                       32
  multiply-adds                32  50 % of a dense product's 64
  written order               192  forward, the operands joined as they are written
  rank bound                    2
  cache                         -
  memory                448 bytes  all buffers together
  largest intermediate    8 bytes  y~1 (2, 1)
  Not bound and counted as 1: B. Bind with -s B=…

Contraction order
  step  multiply-adds  makes  shape   size      as
     1             16  y~1    (2, 1)  8 bytes   y~1[k, b] sum= R[j, k] * x[b, j]   over k: 2, b: 1, j: 8
     2             16  y      (1, 8)  32 bytes  y[b, i] sum= L[i, k] * y~1[k, b]   over b: 1, i: 8, k: 2

Kernels
  #  family  makes  multiply-adds  moves      workgroups  from
  0  loop    y~1               16  104 bytes  1×1×1       low_rank.mlbtc:12:13
  1  row     y                 16  104 bytes  1×1×1       low_rank.mlbtc:12:13
`);
  });
});

const attended = `import "attention"
structure Layer {
  size D = 16, H = 2, T = 1024
  axis b: B, t, u: T, i: D, h: H, e: D / H
  input x[b, t, i]
  param V[h, e, i] ~ normal(fan_in = i)
  use Attention(D = D, H = H, T = T, x = x) as scores
  v[b, h, u, e] = V[h, e, i] * x[b, u, i]
  y[b, h, t, e] = scores.A[b, h, t, u] * v[b, h, u, e]
  output y
}
`;

test('what streams: the tensors that are never stored, along what, for whom; on a software device none are', async () => {
  await inFolder(async (folder) => {
    writeFiles(folder, { 'layer.mlbtc': attended });
    const words = ['explain', join(folder, 'layer.mlbtc'), '-s', 'B=8'];
    const { out } = await mlbtcc(words);
    const at = out.indexOf('\nStreams');
    expect(out.slice(at)).toMatch(
      /^\nStreams: made a tile at a time where it is read\n.*never stored.*\n +\d+ +\S+ +\(8, 2, 1024, 1024\) +64 MiB +t along u, each b, h +.*\by\n/,
    );
    const { kernels }: ExplainReport = JSON.parse((await mlbtcc([...words, '--json'])).out);
    const streams = kernels.filter((kernel) => kernel.streams.length > 0);
    expect(streams.map(({ family }) => family)).toEqual(['stream']);
    const [
      {
        streams: [stream],
        held,
      },
    ] = streams;
    expect(stream).toMatchObject({ each: ['b', 'h'], rows: 't', along: 'u', results: expect.arrayContaining(['y']) });
    for (const name of stream.hides)
      expect(held).toContainEqual({ tensor: name, shape: [8, 2, 1024, 1024], place: 'tile', bytes: 2 ** 26 });
    expect((await mlbtcc([...words, '--target', 'cpu'])).out).not.toContain('Streams');
    const printed = await mlbtcc(['build', ...words.slice(1), '--print-after', 'schedule']);
    expect(printed.out).toMatch(/^ {2}holds {2}\S+ \(8, 2, 1024, 1024\) in tiles$/m);
  });
});

test('a network whose every order has an intermediate beyond all grids is a diagnostic, not a mistake of ours', async () => {
  const axes = ['a', 'b', 'c', 'd', 'e'];
  const edges = axes.flatMap((p, i) => axes.slice(i + 1).map((q) => [p, q] as const));
  const inputs = edges.map(([p, q]) => `input W${p}${q}[${p}, ${q}]`).join(' ');
  const product = edges.map(([p, q]) => `W${p}${q}[${p}, ${q}]`).join(' * ');
  const text = `structure Clique { axis ${axes.join(', ')}: 30000 ${inputs}\n  y = ${product}\n  output y }`;
  await inFolder(async (folder) => {
    writeFiles(folder, { 'clique.mlbtc': text });
    for (const args of [['explain'], ['explain', '--grad'], ['build', '-o', join(folder, 'out')]]) {
      const { code, err } = await mlbtcc([args[0], join(folder, 'clique.mlbtc'), ...args.slice(1)]);
      expect([code, err.includes('internal')], err).toEqual([1, false]);
      expect(err).toContain(
        'clique.mlbtc:2:3: error E0901: an intermediate of `y` of shape [30000, 30000, 30000, 30000]',
      );
    }
  });
});
