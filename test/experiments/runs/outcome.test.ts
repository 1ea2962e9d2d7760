/** How a run ended is said once, and taken back when it goes on. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DivergedError, InterruptedError } from '../../../compiler/command-line/errors.ts';
import { runFolder } from '../../../experiments/runs/folder.ts';
import { noteOutcome, readOutcome } from '../../../experiments/runs/outcome.ts';
import { openRecord } from '../../../experiments/runs/record.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const begun = { 'config.yaml': 'd_model: 8\n', 'metrics.jsonl': '' };

test.each([
  [undefined, 'finished', ''],
  [new InterruptedError('after step 3'), 'interrupted', 'error: after step 3'],
  [new DivergedError('at step 4'), 'diverged', 'error: at step 4'],
  [new Error('a bug'), 'failed', 'internal error: a bug\n  run again with --debug for the stack'],
])('%s', (error, outcome, message) =>
  inFolder((path) => {
    writeFiles(path, begun);
    const folder = runFolder(path);
    noteOutcome(folder, error);
    expect(readOutcome(folder)).toMatchObject({ outcome, message });
    noteOutcome(folder, new Error('later'));
    expect(readOutcome(folder)).toMatchObject({ outcome });
    openRecord(folder).close();
    expect(readOutcome(folder)).toBeUndefined();
  }),
);

test('a run that never began has none; what cannot be written does not hide what ended it', () =>
  inFolder((path) => {
    const folder = runFolder(path);
    noteOutcome(folder);
    expect(readOutcome(folder)).toBeUndefined();
    writeFiles(path, begun);
    const nowhere = { ...folder, outcomePath: join(folder.configPath, 'outcome.json') };
    expect(() => noteOutcome(nowhere, new Error('why'))).not.toThrow();
    expect(() => noteOutcome(nowhere)).toThrow();
    writeFileSync(folder.outcomePath, '{"outcome":"fini');
    expect(readOutcome(folder)).toBeUndefined();
  }));
