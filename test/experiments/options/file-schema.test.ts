/** What an editor admits the reader admits; presets, and a run's own config, are admitted. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { experimentsFolder, presetNames } from '../../../experiments/library.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { fileSchema } from '../../../experiments/options/file-schema.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { readLayer } from '../../../experiments/options/layer-file.ts';
import { taskNames } from '../../../experiments/options/set.ts';
import { optionSets } from '../../../experiments/options/sets.ts';
import { configText } from '../../../experiments/runs/config-text.ts';
import { newTrainingRun } from '../../../experiments/runs/training-run.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

type Properties = Readonly<Record<string, Parameters<typeof z.fromJSONSchema>[0]>>;

describe.each(taskNames)('options of %s', (task) => {
  const set = optionSets[task];
  const schema = fileSchema(set);
  const properties = schema.properties as Properties;
  const whole = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);

  test('all are there, with what they are for', () => {
    expect(Object.keys(properties)).toEqual([...Object.keys(set.table), ...Object.keys(set.aliases), 'sizes']);
    for (const [name, { help, fallback }] of Object.entries(set.table)) {
      expect(properties[name]).toMatchObject({
        description: help,
        ...(fallback === undefined ? {} : { default: fallback }),
      });
    }
  });

  test('presets are admitted', () => {
    for (const name of presetNames(task)) {
      const text = readFileSync(join(experimentsFolder, 'presets', task, `${name}.yaml`), 'utf8');
      expect(whole.safeParse(parse(text))).toMatchObject({ success: true });
    }
  });

  test('what is misspelt or of a wrong kind is not', () => {
    for (const wrong of [{ d_modle: 3 }, { d_model: 'wide' }, { d_model: 0 }, { bias: 3 }, { sizes: { r: 'x' } }]) {
      expect(whole.safeParse(wrong).success).toBe(false);
    }
    expect(whole.safeParse({ d_model: 64, bias: true, sizes: { r: [1, 2], gamma: 0.5 } }).success).toBe(true);
  });

  const values = [
    ...['0', '1', '64', '-1', '-2', '0.5', '1e-3', 'true', 'True', 'false', 'none', '~', '"none"', 'default', 'text'],
    ...[
      '16|8',
      '8,4',
      '[16, 8]',
      '[]',
      '[1.5]',
      '[a]',
      'MHA|SWA',
      'MHA|XWA',
      '[SWA]',
      'softmax',
      'low_rank',
      '0.7|0.1|0.2',
      '4GiB',
      '1.5 mb',
      '50%',
      '4 apples',
    ],
    ...['{a: 1}', '[[1]]', '"64"', '3000000000'],
  ];
  /** Three shares have to add up, which a schema cannot say. */
  const beyond = new Set(['split']);

  test('what it admits the reader admits, and the other way where the spelling is the usual one', () =>
    inFolder((folder) => {
      const path = join(folder, 'a.yaml');
      const isRead = (text: string) => {
        writeFiles(folder, { 'a.yaml': text });
        try {
          readLayer(set, path);
          return true;
        } catch {
          return false;
        }
      };
      const wrong: string[] = [];
      const seen = new Set<string>();
      let admitted = 0;
      for (const [name, row] of Object.entries(set.table)) {
        const kind = JSON.stringify(properties[name], (key, part) =>
          ['description', 'default'].includes(key) ? undefined : part,
        );
        if (beyond.has(name) || seen.has(kind)) continue;
        seen.add(kind);
        for (const value of values) {
          const text = `${name}: ${value}\n`;
          const isAdmitted = whole.safeParse(parse(text)).success;
          if (isAdmitted) admitted += 1;
          if (isAdmitted && !isRead(text)) wrong.push(`the reader refuses ${text}`);
          const isUsual = value !== '"64"' && !(row.kind === 'boolean' || row.kind === 'list');
          if (isUsual && !isAdmitted && isRead(text)) wrong.push(`the schema refuses ${text}`);
        }
      }
      expect(wrong).toEqual([]);
      expect(admitted).toBeGreaterThan(3 * seen.size);
    }));
});

test('a run’s own config is admitted', () => {
  const resolved = resolveIcl(['--preset=tiny', '--gswa_rank_list=8|8', '--device=gpu', '-s', 'ranks=[1,2]']);
  const { task, options, sizes, origins } = newTrainingRun('icl', resolved, scoreOf(resolved.options, {}), undefined);
  const text = configText({ task, options: { ...options, out_dir: 'x', sizes }, origins });
  const schema = z.fromJSONSchema(fileSchema(optionSets.icl) as Parameters<typeof z.fromJSONSchema>[0]);
  expect(schema.safeParse(parse(text))).toMatchObject({ success: true });
});
