// Every code of the table that is this folder's is reached, at its place. E08 is of the experiments.
import { describe, expect, test } from 'vitest';
import { codes } from '../../../compiler/syntax/codes.ts';
import { examples, files } from './code-examples.ts';
import { diagnose } from './support.ts';

const own = Object.keys(codes).filter((code) => /^(E0[2-79]|W)/.test(code));

test('there is an example for every code', () => {
  expect(Object.keys(examples).sort()).toEqual(own.sort());
});

describe.each(Object.entries(examples))('%s', (code, [text, place, options]) => {
  test(`${text} at ${place}`, () => {
    const found = diagnose(text, { files: { ...files, 'main.mlbtc': text }, ...options });
    expect(found.map((d) => d.split(' ').slice(0, 2).join(' '))).toContain(`${code} ${place}`);
  });
});
