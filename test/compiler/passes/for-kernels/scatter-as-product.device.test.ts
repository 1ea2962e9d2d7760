/** The gradient of an embedding in tiles, and on a GPU in pieces. */
import { expect, test } from 'vitest';
import { at, computed, gather, input, over, program } from '../../../../compiler/ir/build.ts';
import { testDevice } from '../../../support/device.ts';
import { feed } from '../../../support/feed.ts';
import { compare } from '../../../support/run-on-device.ts';

const opened = await testDevice();

test.each([
  { class: 'gpu', words: 9, columns: 24, tokens: 40, families: ['contraction'] },
  { class: 'gpu', words: 9, columns: 24, tokens: 1200, families: ['contraction', 'loop'] },
  { class: 'gpu', words: 7, columns: 9, tokens: 40, families: ['loop'] },
  { class: 'cpu', words: 9, columns: 24, tokens: 1200, families: ['contraction'] },
  { class: 'cpu', words: 7, columns: 9, tokens: 40, families: ['loop'] },
] as const)(
  '$class: $words words, $columns columns, $tokens tokens',
  async ({ class: deviceClass, words, columns, tokens, families }) => {
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
    const { worst, plan } = await compare(opened, p, feed(p), { target: { ...opened.target, class: deviceClass } });
    expect(plan.kernels.map(({ family }) => family)).toEqual(families);
    expect(worst).toBeLessThan(1e-6);
  },
);
