/**
 * One kernel in place of two that walk the same tiles both ways: sums across have the values that they have where each kernel has its own,
 * every score, at sizes that fill no tile, no block and no round of pieces, on the device against the interpreter; the program with
 * pieces means the same.
 */
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import type { Program } from '../../../../compiler/ir/program.ts';
import { findStreams } from '../../../../compiler/schedule/streams/streams.ts';
import type { StreamTuning } from '../../../../kernels/families/stream/tuning.ts';
import { model, scores } from '../../../support/attention-models.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { compare, relativeError, runOnDevice } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const { target } = opened;

const withGradients = (program: Program): Program => compileProgram(program, { target, gradients: true }).program;

interface Shape {
  readonly tokens: number;
  readonly columns: number;
  readonly values?: number;
  readonly where?: string;
}

/** A softmax of `tokens` tokens with scores of `columns` features. */
function attention({ tokens, columns, values = 5, where = 'u <= t' }: Shape): Program {
  const text = `structure S {
    axis b: 2, t, u: ${tokens}, r: ${columns}, e: ${values}
    param q[b, t, r] ~ normal(std = 1)
    param k[b, u, r] ~ normal(std = 1)
    param v[b, u, e] ~ normal(std = 1)
    A[b, t, u] = softmax[u](q[b, t, r] * k[b, u, r] where ${where})
    y[b, t, e] = A[b, t, u] * v[b, u, e]
    output y
  }`;
  return withGradients(lowered(text, {}));
}

/** The dispatches that sum across. */
const sweeps = ({ kernels }: Awaited<ReturnType<typeof compare>>['plan']): readonly string[] =>
  kernels.filter(({ wgsl }) => wgsl.includes('column_lane')).map(({ wgsl }) => wgsl);

const small: StreamTuning = { threadRows: 4, threadColumns: 4, rowQuads: 1, depth: 4 };
const ahead: StreamTuning = { ...small, ahead: 1, interleave: 2 };
/** Two quads of rows a lane, and more columns than lanes for them. */
const large: StreamTuning = { threadRows: 2, threadColumns: 4, rowQuads: 2, depth: 8 };

describe('one kernel and two agree', () => {
  for (const [name, [text]] of Object.entries(scores)) {
    test(name, async () => {
      const program = withGradients(lowered(model(text), { B: 3, T: 18 }));
      const inputs = feed(program);
      const two = await compare(opened, program, inputs, { streaming: 'always', sweeping: 'never' });
      const one = await compare(opened, program, inputs, { streaming: 'always', sweeping: 'always' });
      expect(one.worst, one.worstOutput).toBeLessThan(2e-5 + 3 * two.worst);
      expect(sweeps(two.plan)).toEqual([]);
    });
  }
});

describe('sums of what rows come to', () => {
  test.each<[name: string, Shape, pieces: number, StreamTuning]>([
    ['one tile of rows', { tokens: 16, columns: 3 }, 1, small],
    ['one column', { tokens: 33, columns: 1 }, 1, small],
    ['a tile of rows and one more', { tokens: 17, columns: 16 }, 1, small],
    ['read ahead', { tokens: 50, columns: 12 }, 1, ahead],
    ['more columns than lanes', { tokens: 21, columns: 12 }, 1, large],
    ['two pieces of one block', { tokens: 128, columns: 4 }, 2, small],
    ['two pieces, the last block cut', { tokens: 150, columns: 5 }, 2, small],
    ['three pieces of two rounds, the last cut', { tokens: 300, columns: 8 }, 3, large],
    ['later columns only', { tokens: 150, columns: 4, where: 't <= u' }, 2, small],
    ['every column', { tokens: 70, columns: 4, where: 'u >= 0' }, 2, ahead],
    ['a window', { tokens: 200, columns: 4, where: 'u <= t and t <= u + 20' }, 2, small],
  ])('%s', async (_, shape, pieces, stream) => {
    const program = attention(shape);
    const options = { streaming: 'always', sweeping: pieces, override: { stream } } as const;
    const { worst, worstOutput, plan } = await compare(opened, program, feed(program, 1), options);
    expect(worst, worstOutput).toBeLessThan(1e-5);
    expect(sweeps(plan)).toHaveLength(1);
  });
});

test('sums are of one order: same bits every run', async () => {
  const program = attention({ tokens: 150, columns: 5 });
  const options = { streaming: 'always', sweeping: 2, override: { stream: small } } as const;
  const [first, second] = [
    await runOnDevice(opened, program, feed(program, 1), options),
    await runOnDevice(opened, program, feed(program, 1), options),
  ];
  expect(first.values).toEqual(second.values);
});

test.each([1, 2, 3])('the program with %i pieces means the same', (pieces) => {
  const program = attention({ tokens: 300, columns: 2, values: 1 });
  const found = findStreams(program, 'always', target, { sweeping: pieces });
  expect([...found.kernels.values()].flatMap((kernel) => kernel.pieces ?? [])).toEqual([{ count: pieces, rows: 64 }]);
  const inputs = feed(program, 1);
  const [want, got] = [program, found.program].map((each) => interpret(each, inputs, program.outputs));
  for (const name of program.outputs)
    expect(relativeError(got.get(name)!.data, want.get(name)!.data)).toBeLessThan(1e-12);
});
