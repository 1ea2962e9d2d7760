/** What `--profile` and `--trace` make of timings. */
import { describe, expect, test } from 'vitest';
import { chromeTrace } from '../../../experiments/training/chrome-trace.ts';
import {
  following,
  type ProfiledKernel,
  type ProfiledStep,
  profileLines,
} from '../../../experiments/training/profile.ts';

const kernel = (key: string, timeUs: number, startUs = 0): ProfiledKernel => ({
  label: `0 ${key}`,
  key,
  family: 'loop',
  multiplyAdds: 1e6,
  bytes: 2e6,
  startUs,
  timeUs,
});
const step = (kernels: readonly ProfiledKernel[], startMs = 10): ProfiledStep => ({ step: 3, startMs, kernels });

describe('a profile', () => {
  test('a row for each code, the slowest first: time, share, TFLOP/s, GB/s', () => {
    const lines = profileLines([step([kernel('y', 10), kernel('z', 60), kernel('y', 30)])], 1e12);
    expect(lines[0]).toBe(
      'kernels of a step, mean of 1: 100.0 µs in 3 dispatches, 0.06 TFLOP/s, 6.0 % of its f32 peak',
    );
    expect(lines.slice(2).map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['60.0 µs', '60.0 %', '0.0333', '33.3', 'loop 0 z'],
      ['40.0 µs', '40.0 %', '0.1', '100', 'loop 0 y (2 times)'],
    ]);
  });

  test('a mean over steps of one shape; those of a stage before are left out', () => {
    const lines = profileLines([step([kernel('a', 1)]), step([kernel('b', 2)]), step([kernel('b', 4)])], undefined);
    expect(lines[0]).toContain('mean of 2: 3.0 µs in 1 dispatches');
    expect(lines).toHaveLength(3);
    expect(profileLines([], undefined)).toEqual(['profile: the run was too short, no step was profiled']);
  });

  test('runs of one step follow one another', () => {
    const first = [kernel('a', 5), kernel('b', 5, 6)];
    expect(following(first, [kernel('c', 1)]).map(({ startUs }) => startUs)).toEqual([11]);
    expect(following([], first)).toEqual(first);
  });
});

test('a trace is JSON of complete events: stages from the first on, kernels behind their step', () => {
  const stages = [{ name: 'schedule', detail: '3 kernels', startMs: 5, endMs: 7.5 }];
  const events = JSON.parse(chromeTrace(stages, [step([kernel('y', 20, 100)])], 'GPU'));
  const complete = events.filter(({ ph }: { ph: string }) => ph === 'X');
  expect(complete).toEqual([
    { name: 'schedule', cat: 'stage', ph: 'X', pid: 1, tid: 1, ts: 0, dur: 2500, args: { detail: '3 kernels' } },
    {
      ...{ name: '0 y', cat: 'loop', ph: 'X', pid: 1, tid: 2, ts: 5100, dur: 20 },
      args: { step: 3, multiplyAdds: 1e6, bytes: 2e6 },
    },
  ]);
  expect(events).toContainEqual({ name: 'thread_name', ph: 'M', pid: 1, tid: 2, args: { name: 'GPU' } });
});
