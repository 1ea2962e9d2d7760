/** Whether a step on tensor cores is held to the f32 units: what differs is found by param. */
import { expect, test } from 'vitest';
import { elementCount } from '../../../compiler/ir/program.ts';
import { layOut } from '../../../experiments/training/arena.ts';
import type { Param } from '../../../experiments/training/mup.ts';
import { differenceText, largestDifference } from '../../../experiments/training/tensor-core-check.ts';

const param = (name: string, shape: readonly number[], position: number): Param => ({
  name,
  shape,
  init: { kind: 'constant', value: 0 },
  fixed: false,
  position,
});
const arena = layOut([param('U', [4, 4], 0), param('slope', [4], 1), param('W', [8], 2)]);

function moments(change: (name: string, i: number, value: number) => number): Parameters<typeof largestDifference>[0] {
  const m = new Float32Array(arena.elements);
  for (const {
    param: { name, shape },
    offset,
  } of arena.slots) {
    const size = elementCount(shape);
    for (let i = 0; i < size; i++) m[offset + i] = change(name, i, Math.sin(i + 1));
  }
  return { arena, m };
}
const right = moments((_, __, value) => value);

test('rounding is no difference', () => {
  expect(
    largestDifference(
      moments((_, i, value) => value * (1 + 1e-3 * (i % 2))),
      right,
    ),
  ).toBeUndefined();
});

test('of several that differ, the one that differs most', () => {
  const wrong = moments((name, _, value) => (name === 'U' ? 0.9 * value : name === 'W' ? -value : value));
  expect(largestDifference(wrong, right)).toMatchObject({ param: 'W', error: expect.closeTo(2, 3) });
});

test('what is not finite on tensor cores alone', () => {
  const wrong = moments((name, i, value) => (name === 'slope' && i === 3 ? Number.NaN : value));
  const found = largestDifference(wrong, right)!;
  expect(found).toEqual({ param: 'slope', error: Number.POSITIVE_INFINITY });
  expect(differenceText(found)).toContain('the gradient of slope is not finite');
  // Where the f32 units' is not finite either, training stops by itself and says why.
  expect(largestDifference(wrong, wrong)).toBeUndefined();
});

test('a gradient that is nothing but rounding, beside others, is no difference', () => {
  const tiny = moments((name, _, value) => (name === 'slope' ? 1e-9 * value : value));
  const other = moments((name, _, value) => (name === 'slope' ? -1e-9 * value : value));
  expect(largestDifference(tiny, other)).toBeUndefined();
  const none = moments((name, _, value) => (name === 'W' ? 0 : value));
  expect(largestDifference(none, right)).toMatchObject({ param: 'W', error: expect.closeTo(1, 5) });
});
