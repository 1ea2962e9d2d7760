// What the pages say of the language is so: every block of MLBTC in them does what its fence says (pages.ts), and the tables of
// docs/language.md are those of the compiler.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { binaryFunctions, reductions, unaryFunctions } from '../../compiler/semantics/calls.ts';
import { preludeFunctions } from '../../compiler/semantics/prelude.ts';
import { codes } from '../../compiler/syntax/codes.ts';
import { reservedWords } from '../../compiler/syntax/tokens.ts';
import { mlbtcc } from '../support/command-line.ts';
import { blocksOf, pages, readPage, root, toldOf } from './pages.ts';

describe.each(pages().filter((page) => blocksOf(page).length > 0))('%s', (page) => {
  test.each(blocksOf(page).map((block) => [block.line, block] as const))('line %i', (_, block) => {
    const told = toldOf(block);
    if (block.wanted === undefined) expect(told).toEqual([]);
    else expect(told.map((line) => line.slice(0, 5))).toEqual([block.wanted]);
  });
});

describe('docs/language.md', () => {
  const page = readPage('docs/language.md');

  test('lists every diagnostic, and no other', () => {
    const listed = [...page.matchAll(/^\| `([EW]\d{4})` \| ([^|]*) \|/gm)].map(([, code, title]) => [
      code,
      title.trim(),
    ]);
    expect(Object.fromEntries(listed)).toEqual(codes);
    expect(listed.map(([code]) => code)).toEqual([...new Set(listed.map(([code]) => code))].sort());
  });

  test('lists every reserved word, and no other', () => {
    expect(wordsAfter(page, 'Reserved words:')).toEqual([...reservedWords].sort());
  });

  test('lists every function and reduction, and no other', () => {
    const pointwise = [...unaryFunctions.keys(), ...binaryFunctions.keys(), 'select'];
    expect(wordsAfter(page, 'Functions:')).toEqual(pointwise.sort());
    expect(wordsAfter(page, 'Reductions:')).toEqual([...reductions].sort());
  });

  test('gives the definitions of the library functions', () => {
    const defined = [...page.matchAll(/^fn (\w+)/gm)].map(([, name]) => name);
    expect(defined).toEqual(expect.arrayContaining([...preludeFunctions().keys()]));
  });

  test('lists every field of explain --json', async () => {
    const { out } = await mlbtcc(['explain', join(root, 'docs/near.mlbtc'), '--json']);
    expect(wordsAfter(page, '`explain --json` has')).toEqual(Object.keys(JSON.parse(out)).sort());
  });

  test('is what README and the page of the compiler link to', () => {
    expect(readPage('README.md')).toContain('](docs/language.md)');
    expect(readFileSync(join(root, 'compiler/README.md'), 'utf8')).toContain('](../docs/language.md)');
  });
});

/** The words of the first code span after `label`, sorted. */
function wordsAfter(page: string, label: string): readonly string[] {
  const start = page.indexOf(label);
  const span = /`([^`]*)`/.exec(page.slice(start + label.length))?.[1] ?? '';
  return start < 0 ? [] : span.split(/[\s,]+/).sort();
}
