import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeError } from '../../../compiler/command-line/errors.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { createRunFolder, discardUnstarted } from '../../../experiments/runs/folder.ts';
import { inFolder } from '../../support/folder.ts';

const words = ['--n_dims=3', '--d_model=8', '--n_head=2', '--token_mixing_struct=low_rank'];
const create = (path: string) => createRunFolder(resolveIcl([...words, `--out_dir=${path}`]));

test('a run that never began leaves its place free; one that did is left alone', () =>
  inFolder((parent) => {
    const path = join(parent, 'run');
    discardUnstarted(create(path));
    expect(existsSync(path)).toBe(false);
    const begun = create(path);
    writeFileSync(begun.metricsPath, '{}\n');
    discardUnstarted(begun);
    expect(readdirSync(path).sort()).toEqual(['checkpoints', 'config.yaml', 'metrics.jsonl', 'plots']);
  }));

test('what else lies in the folder stays', () =>
  inFolder((parent) => {
    writeFileSync(join(parent, 'notes.txt'), 'mine');
    discardUnstarted(create(parent));
    expect(readdirSync(parent)).toEqual(['notes.txt']);
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
