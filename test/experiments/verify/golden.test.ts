import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { verifyCase } from '../../../experiments/commands/verify.ts';
import { interpreterRunner } from '../../../experiments/training/runner.ts';
import { checkCase, failures, goldenFolder } from './check.ts';

const cases = readdirSync('test/golden').filter((name) => /^(icl|lm|ts|vit|matrix)_/.test(name));

describe('golden cases on the interpreter', () => {
  test('all of this version are here', () => {
    expect(cases.filter((name) => name.startsWith('icl_'))).toHaveLength(9);
    expect(cases.filter((name) => name.startsWith('lm_'))).toHaveLength(10);
    expect(cases.filter((name) => name.startsWith('ts_'))).toHaveLength(1);
    expect(cases.filter((name) => name.startsWith('vit_'))).toHaveLength(1);
    expect(cases.filter((name) => name.startsWith('matrix_'))).toHaveLength(11);
  });

  // In float64 what remains is that the golden values are stored in float32.
  test.each(cases)('%s', async (name) => {
    const rows = checkCase(goldenFolder(name), await verifyCase(goldenFolder(name), interpreterRunner), {
      value: 2e-6,
      step: 1e-4,
    });
    expect(failures(rows)).toEqual([]);
    expect(rows.length).toBeGreaterThan(2);
  });
});
