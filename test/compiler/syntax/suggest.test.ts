import { expect, test } from 'vitest';
import { closest } from '../../../compiler/syntax/suggest.ts';

test.each([
  ['parm', 'param'],
  ['aixs', 'axis'],
  ['Size', 'size'],
  ['outptu', 'output'],
  ['structur', 'structure'],
  ['lvl', undefined],
  ['x', undefined],
  ['tensor', undefined],
])('%s: %s', (word, expected) => {
  expect(closest(word, ['size', 'axis', 'param', 'level', 'output', 'structure', 'y'])).toBe(expected);
});

test('the word itself is no suggestion, and the nearest wins', () => {
  expect(closest('ranks', ['ranks'])).toBeUndefined();
  expect(closest('ranka', ['rank', 'ranks', 'rink'])).toBe('rank');
  expect(closest('γδ', ['γδε', 'αβ'])).toBe('γδε');
});
