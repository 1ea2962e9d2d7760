/** One file of the command line, compiled: what `build` and `explain` begin with, and in its parts `mlbtc run` and training. */

import { type CompiledProgram, type CompileOptions, compile } from '../compile.ts';
import type { Resolve } from '../semantics/files.ts';
import type { StructureInterface } from '../semantics/interface.ts';
import type { Diagnostic, Source } from '../syntax/diagnostic.ts';
import { renderDiagnostics } from '../syntax/render.ts';
import { DiagnosticsError } from './errors.ts';
import { sourceFiles } from './files.ts';
import type { CommandIo } from './io.ts';
import { readSlots, type SlotBindings } from './slot-options.ts';

/** A main file that has been read: once, since a pipe gives its text only once. */
export interface OpenedSource {
  readonly source: Source;
  readonly resolve: Resolve;
  /** What fills the structure's slots. */
  readonly slots: Readonly<Record<string, Source>>;
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
  options: Omit<CompileOptions, keyof OpenedSource>,
  io: CommandIo,
  opened: OpenedSource = openSource(file),
): CompiledFile {
  const result = compile({ ...options, ...opened });
  const { diagnostics, sources, compiled } = result;
  if (compiled === undefined || result.interface === undefined) throw diagnosticsError(diagnostics, sources);
  io.err(renderDiagnostics(diagnostics, sources));
  return { ...compiled, file, sources, interface: result.interface, gradients: options.gradients ?? false };
}

/**
 * The main file, the resolver of its imports, and what fills its slots. Throws DiagnosticsError or UserError where a file cannot be
 * read.
 */
export function openSource(file: string, slots: SlotBindings = {}): OpenedSource {
  const files = sourceFiles();
  const source = files.read(file);
  if ('diagnostic' in source) throw diagnosticsError([source.diagnostic], []);
  return { source, resolve: files.resolve, slots: readSlots(slots, files) };
}

export function diagnosticsError(diagnostics: readonly Diagnostic[], sources: readonly Source[]): DiagnosticsError {
  return new DiagnosticsError(renderDiagnostics(diagnostics, sources));
}
