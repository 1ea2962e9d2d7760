/** Integer tensors of one sum of axes: which become lines, who reads them, and that the values stay. */
import { describe, expect, test } from 'vitest';
import { printProgram } from '../../../compiler/ir/print.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { integerLines } from '../../../compiler/passes/integer-lines.ts';
import { removeDead } from '../../../compiler/passes/simplify/dead.ts';
import { feed } from '../../support/feed.ts';
import { lowered } from '../../support/lowered.ts';
import { expectSameOutputs } from './agree.ts';

/** The integer tensors that are left, checked against what they were. */
function lines(items: string): readonly string[] {
  const before = lowered(`structure S { ${items} }`);
  const after = removeDead(integerLines(before));
  expect(verify(after)).toEqual([]);
  expectSameOutputs(before, after, feed(before, 3));
  return printProgram(after)
    .split('\n')
    .filter((line, i, all) => line.startsWith('  ') && all[i - 1].includes('i32'))
    .map((line) => line.trim());
}

describe('a line', () => {
  test.each([
    [
      'of the distance',
      'bucket[t, u]: i32 = (t - u + 5) / 2',
      'bucket~line[d] sum= quotient(index(d), 2)   over d: 11',
    ],
    [
      'under a domain of the distance',
      'bucket[t, u]: i32 = max((2 * t - 2 * u) % 3, 1) where u + 2 <= t',
      'bucket~line[d] sum= maximum(remainder(index(2*d - 10), 3), 1)   over d: 11   where d - 7 >= 0',
    ],
    ['of one axis', 'bucket[t, u]: i32 = t % 4', 'bucket~line[d] sum= remainder(index(d), 4)   over d: 6'],
    [
      'of a weighted sum',
      'bucket[t, u]: i32 = (t + 2 * u) / 4',
      'bucket~line[d] sum= quotient(index(d), 4)   over d: 16',
    ],
  ])('%s', (_, definition, line) => {
    const reads = [
      'y[t, u] = bias[bucket[t, u]] * bucket[u, t]',
      'y[t] = sum[u](bias[u] where bucket[t, u] == 1)',
      'g[n] = bias[n]  y[t] = sum[u](g[u] * bucket[t, u] where bucket[5 - t, u] != bucket[t, u])',
    ];
    for (const read of reads)
      expect(lines(`axis t, u: 6, n: 12 input bias[n] ${definition} ${read} output y`)).toEqual([line]);
  });
});

test('what reads a line at the same sum, or data along it, is one', () => {
  const items = `axis t, u: 6, n: 12 input bias[n] input far[n]: i32
    bucket[t, u]: i32 = (t - u) / 2
    place[t, u]: i32 = bucket[t, u] % 3 + far[t - u + 5]
    y[t, u] = bias[place[t, u]] output y`;
  expect(lines(items)).toEqual([
    'bucket~line[d] sum= quotient(index(d - 5), 2)   over d: 11',
    'place~line[d] sum= remainder(bucket~line[d], 3) + far[d]   over d: 11',
  ]);
});

describe('no line', () => {
  test.each([
    ['two sums of axes', 'bucket[t, u]: i32 = (t - u) / 2 + u % 2'],
    ['a domain of another sum', 'bucket[t, u]: i32 = (t - u) / 2 where t + u >= 3'],
    ['data', 'input seg[t]: i32 bucket[t, u]: i32 = seg[t] / 2 + u'],
  ])('%s', (_, definition) => {
    expect(
      lines(`axis t, u: 6, n: 16 input bias[n] ${definition} y[t, u] = bias[max(bucket[t, u], 0)] output y`),
    ).not.toContainEqual(expect.stringContaining('~line'));
  });
  test('an output', () => {
    expect(lines('axis t, u: 6 bucket[t, u]: i32 = (t - u) / 2 output bucket')).toEqual([
      'bucket[t, u] sum= quotient(index(t) - 1 * index(u), 2)   over t: 6, u: 6',
    ]);
  });
});
