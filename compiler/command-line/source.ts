/** One file of the command line, compiled: what `build` and `explain` begin with, and in its parts `mlbtc run` and training. */

import { type CompiledProgram, type CompileOptions, compile } from '../compile.ts';
import type { Resolve } from '../semantics/files.ts';
import type { StructureInterface } from '../semantics/interface.ts';
import type { Diagnostic, Source } from '../syntax/diagnostic.ts';
import { renderDiagnostics } from '../syntax/render.ts';
import { DiagnosticsError } from './errors.ts';
import { sourceFiles } from './files.ts';
import type { CommandIo } from './io.ts';

/** A main file that has been read: once, since a pipe gives its text only once. */
export interface OpenedSource {
  readonly source: Source;
  readonly resolve: Resolve;
}

export interface CompiledFile extends CompiledProgram {
  readonly file: string;
  readonly sources: readonly Source[];
  readonly interface: StructureInterface;
  readonly gradients: boolean;
}

/** Prints warnings to `io`. Throws DiagnosticsError where there are errors. */
export function compileFile(
  file: string,
  options: Omit<CompileOptions, 'source' | 'resolve'>,
  io: CommandIo,
  { source, resolve }: OpenedSource = openSource(file),
): CompiledFile {
  const result = compile({ ...options, source, resolve });
  const { diagnostics, sources, compiled } = result;
  if (compiled === undefined || result.interface === undefined) throw diagnosticsError(diagnostics, sources);
  io.err(renderDiagnostics(diagnostics, sources));
  return { ...compiled, file, sources, interface: result.interface, gradients: options.gradients ?? false };
}

/** The main file and the resolver of its imports. Throws DiagnosticsError where it cannot be read. */
export function openSource(file: string): OpenedSource {
  const files = sourceFiles();
  const source = files.read(file);
  if ('diagnostic' in source) throw diagnosticsError([source.diagnostic], []);
  return { source, resolve: files.resolve };
}

export function diagnosticsError(diagnostics: readonly Diagnostic[], sources: readonly Source[]): DiagnosticsError {
  return new DiagnosticsError(renderDiagnostics(diagnostics, sources));
}
