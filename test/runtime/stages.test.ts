import { expect, test } from 'vitest';
import { listenToStages, type Stage, staged, stagedAsync } from '../../runtime/stages.ts';

test('who listens hears of each stage when it is over, and of none afterwards', async () => {
  const heard: Stage[] = [];
  const stop = listenToStages((stage) => heard.push(stage));
  expect(staged('add', () => 1 + 1, String)).toBe(2);
  expect(await stagedAsync('wait', async () => 'done')).toBe('done');
  expect(() =>
    staged('fail', () => {
      throw new Error('no');
    }),
  ).toThrow('no');
  stop();
  staged('unheard', () => 0);
  expect(heard.map(({ name, detail }) => [name, detail])).toEqual([
    ['add', '2'],
    ['wait', ''],
  ]);
  for (const { startMs, endMs } of heard) expect(endMs).toBeGreaterThanOrEqual(startMs);
});
