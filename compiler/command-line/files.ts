/**
 * `.mlbtc` files from disk: the main file, and the resolver that answers its imports. A bare name is a structure of the library,
 * which lies in `experiments/structures` beside this folder, in the sources as in `dist/`.
 *
 * The trap: one file reached on two ways (`a.mlbtc`, `./a.mlbtc`, a link) must get one name, or a cycle would not be seen and a
 * structure be there twice. And what cannot be read is a diagnostic like any other, so that several files get several answers.
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Resolve } from '../semantics/files.ts';
import { error } from '../syntax/codes.ts';
import type { Diagnostic, Source } from '../syntax/diagnostic.ts';
import { closest } from '../syntax/suggest.ts';
import { describeError } from './errors.ts';
import { readBytes } from './input-file.ts';

export const libraryFolder = fileURLToPath(new URL('../../experiments/structures/', import.meta.url));

export interface SourceFiles {
  /** The text of a file named on the command line; `-` is not looked for here. */
  readonly read: (path: string) => Source | { readonly diagnostic: Diagnostic };
  readonly resolve: Resolve;
}

/** `library` answers bare imports; each command makes one of these for each main file. */
export function sourceFiles(library: string = libraryFolder): SourceFiles {
  const known = new Map<string, Source>();

  const load = (path: string, name: string): Source => {
    const real = realpathSync(path);
    const before = known.get(real);
    if (before !== undefined) return before;
    const source = { file: name, text: decode(readBytes(path)) };
    known.set(real, source);
    return source;
  };

  return {
    read: (path) => {
      try {
        return load(path, path);
      } catch (problem) {
        return { diagnostic: unreadable(path, problem) };
      }
    },
    resolve: (path, fromFile) => {
      const bare = !path.includes('/') && !path.includes('\\') && !path.endsWith('.mlbtc');
      const found = bare ? join(library, `${path}.mlbtc`) : resolve(dirname(fromFile), path);
      try {
        return load(found, displayName(found));
      } catch {
        return undefined;
      }
    },
  };
}

/** Bytes as text; what is no UTF-8 becomes U+FFFD, which the lexer refuses. */
export function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** Names of the library's structures, for people. */
export function libraryNames(library: string = libraryFolder): readonly string[] {
  if (!existsSync(library)) return [];
  return readdirSync(library)
    .filter((file) => file.endsWith('.mlbtc'))
    .map((file) => basename(file, '.mlbtc'))
    .sort();
}

function displayName(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere.startsWith('..') || isAbsolute(fromHere) ? path : fromHere;
}

function unreadable(path: string, problem: unknown): Diagnostic {
  const isSystem = problem instanceof Error && 'syscall' in problem;
  const reason = isSystem
    ? describeError(problem).message.replace(/^error: .*: (?=[^:]*$)/, '')
    : (problem as Error).message;
  const help = isSystem && problem.message.includes('ENOENT') ? similarFile(path) : undefined;
  return error('E0001', { file: path, start: 0, end: 0 }, `the file cannot be read: ${reason}`, help);
}

/** The file beside it that was likely meant, one without its ending included, else the library's of that name or the nearest. */
function similarFile(path: string): string | undefined {
  if (existsSync(path)) return undefined;
  try {
    const beside = readdirSync(dirname(path)).filter((name) => name.endsWith('.mlbtc'));
    const near = beside.find((name) => name === `${basename(path)}.mlbtc`) ?? closest(basename(path), beside);
    if (near !== undefined) return `did you mean \`${join(dirname(path), near)}\`?`;
    const name = basename(path, '.mlbtc');
    const library = libraryNames().includes(name) ? name : closest(name, libraryNames());
    return library === undefined
      ? undefined
      : `the library's own is \`${displayName(join(libraryFolder, `${library}.mlbtc`))}\``;
  } catch {
    return undefined;
  }
}
