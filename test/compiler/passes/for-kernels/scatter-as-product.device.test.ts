/** The gradient of an embedding as a GPU makes it, in tiles and in pieces. */
import { expect, test } from 'vitest';
import { at, computed, gather, input, over, program } from '../../../../compiler/ir/build.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();
const gpu = { ...opened.target, class: 'gpu' as const };

test.each([
  { words: 9, columns: 24, tokens: 40, families: ['contraction'] },
  { words: 9, columns: 24, tokens: 1200, families: ['contraction', 'loop'] },
  { words: 7, columns: 9, tokens: 40, families: ['loop'] },
])('$words words, $columns columns, $tokens tokens', async ({ words, columns, tokens, families }) => {
  const p = program(
    [
      input('ids', [tokens], 'i32'),
      input('c', [tokens, columns]),
      computed(
        'g',
        [words, columns],
        [over({ n: tokens, i: columns }, ({ n, i }) => ({ store: [gather('ids', n), i], value: at('c', n, i) }))],
      ),
    ],
    ['g'],
  );
  const { worst, plan } = await compare(opened, p, feed(p), { target: gpu });
  expect(plan.kernels.map(({ family }) => family)).toEqual(families);
  expect(worst).toBeLessThan(1e-6);
});
