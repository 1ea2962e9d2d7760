/** Integers out of range are refused with their place before anything runs, and what a `where` or a choice excludes is no mistake. */
import { describe, expect, test } from 'vitest';
import { openSource } from '../../compiler/command-line/source.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import { checkIntegers } from '../../runtime/index-bounds.ts';
import { withFile } from '../support/run-structure.ts';

async function lowered(text: string): Promise<Program> {
  return withFile(text, async (file) => {
    const { source, resolve } = openSource(file);
    const { program, diagnostics } = analyse({ source, sizes: {}, unbound: 'refuse', resolve });
    if (program === undefined) throw new Error(diagnostics.map((d) => d.message).join('\n'));
    return program;
  });
}

/** What is told of these integers, '' where they may be used. */
async function told(items: string, given: Readonly<Record<string, readonly number[]>>): Promise<string> {
  const program = await lowered(`structure S {\n${items}\n}`);
  try {
    checkIntegers('in', program, new Map(Object.entries(given)));
    return '';
  } catch (problem) {
    return (problem as Error).message;
  }
}

const labels = 'axis b: 2, v: 3 input z[b, v] input target[b]: i32\n';
const table = 'axis t: 3, u: 3, v: 4 input E[v] input k[t]: i32\n';

describe('a label', () => {
  const loss = `${labels}l = mean[b](cross_entropy[v](z[b, v], target[b])) output l`;
  const padded = `${labels}l = mean[b](cross_entropy[v](z[b, v], target[b]) where target[b] != -1) output l`;
  const apart = `${labels}l[b] = cross_entropy[v](z[b, v], target[b]) where target[b] >= 0 m = sum[b](l[b]) output m`;
  test.each([
    [loss, [0, 2], ''],
    [loss, [0, 3], 'in: `target`[1] is 3, and it is looked for among `v`, which is 0 to 2; a `where` may leave it out'],
    [loss, [-1, 0], '`target`[0] is -1'],
    [padded, [-1, 2], ''],
    [padded, [-1, 3], '`target`[1] is 3'],
    [apart, [-7, 2], ''],
    [`${labels}y[b, v] = select(v == target[b], 1, 0) output y`, [-1, 9], ''],
  ])('%s: %j', async (items, target, expected) => {
    const found = await told(items, { target });
    if (expected === '') expect(found).toBe('');
    else expect(found).toContain(expected);
  });
});

describe('an index', () => {
  test.each([
    [
      'y[t] = E[k[t]] output y',
      [0, 3, 4],
      'in: `k`[2] is 4, and it indexes dimension 0 of `E`, where only 0 to 3 exist',
    ],
    ['y[t] = E[k[t]] where t < 2 output y', [0, 3, 4], ''],
    ['y[t] = E[k[t]] where k[t] != -1 output y', [-1, 3, 0], ''],
    ['y[t] = E[k[t]] where k[t] != -1 output y', [-1, 3, -2], '`k`[2] is -2'],
    ['y[t] = select(k[t] < 4, E[k[t]], 0) output y', [1, 9, 4], ''],
    ['y[t] = select(k[t] < 4, E[k[t]], 0) output y', [1, 9, -1], '`k`[2] is -1'],
    ['y[t] = E[k[t] + 1] output y', [-1, 2, 0], ''],
    ['y[t] = E[k[t] + 1] output y', [-1, 2, 3], 'a computed integer is 4 at t = 2, and it indexes dimension 0 of `E`'],
    ['p[t, u]: i32 = k[t] - k[u] where u <= t y[t, u] = E[p[t, u]] where u <= t output y', [0, 1, 3], ''],
    ['p[t, u]: i32 = k[t] - k[u] where u <= t y[t, u] = E[p[t, u]] output y', [0, 2, 1], '`p`[2, 1] is -1'],
    ['y[t] = E[k[k[t]]] output y', [2, 5, 1], '`k`[1] is 5, and it indexes dimension 0 of `k`'],
    ['y[v] = sum[t](select(v == k[t], 1, 0)) output y', [-1, 0, 8], ''],
  ])('%s: %j', async (items, k, expected) => {
    const found = await told(table + items, { k });
    if (expected === '') expect(found).toBe('');
    else expect(found).toContain(expected);
  });
});

test('a computed integer beyond 32 bits, or divided by 0', async () => {
  const items = 'axis t: 2 input k[t]: i32 input d[t]: i32 y[t]: i32 = k[t] * 65536 / d[t] output y';
  expect(await told(items, { k: [1, 65536], d: [1, 1] })).toBe(
    'in: `y` has a part that is 4294967296 at t = 1, beyond 32 bits',
  );
  expect(await told(items, { k: [1, 1], d: [1, 0] })).toBe('in: `y`[1] is divided by 0');
  expect(await told(items, { k: [1, -32768], d: [7, 1] })).toBe('');
});
