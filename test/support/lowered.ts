/** A structure's program as the semantics lower it, from its text or by the library's name: for tests that want no device. */
import { readFileSync } from 'node:fs';
import type { Program } from '../../compiler/ir/program.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import type { SizeValue } from '../../compiler/semantics/model.ts';
import { structurePath } from '../../experiments/library.ts';

export type Sizes = Readonly<Record<string, SizeValue>>;

/** Throws with the diagnostics where it is wrong. Imports are answered by the library. */
export function lowered(text: string, sizes: Sizes = {}, file = 'structure.mlbtc'): Program {
  const { program, diagnostics } = analyse({
    source: { file, text },
    sizes,
    resolve: (path) => librarySource(path.replace(/\.mlbtc$/, '')),
    unbound: 'refuse',
  });
  if (program === undefined) throw new Error(diagnostics.map(({ message }) => message).join('\n'));
  return program;
}

export function loweredLibrary(name: string, sizes: Sizes): Program {
  const { file, text } = librarySource(name);
  return lowered(text, sizes, file);
}

function librarySource(name: string): { readonly file: string; readonly text: string } {
  const file = structurePath(name);
  return { file, text: readFileSync(file, 'utf8') };
}
