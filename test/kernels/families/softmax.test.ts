/**
 * Softmax, logsumexp and cross entropy where f32 has no digit left for the logarithm of a sum beside the largest value:
 * values by hand, and the interpreter's at infinities.
 */
import { describe, expect, test } from 'vitest';
import { splitLogSumExp } from '../../../compiler/passes/for-kernels/log-sum-exp.ts';
import { relativeError } from '../../support/relative-error.ts';
import { f32, i32, interpreted, runTensors, withFile, writtenProgram } from '../../support/run-structure.ts';

const softmax = `structure S {
  axis b: B, u: U
  input S[b, u]
  A[b, u] = softmax[u](S[b, u])
  l[b] = logsumexp[u](S[b, u])
  output A, l
}`;

const loss = `structure L {
  axis b: B, v: V
  input z[b, v]
  input label[b]: i32
  loss[b] = cross_entropy[v](z[b, v], label[b])
  output loss
}`;

/** Outputs and gradients as plain lists. */
async function run(
  text: string,
  tensors: Parameters<typeof runTensors>[0]['tensors'],
): Promise<Record<string, number[]>> {
  const results = await withFile(text, (file) => runTensors({ file, tensors, vjp: true }));
  return Object.fromEntries([...results].map(([name, { data }]) => [name, Array.from(data as Float32Array)]));
}

function close(have: readonly number[], want: readonly number[]): void {
  expect(have.length).toBe(want.length);
  for (const [i, x] of have.entries()) expect(x).toBeCloseTo(want[i], 5);
}

const ones = (shape: readonly number[]) => f32(shape, new Float32Array(shape.reduce((n, m) => n * m, 1)).fill(1));

describe('the largest value and the sum are kept apart', () => {
  test('eight scores of -1e9 weigh an eighth each, and their gradients cancel', async () => {
    const S = f32([1, 8], new Float32Array(8).fill(-1e9));
    const cot = f32([1, 8], [1, 2, 3, 4, 5, 6, 7, 8]);
    const found = await run(
      softmax,
      new Map([
        ['S', S],
        ['cot.A', cot],
        ['cot.l', f32([1], [0])],
      ]),
    );
    close(found.A, new Array(8).fill(1 / 8));
    close(
      found['grad.S'],
      [1, 2, 3, 4, 5, 6, 7, 8].map((c) => (c - 4.5) / 8),
    );
  });

  test('two logits of 1e8: loss ln 2, gradient [-1/2, 1/2]', async () => {
    const found = await run(
      loss,
      new Map([
        ['z', f32([1, 2], [1e8, 1e8])],
        ['label', i32([1], [0])],
        ['cot.loss', ones([1])],
      ]),
    );
    close(found.loss, [Math.LN2]);
    close(found['grad.z'], [-0.5, 0.5]);
  });

  test('a shift that f32 holds changes nothing', async () => {
    const scores = [0.5, -1, 2, 0, 1.5, -0.25];
    const logits = (shift: number) =>
      new Map([
        [
          'z',
          f32(
            [1, 6],
            scores.map((s) => s + shift),
          ),
        ],
        ['label', i32([1], [2])],
        ['cot.loss', ones([1])],
      ]);
    // Multiples of 1/4 stay exact beside 2^20.
    const [here, there] = [await run(loss, logits(0)), await run(loss, logits(2 ** 20))];
    close(there.loss, here.loss);
    close(there['grad.z'], here['grad.z']);
    const weights = async (shift: number) =>
      await run(
        softmax,
        new Map([
          [
            'S',
            f32(
              [1, 6],
              scores.map((s) => s + shift),
            ),
          ],
          ['cot.A', ones([1, 6])],
          ['cot.l', ones([1])],
        ]),
      );
    const [before, after] = [await weights(0), await weights(1e4)];
    expect(relativeError(after.A, before.A)).toBeLessThan(1e-6);
    close(
      after.l,
      before.l.map((l) => Math.fround(l + 1e4)),
    );
  });

  test('rows of infinities, of the lowest number, with NaN: as the interpreter has them', async () => {
    const [inf, low] = [Number.POSITIVE_INFINITY, -3.4028234663852886e38];
    const rows = [
      [-inf, -inf, -inf],
      [-inf, 0, 1],
      [low, low, low],
      [inf, 0, -inf],
      [inf, inf, 3],
      [0, Number.NaN, inf],
      [3e38, -3e38, 3e38],
      [-0, 0, 0],
    ];
    const tensors = new Map([
      ['S', f32([rows.length, 3], rows.flat())],
      ['cot.A', ones([rows.length, 3])],
      ['cot.l', ones([rows.length])],
    ]);
    const wanted = await withFile(softmax, async (file) =>
      // In its two parts, since float64 too would give each of three lowest numbers the weight 1.
      interpreted(splitLogSumExp(writtenProgram(file, { B: rows.length, U: 3 })), tensors),
    );
    const found = await run(softmax, tensors);
    for (const name of ['A', 'l']) {
      const want = wanted.get(name)!.data;
      found[name].forEach((x, i) => {
        if (Number.isNaN(want[i]) || Math.abs(want[i]) > 3e38) expect(x, `${name} ${i}`).toEqual(Math.fround(want[i]));
        else expect(x, `${name} ${i}`).toBeCloseTo(want[i], 5);
      });
    }
  });

  test('causal, with rows where nothing is present', async () => {
    const text = `structure S {
      axis t, u: T
      input S[t, u]
      A[t, u] = softmax[u](S[t, u] where u <= t - 2)
      l[t] = logsumexp[u](S[t, u] where u <= t - 2)
      output A, l
    }`;
    const S = f32([4, 4], new Float32Array(16).fill(-1e9));
    const found = await run(
      text,
      new Map([
        ['S', S],
        ['cot.A', ones([4, 4])],
        ['cot.l', ones([4])],
      ]),
    );
    close(found.A, [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0.5, 0.5, 0, 0]);
    expect(found.l).toEqual([0, 0, -1e9, -1e9]);
  });
});
