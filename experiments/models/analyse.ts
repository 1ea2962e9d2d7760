/** A structure's program, or its diagnostics as the error that a person sees. */

import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { renderDiagnostics } from '../../compiler/syntax/render.ts';
import type { SizeValue } from '../options/mixers.ts';
import type { Resolve } from './resolve.ts';

export interface AnalyseSettings {
  readonly sizes: Readonly<Record<string, SizeValue>>;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
  /** What fills the structure's slots. */
  readonly slots?: Readonly<Record<string, Source>>;
  readonly resolve: Resolve;
}

/** Analyses the file's main structure, every size bound. Throws UserError with the rendered diagnostics. */
export function analyseSource(source: Source, settings: AnalyseSettings): Program {
  const { program, diagnostics, sources } = analyse({ source, ...settings, unbound: 'refuse' });
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new UserError(renderDiagnostics(errors, sources));
  if (program === undefined) throw new UserError(`${source.file}: there is nothing to build in it`);
  return program;
}
