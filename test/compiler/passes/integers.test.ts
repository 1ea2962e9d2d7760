/** Integer tensors of positions written out: what stays of them, and that the values stay. */
import { describe, expect, test } from 'vitest';
import { printProgram } from '../../../compiler/ir/print.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { inlineIntegers } from '../../../compiler/passes/integers.ts';
import { removeDead } from '../../../compiler/passes/simplify/dead.ts';
import { feed } from '../../support/feed.ts';
import { analysed } from '../semantics/support.ts';
import { expectSameOutputs } from './agree.ts';

function written(items: string): Program {
  const { program, diagnostics } = analysed(items);
  if (program === undefined) throw new Error(diagnostics.map((d) => d.message).join('\n'));
  return program;
}

/** The computed tensors after the pass, checked against what they were. */
function inlined(items: string): string {
  const before = written(items);
  const found = removeDead(inlineIntegers(before));
  expect(verify(found)).toEqual([]);
  expectSameOutputs(before, found, feed(before, 3));
  return printProgram(found)
    .split('\n')
    .filter((line) => line.startsWith('  ') || line.startsWith('tensor'))
    .join('\n');
}

describe('integer tensors of positions', () => {
  test('a circulant is two reads', () => {
    expect(inlined('axis i, j: 4 input c[j] W[i, j] = c[(i - j) % 4] output W')).toMatchInlineSnapshot(`
      "tensor W: f32[4, 4]
        W[i, j] sum= c[i - j + 4]   over i: 4, j: 4   where j - i - 1 >= 0
        W[i, j] sum= c[i - j]   over i: 4, j: 4   where i - j >= 0"
    `);
  });

  test('a bucketed bias, with the outside of its domain', () => {
    const items = `axis t, u: 5, n: 3 input bias[n]
      bucket[t, u]: i32 = min(t - u, 2) where u <= t
      B[t, u] = bias[bucket[t, u]] where u <= t output B`;
    expect(inlined(items)).toMatchInlineSnapshot(`
      "tensor B: f32[5, 5]
        B[t, u] sum= bias[t - u]   over t: 5, u: 5   where t - u >= 0 and u - t + 2 >= 0
        B[t, u] sum= bias[2]   over t: 5, u: 5   where t - u >= 0 and t - u - 3 >= 0"
    `);
  });

  test('as a number and in a condition', () => {
    const items = `axis t, u: 5 input x[u]
      far[t, u]: i32 = t - u - 1
      y[t] = sum[u](x[u] * far[t, u] where far[t, u] >= 0 and far[t, u] % 2 != 1) output y`;
    expect(inlined(items)).toMatchInlineSnapshot(`
      "tensor y: f32[5]
        y[t] sum= x[u] * index(t - u - 1)   over t: 5, u: 5   where t - u - 1 >= 0 and remainder(index(t - u - 1), 2) != 1"
    `);
  });

  test('inside a function it is a choice', () => {
    const items = 'axis i: 6 input c[i] y[i] = exp(c[(i + 3) % 6]) output y';
    expect(inlined(items)).toMatchInlineSnapshot(`
      "tensor y: f32[6]
        y[i] sum= exp(select(2 - i >= 0, c[i + 3], c[i - 3]))   over i: 6"
    `);
  });

  test.each([
    ['of many pieces', 'axis i: 20 input c[i] y[i] = c[i * 7 % 20] output y'],
    ['of data', 'axis i: 3 input k[i]: i32 input c[i] y[i] = c[k[i] % 3] output y'],
  ])('%s stays', (_, items) => {
    expect(inlined(items)).toContain(': i32[');
  });
});
