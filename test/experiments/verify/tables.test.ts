/** The golden tables: factor pairs, schedules, curricula, muP and counts of every model, numbers to 1e-9. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readCase, type TablesCase } from '../../../experiments/verify/case.ts';
import { verifyTables } from '../../../experiments/verify/tables.ts';
import { goldenFolder } from './check.ts';

const folder = goldenFolder('tables');
const { tables: wanted } = JSON.parse(readFileSync(`${folder}/case.json`, 'utf8')) as { tables: unknown };
const golden = readCase(folder) as TablesCase;

/** Places where two trees differ. */
function differences(want: unknown, have: unknown, path = ''): readonly string[] {
  if (typeof want === 'number' && typeof have === 'number') {
    return Math.abs(want - have) <= 1e-9 * Math.max(1e-3, Math.abs(want)) ? [] : [`${path}: ${have}, not ${want}`];
  }
  if (typeof want !== 'object' || want === null || typeof have !== 'object' || have === null) {
    return want === have ? [] : [`${path}: ${String(have)}, not ${String(want)}`];
  }
  const found = have as Readonly<Record<string, unknown>>;
  return Object.entries(want).flatMap(([key, value]) => differences(value, found[key], `${path}/${key}`));
}

describe('golden tables', () => {
  test('all of them', () => {
    expect(golden.tables.models.length).toBe(13);
    expect(differences(wanted, verifyTables(golden))).toEqual([]);
  });

  test('nothing is read of the answers', () => {
    const asked: TablesCase = {
      ...golden,
      tables: {
        ...golden.tables,
        lr_mult: [{ init_lr: 1, min_lr: 0.5, warmup: 2, decay_iters: 4, at: { 1: 7, 3: 7, 9: 7 } }],
        models: [],
      },
    };
    expect(verifyTables(asked)).toMatchObject({ lr_mult: [{ at: { 1: 0.5, 3: 0.75, 9: 0.5 } }] });
  });

  test('a curriculum that ends where it begins, and one that begins beyond its end', () => {
    const asked = (n_dims: number): TablesCase => ({
      ...golden,
      tables: { ...golden.tables, models: [], curriculum: [{ n_dims, train_steps: 100, interval: 10 }] },
    });
    expect(verifyTables(asked(4))).toMatchObject({ curriculum: [{ changes: [[0, 4, 8]] }] });
    expect(verifyTables(asked(3))).toMatchObject({
      curriculum: [
        {
          changes: [
            [0, 4, 8],
            [1, 3, 6],
          ],
        },
      ],
    });
  });
});
