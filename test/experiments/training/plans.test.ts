/** The plans of a run that goes on keep to what the scheduler decided for it, where they know it. */
import { expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { product } from '../../../compiler/ir/expression.ts';
import { decisionsOf, decisionsSchema } from '../../../experiments/training/decisions.ts';
import { pinChoices, planOf } from '../../../experiments/training/plans.ts';
import { portableTarget } from '../../../kernels/target.ts';

const square = { t: 64, f: 64, i: 64 };
const productOf = () =>
  program(
    [
      input('x', [64, 64]),
      input('W', [64, 64]),
      computed(
        'y',
        [64, 64],
        [over(square, ({ t, f, i }) => ({ store: [t, f], value: product([at('x', t, i), at('W', f, i)]) }))],
      ),
    ],
    ['y'],
  );

test('a target whose decisions are pinned has the plans that they were made for, another has its own', () => {
  const byRule = planOf(productOf(), { ...portableTarget });
  const [[key, tuning]] = Object.entries(byRule.choices.contractions);
  const before = { ...tuning, tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 };
  const kept = decisionsSchema.parse(
    JSON.parse(
      JSON.stringify(decisionsOf({ step: { choices: { ...byRule.choices, contractions: { [key]: before } } } })),
    ),
  );
  const target = { ...portableTarget };
  pinChoices(target, kept);
  expect(planOf(productOf(), target).kernels.map((kernel) => kernel.tuning)).toEqual([before]);
  const another = { ...portableTarget, name: 'another' };
  pinChoices(another, kept);
  expect(planOf(productOf(), another).kernels.map((kernel) => kernel.tuning)).toEqual([tuning]);
});

test('a tuning of every part comes back from a checkpoint as it was', () => {
  const tiled = { form: 'tiled', tileM: 32, tileN: 64, tileK: 32, rows: 4, columns: 4, buffers: 2, slices: 2 } as const;
  const row = { lanes: 8, workgroupSize: 128, shuffle: true, quads: true };
  const stream = { threadRows: 8, threadColumns: 16, rowQuads: 2, depth: 16, ahead: 1, interleave: 2 } as const;
  const choices = { contractions: { c: tiled }, rows: { r: row }, streams: { s: stream }, pieces: { p: 4 } };
  expect(decisionsSchema.parse(JSON.parse(JSON.stringify(choices)))).toEqual(choices);
});
