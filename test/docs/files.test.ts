/** Pages and comments name files that are there: a file that moves or goes takes what is said of it along. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const folders = ['compiler', 'kernels', 'runtime', 'experiments', 'test', 'docs', 'tools'];
const paths = [
  ...readdirSync(root),
  ...folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  ),
];

const ending = (end: RegExp): readonly string[] => paths.filter((path) => end.test(path) && !path.includes('golden'));

/** What a text names that no path ends with: `families/row.ts` may be said as `row.ts`. */
function missing(path: string, pattern: RegExp): readonly string[] {
  const named = [...readFileSync(join(root, path), 'utf8').matchAll(pattern)].map(([, name]) => name);
  const isThere = (name: string): boolean => paths.some((other) => other === name || other.endsWith(`/${name}`));
  return named.filter((name) => !isThere(name)).map((name) => `${path}: ${name}`);
}

test('files of code', () => {
  const inText = /[`(\s]((?:[a-z\d-]+\/)*[a-z][a-z\d.-]*\.ts)\b/g;
  expect([...ending(/\.md$/), ...ending(/\.ts$/)].flatMap((path) => missing(path, inText))).toEqual([]);
});

test('links', () => {
  const link = /\]\(([\w./-]+\.(?:md|ts|mjs|py|svg|png|json|jsonl|mlbtc|yaml))(?:#[\w-]+)?\)/g;
  const broken = ending(/\.md$/).flatMap((path) =>
    [...readFileSync(join(root, path), 'utf8').matchAll(link)]
      .filter(([, target]) => !existsSync(join(root, dirname(path), target)))
      .map(([, target]) => `${path}: ${target}`),
  );
  expect(broken).toEqual([]);
});
