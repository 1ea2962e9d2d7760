import { describe, expect, test } from 'vitest';
import {
  createProgress,
  durationText,
  plainLine,
  progressLine,
  short,
} from '../../../experiments/training/progress.ts';

const state = { step: 300, steps: 1200, loss: 0.41234, detail: 'last point 0.2 (least squares 0)', stepsPerSecond: 30 };

describe('progress', () => {
  test('a line says everything that a person asks', () => {
    expect(plainLine(state)).toBe(
      'step 300/1200 · loss 0.412 · last point 0.2 (least squares 0) · 30 steps/s · 30 s left',
    );
    expect(progressLine(state)).toMatch(/^[█]{5}[░]{13} /u);
  });

  test('on a terminal it redraws one line, no wider than the terminal', () => {
    let [text, now] = ['', 0];
    const output = { isTTY: true, columns: 40, write: (part: string) => (text += part) };
    const progress = createProgress(output, () => now);
    progress.update(state);
    now += 50;
    progress.update({ ...state, step: 301 });
    now += 200;
    progress.update({ ...state, step: 302 });
    progress.end();
    expect(text).not.toContain('301');
    expect(text.split('\n')).toHaveLength(2);
    for (const line of text.split(/[\r\n]/)) expect([...line].length).toBeLessThan(40);
  });

  test('elsewhere it prints a line now and then, and the last one at the end', () => {
    let [text, now] = ['', 0];
    const progress = createProgress({ write: (part: string) => (text += part) }, () => now);
    for (let step = 1; step <= 50; step += 1) {
      progress.update({ ...state, step });
      now += 500;
    }
    progress.say('note');
    progress.end();
    const lines = text.trimEnd().split('\n');
    expect(lines.map((line) => line.split(' ')[1])).toEqual(['1/1200', '21/1200', '41/1200', undefined, '50/1200']);
    expect(text).not.toContain('\r');
  });

  test('numbers and durations', () => {
    expect([short(1234.5), short(0.012345), short(2e-6), short(Number.NaN)]).toEqual(['1235', '0.0123', '0', 'NaN']);
    expect([59, 61, 3700, 200000].map(durationText)).toEqual(['59 s', '1 min 1 s', '1 h 1 min', '2.3 days']);
  });
});
