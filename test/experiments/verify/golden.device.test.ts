import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { verifyCase } from '../../../experiments/commands/verify.ts';
import { deviceRunners } from '../../../experiments/training/device-runner.ts';
import { testDevice } from '../../support/device.ts';
import { checkCase, failures, goldenFolder } from './check.ts';

const cases = readdirSync('test/golden').filter((name) => /^(icl|lm|ts|vit|matrix)_/.test(name));
const opened = await testDevice();

describe('golden cases on the device', () => {
  test.each(cases)('%s', async (name) => {
    const rows = checkCase(goldenFolder(name), await verifyCase(goldenFolder(name), deviceRunners(opened)));
    expect(failures(rows)).toEqual([]);
    expect(rows.length).toBeGreaterThan(2);
  });
});
