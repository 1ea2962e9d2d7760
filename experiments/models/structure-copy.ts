/**
 * A structure and all that it imports or fills its slots with unless told otherwise, read once: what a run is trained from, and what its folder keeps a copy of.
 *
 *   near.mlbtc      import "btt", import "../rope.mlbtc"        structure/near.mlbtc   import "btt.mlbtc", import "rope.mlbtc"
 *   ../rope.mlbtc   (no imports)                          →     structure/rope.mlbtc
 *   the library's btt                                           structure/btt.mlbtc
 *
 * In the copy every file lies beside the one that imports it, the library's too, and is imported by that name: so the folder is
 * a structure by itself, which every command takes, wherever it is moved and whatever becomes of the originals.
 *
 * The trap: files of one name from several folders. And what is compiled keeps the original places and texts, so that a message
 * points where somebody edits.
 */
import { basename } from 'node:path';
import { diagnosticsError, openSource } from '../../compiler/command-line/source.ts';
import { neededBy, type Resolve } from '../../compiler/semantics/files.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { parse } from '../../compiler/syntax/parser.ts';

export interface StructureCopy {
  /** The main file, as it was read. */
  readonly source: Source;
  /** Answers the imports of the files that were read, from memory. */
  readonly resolve: Resolve;
  /** All files, as they were read. */
  readonly sources: readonly Source[];
  /** Texts of the copy by file name; the main file first. */
  readonly files: ReadonlyMap<string, string>;
  /** What a file that was read is called in the copy. */
  readonly nameOf: (source: Source) => string;
}

interface Read {
  readonly source: Source;
  readonly name: string;
  readonly imports: ReadonlyMap<string, Source>;
}

/** Reads a structure's files. Throws DiagnosticsError where the main one cannot be read or understood. */
export function readStructure(path: string): StructureCopy {
  return readStructures(path, []);
}

/** The same of a structure and of others that go with it, which lie in one copy. */
export function readStructures(path: string, others: readonly string[]): StructureCopy {
  const { source: main, resolve } = openSource(path);
  const found = new Map<string, Read>();
  const taken = new Set<string>();
  const waiting = [main, ...others.map((other) => openSource(other).source)];
  for (let source = waiting.shift(); source !== undefined; source = waiting.shift()) {
    if (found.has(source.file)) continue;
    const imports = importsOf(source, resolve);
    found.set(source.file, { source, name: freeName(source.file, taken), imports });
    waiting.push(...imports.values());
  }
  const nameOf = ({ file }: Source) => (found.get(file) as Read).name;
  return {
    source: main,
    resolve: (imported, fromFile) => found.get(fromFile)?.imports.get(imported),
    sources: [...found.values()].map(({ source }) => source),
    files: new Map([...found.values()].map((read) => [read.name, withNames(read, nameOf)])),
    nameOf,
  };
}

/** Whether two are the same structure: the same files, text for text, names of folders aside. */
export function isSameStructure(a: Pick<StructureCopy, 'files'>, b: Pick<StructureCopy, 'files'>): boolean {
  const [first, second] = [a, b].map(({ files }) => JSON.stringify([...files]));
  return first === second;
}

/** What is not found is left to the analysis, which says so in its place. */
function importsOf(source: Source, resolve: Resolve): ReadonlyMap<string, Source> {
  const { file, diagnostics } = parse(source);
  if (diagnostics.some(({ severity }) => severity === 'error')) throw diagnosticsError(diagnostics, [source]);
  const imports = new Map<string, Source>();
  for (const { path } of neededBy(file)) {
    const imported = resolve(path, source.file);
    if (imported !== undefined) imports.set(path, imported);
  }
  return imports;
}

/** A path ending in `.mlbtc` is looked for beside the file that names it. */
function freeName(path: string, taken: Set<string>): string {
  const stem = basename(path)
    .replace(/\.mlbtc$/, '')
    .replace(/[^\p{L}\p{N}_.-]/gu, '_');
  for (let number = 1; ; number += 1) {
    const name = `${stem}${number === 1 ? '' : `-${number}`}.mlbtc`;
    // Some file systems do not tell `A` from `a`.
    const key = name.toLowerCase();
    if (taken.has(key)) continue;
    taken.add(key);
    return name;
  }
}

function withNames({ source, imports }: Read, nameOf: (source: Source) => string): string {
  let { text } = source;
  for (const { path, pathSpan } of neededBy(parse(source).file).toSorted(
    (a, b) => b.pathSpan.start - a.pathSpan.start,
  )) {
    const imported = imports.get(path);
    if (imported === undefined) continue;
    text = `${text.slice(0, pathSpan.start)}"${nameOf(imported)}"${text.slice(pathSpan.end)}`;
  }
  return text;
}
