/**
 * Where a tensor of the optimised program comes from: the line of the user's file that defines it, found through the names that
 * the passes give (`y~2` was split off `y`, `grad.W` is derived from `W`).
 *
 * Only the file's own name is told, not the folder: the same file built elsewhere must give the same bytes.
 */
import type { Program } from '../ir/program.ts';
import type { Source, Span } from '../syntax/diagnostic.ts';
import { lineIndex, lineText, positionOf } from '../syntax/position.ts';

export interface Origin {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The source line, without its indent. */
  readonly text: string;
}

/** Looks a tensor up in the program that is compiled and in the one that was analysed. */
export function originFinder(
  programs: readonly Program[],
  sources: readonly Source[],
): (tensor: string) => Origin | undefined {
  const spans = new Map<string, Span>();
  for (const { tensors } of programs) {
    for (const { name, span, source } of tensors) {
      const equations = source.kind === 'computed' ? source.equations : [];
      const known = equations.find((e) => e.span !== undefined)?.span ?? span;
      if (known !== undefined && !spans.has(name)) spans.set(name, known);
    }
  }
  return (tensor) => {
    for (let name = tensor; ; name = parentName(name)) {
      const span = spans.get(name);
      if (span !== undefined) return origin(span, sources);
      if (parentName(name) === name) return undefined;
    }
  };
}

/** `grad.W~2` → `grad.W` → `W`. */
function parentName(name: string): string {
  const tilde = name.lastIndexOf('~');
  if (/^cot~./.test(name)) return name.slice('cot~'.length);
  if (tilde > 0) return name.slice(0, tilde);
  return name.replace(/^(grad|cot)\.(?=.)/, '');
}

function origin(span: Span, sources: readonly Source[]): Origin | undefined {
  const source = sources.find(({ file }) => file === span.file);
  if (source === undefined) return undefined;
  const { line, column } = positionOf(source, span.start);
  const file = span.file.split(/[\\/]/).at(-1) ?? span.file;
  return { file, line, column, text: lineText(source, lineIndex(source, span.start)).trim() };
}

export function originText({ file, line, column }: Origin): string {
  return `${file}:${line}:${column}`;
}
