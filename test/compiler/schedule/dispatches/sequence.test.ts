/** The order of dispatches: what leaves less in memory comes early, nothing else moves, and that is what a training step takes less by. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Sequenced, sequence } from '../../../../compiler/schedule/dispatches/sequence.ts';
import { planBytes } from '../../../../compiler/schedule/plan.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { stepCases } from '../../../bench/step-cases.ts';
import { h100 } from '../../../support/h100-target.ts';

const dispatch = (waits: readonly number[], ...temporaries: string[]): Sequenced => ({
  waits: new Set(waits),
  temporaries: new Set(temporaries),
});

test('what frees more than it makes comes as soon as it can, all else stays', () => {
  const bytes: Readonly<Record<string, number>> = { x: 4, y: 4, 'cot y': 4, 'cot x': 4, pieces: 2 };
  const order = sequence(
    [
      dispatch([], 'x'),
      dispatch([0], 'x', 'y'),
      dispatch([1], 'y', 'cot y'),
      dispatch([2], 'cot y', 'cot x'),
      dispatch([3], 'cot x'),
      dispatch([2], 'x', 'cot y', 'pieces'),
      dispatch([5], 'pieces'),
    ],
    (name) => bytes[name],
  );
  // `pieces` are made instead of `x`, and then added up, before `cot x` is made.
  expect(order).toEqual([0, 1, 2, 5, 6, 3, 4]);
});

test('what frees no more than it makes keeps its place', () => {
  const tasks = [dispatch([], 'a'), dispatch([0], 'a', 'b'), dispatch([0], 'a', 'c'), dispatch([1, 2], 'b', 'c')];
  expect(sequence(tasks, () => 4)).toEqual([0, 1, 2, 3]);
});

test('each dispatch once, after all that it waits for', () => {
  const tasks = fc
    .array(fc.record({ waits: fc.array(fc.nat(30)), temporaries: fc.array(fc.constantFrom(...'abcdefgh')) }), {
      maxLength: 30,
    })
    .map((list) =>
      list.map(({ waits, temporaries }, at) =>
        dispatch(
          waits.filter((other) => other < at),
          ...temporaries,
        ),
      ),
    );
  fc.assert(
    fc.property(tasks, fc.array(fc.nat(9), { minLength: 8, maxLength: 8 }), (all, sizes) => {
      const order = sequence(all, (name) => sizes['abcdefgh'.indexOf(name)]);
      expect([...order].sort((a, b) => a - b)).toEqual([...all.keys()]);
      for (const [place, at] of order.entries())
        for (const other of all[at].waits) expect(order.indexOf(other)).toBeLessThan(place);
    }),
    { seed: 1 },
  );
});

/** MiB of all buffers of a step on an H100 with tensor cores; fewer are better, more are a change to explain. */
const most: Readonly<Record<string, number>> = {
  'icl bilinear_BTT 16 64': 287,
  'icl low_rank 16 256': 612,
  'icl bilinear_BTT 64 256': 4272,
  'lm low_rank 1024 512': 2284,
};

test.each(stepCases.filter(({ name }) => name in most).map((one) => [one.name, one] as const))(
  'memory of a step of %s',
  { timeout: 120_000 },
  (name, { program }) => {
    expect(planBytes(schedule(program(), { target: h100 })) / 2 ** 20).toBeLessThanOrEqual(most[name]);
  },
);
