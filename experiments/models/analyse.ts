/** A structure's program, or its diagnostics as the error that a person sees. */

import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import type { Diagnostic, Source } from '../../compiler/syntax/diagnostic.ts';
import { renderDiagnostics } from '../../compiler/syntax/render.ts';
import { experimentsFolder } from '../library.ts';
import type { SizeValue } from '../options/mixers.ts';
import type { Resolve } from './resolve.ts';

export interface AnalyseSettings {
  readonly sizes: Readonly<Record<string, SizeValue>>;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
  /** What fills the structure's slots. */
  readonly slots?: Readonly<Record<string, Source>>;
  readonly resolve: Resolve;
}

/** A tensor or an index beyond 32 bits. */
const tooLarge: ReadonlySet<string> = new Set(['E0308', 'E0508']);

/** Analyses the file's main structure, every size bound. Throws UserError with the rendered diagnostics. */
export function analyseSource(source: Source, settings: AnalyseSettings): Program {
  const { program, diagnostics, sources } = analyse({ source, ...settings, unbound: 'refuse' });
  const errors = diagnostics.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new UserError(tell(errors, sources));
  if (program === undefined) throw new UserError(`${source.file}: there is nothing to build in it`);
  return program;
}

/**
 * Nobody has written a model of the package too large: its sizes are those of the options. The first place is enough then, behind what
 * can be done.
 */
function tell(errors: readonly Diagnostic[], sources: readonly Source[]): string {
  const isOfOptions = errors.every(({ code, span }) => tooLarge.has(code) && span.file.startsWith(experimentsFolder));
  if (!isOfOptions) return renderDiagnostics(errors, sources);
  return (
    'the model is too large for indices of 32 bits; a smaller batch, fewer tokens or narrower layers have room\n' +
    renderDiagnostics(errors.slice(0, 1), sources)
  );
}
