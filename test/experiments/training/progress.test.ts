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
    expect(progressLine(state, 200)).toMatch(/^[█]{5}[░]{13} /u);
  });

  test.each([
    [110, '█████░░░░░░░░░░░░░ step 300/1200 · loss 0.412 · last point 0.2 (least squares 0) · 30 steps/s · 30 s left'],
    [100, 'step 300/1200 · loss 0.412 · last point 0.2 (least squares 0) · 30 steps/s · 30 s left'],
    [80, 'step 300/1200 · loss 0.412 · last point 0.2 (least squares 0) · 30 s left'],
    [60, 'step 300/1200 · loss 0.412 · last point 0.2 · 30 s left'],
    [50, 'step 300/1200 · loss 0.412 · 30 s left'],
    [40, '300/1200 · loss 0.412 · 30 s left'],
    [25, '300/1200 0.412 30 s'],
    [20, '25% 0.412 30 s'],
    [12, '25% 0.412'],
    [8, '25% 0'],
  ])('at %i columns it keeps what matters', (columns, line) => {
    expect(progressLine(state, columns - 3)).toBe(line);
  });

  test('a long run on a narrow terminal', () => {
    const long = { ...state, step: 123_456, steps: 500_000, loss: 0.00412, stepsPerSecond: 3 };
    expect(progressLine(long, 40)).toBe('123456/500000 · loss 0.00412 · 1 d left');
    expect(progressLine(long, 17)).toBe('24% 0.00412 1 d');
    expect(progressLine({ ...long, stepsPerSecond: 0 }, 32)).toBe('123456/500000 · loss 0.00412');
  });

  const recorded = (columns: number) => {
    const seen = { text: '', now: 0, columns };
    const output = {
      isTTY: true,
      get columns() {
        return seen.columns;
      },
      write: (part: string) => {
        seen.text += part;
      },
    };
    return { seen, progress: createProgress(output, () => seen.now) };
  };

  test('on a terminal it redraws one line, with room for ^C', () => {
    const { seen, progress } = recorded(40);
    progress.update(state);
    seen.now += 50;
    progress.update({ ...state, step: 301 });
    seen.now += 200;
    progress.update({ ...state, step: 302 });
    progress.end();
    expect(seen.text).not.toContain('301');
    expect(seen.text.split('\n')).toHaveLength(2);
    for (const line of seen.text.replaceAll('\x1b[J', '\n').split(/[\r\n]/)) expect(line.length).toBeLessThan(38);
  });

  test('after the end it draws nothing, whoever reports', () => {
    const { seen, progress } = recorded(80);
    progress.update(state);
    progress.end();
    const before = seen.text;
    seen.now += 1000;
    progress.update({ ...state, step: 302 });
    progress.end();
    progress.say('done');
    expect(seen.text).toBe(`${before}done\n`);
  });

  test('what has wrapped since, because the terminal became narrower, is erased as a whole', () => {
    const { seen, progress } = recorded(80);
    progress.update(state);
    seen.columns = 30;
    progress.say('note');
    expect(seen.text).toContain('\x1b[2A\r\x1b[Jnote\n');
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
