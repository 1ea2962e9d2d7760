import { expect, test } from 'vitest';
import { look } from '../../../experiments/training/look.ts';
import { staged } from '../../../runtime/stages.ts';

test('-v: a line for each stage that has something to tell, one for what comes again and again, totals at the end', () => {
  const said: string[] = [];
  const { end } = look({ verbose: true, trace: null, profile: false }, (line) => said.push(line));
  for (let times = 0; times < 3; times += 1) {
    staged(
      'schedule',
      () => 5,
      (kernels) => `${kernels} kernels`,
    );
    staged('write checkpoint', () => undefined);
  }
  end();
  staged('schedule', () => 5);
  const lines = said.map((line) => line.replace(/ +[\d.]+ ms/, ' N ms').replace(/ +[\d.]+ %/, ' N %'));
  expect(lines.slice(0, 4)).toEqual([
    'schedule N ms  5 kernels',
    'write checkpoint N ms',
    'schedule N ms  5 kernels',
    'schedule N ms  5 kernels',
  ]);
  expect(lines[4]).toMatch(/^where the time went, of/);
  expect(lines.slice(5).sort()).toEqual(['  schedule N ms N %  3 times', '  write checkpoint N ms N %  3 times']);
});

test('without any of it nothing is said', () => {
  const said: string[] = [];
  const { end } = look({ verbose: false, trace: null, profile: false }, (line) => said.push(line));
  staged('schedule', () => 5);
  end();
  expect(said).toEqual([]);
});
