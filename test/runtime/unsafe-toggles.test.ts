import { afterEach, expect, test } from 'vitest';
import { unsafeTogglesOfEnvironment } from '../../runtime/unsafe-toggles.ts';

const before = process.env.MLBTC_UNSAFE;
afterEach(() => {
  if (before === undefined) delete process.env.MLBTC_UNSAFE;
  else process.env.MLBTC_UNSAFE = before;
});

function toggles(given: string | undefined): readonly string[] {
  if (given === undefined) delete process.env.MLBTC_UNSAFE;
  else process.env.MLBTC_UNSAFE = given;
  return unsafeTogglesOfEnvironment();
}

test('no check is left out unless the environment says so', () => {
  expect(toggles(undefined)).toEqual([]);
  expect(toggles('')).toEqual([]);
  expect(toggles('disable_robustness')).toEqual(['disable_robustness']);
  expect(toggles(' skip_validation , disable_robustness,')).toEqual(['skip_validation', 'disable_robustness']);
});

test('a name that means nothing is refused, with those that do', () => {
  expect(() => toggles('disable_robustness,fast')).toThrow(
    'MLBTC_UNSAFE names "fast": it may name disable_robustness and skip_validation, with a comma between',
  );
});
