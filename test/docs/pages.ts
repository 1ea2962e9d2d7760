/**
 * The blocks of MLBTC in the pages of the project, and what each is meant to be. The fence says it:
 *
 *   ```mlbtc                        a whole file, without errors or warnings
 *   ```mlbtc context                declarations that the fragments after it stand in, up to the next context
 *   ```mlbtc fragment               items in that context
 *   ```mlbtc error E0607            a whole file, or with `fragment` items, that gives this diagnostic and no other
 *
 * The trap: a fragment leaves unused what its context declares for others, so that there nothing is said of what nothing reads.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SourceFiles, sourceFiles } from '../../compiler/command-line/files.ts';
import { verify } from '../../compiler/ir/verify.ts';
import { type Analysis, analyse } from '../../compiler/semantics/analyse.ts';
import { positionOf } from '../../compiler/syntax/position.ts';

export const root = join(import.meta.dirname, '../..');

export interface Block {
  readonly page: string;
  /** Of the fence. */
  readonly line: number;
  readonly text: string;
  readonly isFragment: boolean;
  /** The code of the one diagnostic that is wanted. */
  readonly wanted: string | undefined;
}

/** README.md and what lies in docs/, as paths from the root. */
export function pages(): readonly string[] {
  const inDocs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  return ['README.md', ...inDocs.map((name) => `docs/${name}`)];
}

export function readPage(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

export function blocksOf(page: string): readonly Block[] {
  const blocks: Block[] = [];
  const text = readPage(page);
  let context: string | undefined;
  for (const match of text.matchAll(/^```mlbtc(.*)\n([\s\S]*?)^```$/gm)) {
    const words = match[1]
      .trim()
      .split(/\s+/)
      .filter((word) => word !== '');
    const line = text.slice(0, match.index).split('\n').length;
    const unknown = words.find((word) => !/^(context|fragment|error|warning|[EW]\d{4})$/.test(word));
    if (unknown !== undefined) throw new Error(`${page}:${line}: a fence says \`${unknown}\``);
    const isFragment = words.includes('fragment');
    if (words.includes('context')) {
      context = match[2];
      blocks.push({ page, line, text: inContext(context, ''), isFragment: true, wanted: undefined });
      continue;
    }
    if (isFragment && context === undefined) throw new Error(`${page}:${line}: a fragment before any context`);
    blocks.push({
      page,
      line,
      text: isFragment ? inContext(context as string, match[2]) : match[2],
      isFragment,
      wanted: words.find((word) => /\d/.test(word)),
    });
  }
  return blocks;
}

function inContext(context: string, fragment: string): string {
  return `structure Example {\n${context}${fragment}anchor = 1\noutput anchor\n}\n`;
}

/** Sizes that nothing binds get this value: small, and divisible by what examples divide. */
const free = 4;

/** What is told of a block, `CODE line message`, as `check` tells it and once more with every size known. */
export function toldOf(block: Block): readonly string[] {
  const files = sourceFiles();
  const postponed = analysis(block, files, {}, 'postpone');
  // Functions alone are there to be imported.
  if (postponed.interface === undefined) return shown(postponed, block);
  const sizes = Object.fromEntries(
    postponed.interface.sizes.filter(({ unbound }) => unbound).map(({ name }) => [name, free]),
  );
  const bound = analysis(block, files, sizes, 'refuse');
  const wrong = bound.diagnostics.some(({ severity }) => severity === 'error');
  const unsound = bound.program === undefined ? (wrong ? [] : ['no program']) : verify(bound.program).map(String);
  const told = new Set([...shown(postponed, block), ...shown(bound, block)]);
  return [...told, ...unsound];
}

function analysis(
  { page, line, text }: Block,
  files: SourceFiles,
  sizes: Readonly<Record<string, number>>,
  unbound: 'postpone' | 'refuse',
): Analysis {
  const source = { file: join(root, `${page}.${line}.mlbtc`), text };
  return analyse({ source, sizes, unbound, resolve: files.resolve });
}

function shown({ diagnostics, sources }: Analysis, { isFragment, wanted }: Block): readonly string[] {
  return diagnostics
    .filter(({ code }) => code === wanted || !(isFragment && /^W02/.test(code)))
    .map(({ code, span, message }) => {
      const source = sources.find(({ file }) => file === span.file);
      const line = source === undefined ? 0 : positionOf(source, span.start).line;
      return `${code} ${line} ${message}`;
    });
}
