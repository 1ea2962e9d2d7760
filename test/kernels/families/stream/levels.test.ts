/**
 * Levels of nested blocks are one product and one sum of which the leading columns count: values and gradients, on the device against
 * the interpreter, where tiles lie in blocks, across them and beyond the last token.
 */
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import type { StreamTuning } from '../../../../kernels/families/stream/tuning.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

/** Scores of levels, the l-th in blocks of `blocks[l]` of T tokens with `ranks[l]` columns. */
function leveled(T: number, blocks: readonly number[], ranks: readonly number[], scale: string): Program {
  const columns = ranks.reduce((total, rank) => total + rank, 0);
  const text = `structure S {
    size T = ${T}, blocks = [${blocks.join(', ')}], ranks = [${ranks.join(', ')}]
    axis t, u: T, h: 2, e: 3, r: ${columns}
    param q[h, t, r] ~ normal(std = 1)
    param k[h, u, r] ~ normal(std = 1)
    param v[h, u, e] ~ normal(std = 1)
    level l in 0 .. len(ranks) - 1 {
      axis c: T / blocks[l], m, n: blocks[l], o: ranks[l]
      S[h, (c m), (c n)] += q[h, (c m), prefix(ranks, l) + o] * k[h, (c n), prefix(ranks, l) + o] ${scale}
    }
    A[h, t, u] = softmax[u](S[h, t, u] where u <= t)
    y[h, t, e] = A[h, t, u] * v[h, u, e]
    output y
  }`;
  return compileProgram(lowered(text, {}), { target: opened.target, gradients: true }).program;
}

const small: StreamTuning = { threadRows: 4, threadColumns: 4, rowQuads: 1, depth: 4 };
const reading: StreamTuning = { ...small, ahead: 1 };
/** Two quads of rows and of columns a lane. */
const large: StreamTuning = { threadRows: 2, threadColumns: 2, rowQuads: 2, depth: 8 };

const code = (program: Program, stream: StreamTuning): string =>
  schedule(program, { target: opened.target, streaming: 'always', override: { stream } })
    .kernels.map(({ wgsl }) => wgsl)
    .join('\n');

async function hold(program: Program, stream: StreamTuning): Promise<readonly string[]> {
  const streamed = await compare(opened, program, feed(program, 1), { streaming: 'always', override: { stream } });
  expect(streamed.worst, streamed.worstOutput).toBeLessThan(1e-5);
  return streamed.plan.kernels.filter(({ family }) => family.includes('stream')).map(({ wgsl }) => wgsl);
}

describe('as one term', () => {
  test.each([
    ['tiles in blocks, in some of them and across', 48, [48, 24, 12, 4], [5, 2, 1, 3], '/ ranks[l]', small],
    ['the same with more of each in a lane', 48, [48, 24, 12, 4], [5, 2, 1, 3], '/ ranks[l]', large],
    ['the same, read ahead', 48, [48, 24, 12, 4], [5, 2, 1, 3], '/ ranks[l]', reading],
    ['blocks of no power of two, tokens that fill no tile', 84, [84, 28, 4], [2, 3, 4], '/ ranks[l]', large],
    ['no level everywhere', 40, [20, 4], [3, 2], '', small],
    ['blocks after them that part a quad of rows', 36, [36, 12, 6, 3], [4, 3, 2, 1], '/ ranks[l]', small],
    ['one scale for all', 48, [48, 16], [6, 3], '/ 2', small],
  ])('%s', async (_, T, blocks, ranks, scale, stream) => {
    const codes = await hold(leveled(T, blocks, ranks, scale), stream);
    expect(codes.length).toBeGreaterThan(1);
    for (const text of codes) expect(text).toContain('fn leading(');
  });
});

test('blocks that do not nest are terms by themselves', async () => {
  const codes = await hold(leveled(48, [48, 16, 12], [3, 2, 2], ''), small);
  expect(codes.join()).toContain('/ 12 ==');
});

test('a sum of levels is one loop over the points of the walk, asked for its columns only where a tile needs it', () => {
  const text = code(leveled(48, [48, 24, 12, 4], [8, 4, 2, 2], ''), small);
  // Forward the values, backward values, keys and queries.
  expect(text.match(/for \(var from_point/g)).toHaveLength(4);
  expect(text.match(/if \(least_columns < most_columns\)/g)).toHaveLength(2);
});
