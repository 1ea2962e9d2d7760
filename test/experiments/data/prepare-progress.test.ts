import { expect, test } from 'vitest';
import { drawPreparing, prepareLine } from '../../../experiments/data/prepare-progress.ts';

const state = {
  doing: 'reading',
  doneBytes: 3 * 2 ** 30,
  totalBytes: 12 * 2 ** 30,
  documents: 12345,
  bytesPerSecond: 2 ** 26,
} as const;

test.each([
  [100, '█████░░░░░░░░░░░░░ reading · 3 GiB of 12 GiB · 12345 documents · 64 MiB/s · 2 min 24 s left'],
  [70, 'reading · 3 GiB of 12 GiB · 2 min 24 s left'],
  [30, 'reading 25%'],
  [5, '25%'],
])('in %i columns', (columns, line) => {
  expect(prepareLine(state, columns)).toBe(line);
});

test('the speed is of this process, each phase by itself', () => {
  let ms = 0;
  const written: string[] = [];
  const drawing = drawPreparing({ write: (text) => written.push(text) }, () => ms);
  const say = (doing: 'reading' | 'checking', doneBytes: number) => {
    ms += 20_000;
    drawing.update({ doing, doneBytes, totalBytes: 100 * 2 ** 20, documents: 7 });
  };
  say('reading', 50 * 2 ** 20);
  say('reading', 70 * 2 ** 20);
  say('checking', 0);
  say('checking', 100 * 2 ** 20);
  drawing.end();
  expect(written).toEqual([
    'reading · 50 MiB of 100 MiB · 7 documents\n',
    'reading · 70 MiB of 100 MiB · 7 documents · 1 MiB/s · 30 s left\n',
    'checking · 0 bytes of 100 MiB · 7 documents\n',
    'checking · 100 MiB of 100 MiB · 7 documents · 5 MiB/s · 0 s left\n',
  ]);
});
