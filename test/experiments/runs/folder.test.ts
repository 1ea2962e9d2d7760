import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeError } from '../../../compiler/command-line/errors.ts';
import { createRunFolder, discardUnstarted, removeHalfWritten } from '../../../experiments/runs/folder.ts';
import { inFolder } from '../../support/folder.ts';

const create = (path: string) =>
  createRunFolder({
    task: 'icl',
    path,
    name: 'unused',
    options: { n_dims: 3 },
    sizes: {},
    origins: {},
    structure: new Map([['near.mlbtc', 'structure Near { … }']]),
    provenance: { seed: 0 },
  });

test('a run that never began leaves its place free; one that did is left alone', () =>
  inFolder((parent) => {
    const path = join(parent, 'run');
    discardUnstarted(create(path));
    expect(existsSync(path)).toBe(false);
    const begun = create(path);
    writeFileSync(begun.metricsPath, '{}\n');
    discardUnstarted(begun);
    expect(readdirSync(path).sort()).toEqual([
      ...['checkpoints', 'config.yaml', 'metrics.jsonl', 'plots', 'run.json', 'structure'],
    ]);
  }));

test('what else lies in the folder stays', () =>
  inFolder((parent) => {
    writeFileSync(join(parent, 'notes.txt'), 'mine');
    discardUnstarted(create(parent));
    expect(readdirSync(parent)).toEqual(['notes.txt']);
    mkdirSync(join(parent, 'structure'));
    expect(() => create(parent)).toThrow(/structure is in the way/);
  }));

test('a file in the place of the folder', () =>
  inFolder((parent) => {
    const path = join(parent, 'run');
    writeFileSync(path, '');
    const message = (() => {
      try {
        create(path);
        return '';
      } catch (error) {
        return describeError(error).message;
      }
    })();
    expect(message).toBe(`error: ${path}: is a file, and a folder is needed there (EEXIST)`);
  }));

test('what a killed process left half written goes, and nothing else', () =>
  inFolder((parent) => {
    const { path, checkpointsPath, ...folder } = create(join(parent, 'run'));
    writeFileSync(join(checkpointsPath, '.step-00000003.safetensors.12.ab12.tmp'), 'half');
    writeFileSync(join(path, '.config.yaml.12.ab12.tmp'), 'half');
    writeFileSync(join(path, '.lock.ab12.tmp'), '');
    writeFileSync(join(path, 'mine.tmp'), '');
    removeHalfWritten({ path, checkpointsPath, ...folder });
    expect(readdirSync(checkpointsPath)).toEqual([]);
    expect(readdirSync(path).filter((name) => name.endsWith('.tmp'))).toEqual(['.lock.ab12.tmp', 'mine.tmp']);
  }));
