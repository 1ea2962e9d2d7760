/**
 * A `.mlbtc` file as a PyTorch module: bound, analysed, ordered, written. Sizes that nothing asks anything of need no value and stay open;
 * the others have to be bound, and are numbers in the module.
 *
 * The trap: a size may be asked for where no equation shows it, in a value, an `if`, a default of another. So one that is not an axis's
 * size alone stays open only if the structure is the same for several values of it.
 */
import { DiagnosticsError, UsageError } from '../../compiler/command-line/errors.ts';
import { diagnosticsError, type OpenedSource } from '../../compiler/command-line/source.ts';
import { originFinder } from '../../compiler/emit/origin.ts';
import { type FreeSizes, freeSizes, withoutFreeSizes } from '../../compiler/emit/pytorch/free-sizes.ts';
import { pytorchModule } from '../../compiler/emit/pytorch/module.ts';
import { NotExpressible } from '../../compiler/emit/pytorch/scope.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { guardSingular } from '../../compiler/passes/for-kernels/guard-singular.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import { unfoldAxes } from '../../compiler/passes/unfold.ts';
import { type AnalyseOptions, analyse } from '../../compiler/semantics/analyse.ts';
import type { StructureInterface } from '../../compiler/semantics/interface.ts';
import { renderDiagnostic, renderDiagnostics } from '../../compiler/syntax/render.ts';

export interface ModuleOptions {
  readonly sizes: AnalyseOptions['sizes'];
  readonly structure?: string;
}

export interface StructureModule {
  readonly text: string;
  /** Warnings, rendered. */
  readonly warnings: string;
}

/** What an open size counts as when contractions are ordered: a batch. */
const batch = 32;
/** Values that tell whether a size is asked for, on both sides of what anybody compares with. */
const tried = [1, 3, 4096] as const;

/** Throws DiagnosticsError for the file's mistakes, UsageError for sizes that have to be bound. */
export function structureModule(opened: OpenedSource, { sizes: bound, structure }: ModuleOptions): StructureModule {
  const options = { ...opened, ...(structure === undefined ? {} : { structure }) };
  const unbound = (analyse({ ...options, sizes: bound, unbound: 'one' }).interface?.sizes ?? []).flatMap(
    ({ name, unbound: isUnbound }) => (isUnbound ? [name] : []),
  );
  const sizes = { ...Object.fromEntries(unbound.map((name) => [name, batch])), ...bound };
  const analysed = analyse({ ...options, sizes, unbound: 'refuse' });
  const { program: folded, interface: about, diagnostics, sources } = analysed;
  if (folded === undefined || about === undefined) throw diagnosticsError(diagnostics, sources);
  // What fills a slot sees batch and position as one axis; here each is a size of its own.
  const written = unfoldAxes(folded);
  const open = openSizes(written, about, (other) => {
    const { program } = analyse({ ...options, sizes: { ...sizes, ...other }, unbound: 'refuse' });
    return program === undefined ? {} : { program: unfoldAxes(program) };
  });
  const closed = unbound.filter((name) => !open.has(name));
  if (closed.length > 0) {
    throw new UsageError(
      `${about.name} asks for ${closed.join(', ')}, in a condition, a sum or as a number, so the module has to know ${closed.length > 1 ? 'them' : 'it'}\n` +
        `  help: bind ${closed.map((name) => `-s ${name}=…`).join(' ')}`,
    );
  }
  // What a condition excludes may be infinite: a contraction would multiply it by 0.
  const program = guardSingular(optimise(written));
  const file = opened.source.file.split(/[\\/]/).at(-1) ?? opened.source.file;
  try {
    const text = pytorchModule({
      written,
      program,
      interface: about,
      free: freeSizes(program, about.inputs, (name) => open.has(name)),
      file,
      originOf: originFinder([written, program], sources),
    });
    return { text, warnings: renderDiagnostics(diagnostics, sources) };
  } catch (problem) {
    if (!(problem instanceof NotExpressible)) throw problem;
    const span = problem.span ?? { file: opened.source.file, start: 0, end: 0 };
    throw new DiagnosticsError(
      renderDiagnostic(
        {
          code: 'E0802',
          severity: 'error',
          span,
          message: problem.message,
          help: 'write it by a sum, or export another structure',
        },
        sources,
      ),
    );
  }
}

/** Sizes of the inputs that nothing asks anything of. */
function openSizes(
  written: Program,
  { inputs, sizes }: StructureInterface,
  analyseWith: (sizes: Readonly<Record<string, number>>) => { readonly program?: Program },
): ReadonlySet<string> {
  const implicit = new Set(sizes.flatMap((size) => (size.implicit ? [size.name] : [])));
  const free = freeSizes(written, inputs, () => true);
  const isSame = (name: string): boolean => {
    const alone: FreeSizes = freeSizes(written, inputs, (size) => size === name);
    const text = withoutFreeSizes(written, alone);
    return tried.every((value) => {
      const { program } = analyseWith({ [name]: value });
      return (
        program !== undefined &&
        withoutFreeSizes(
          program,
          freeSizes(program, inputs, (size) => size === name),
        ) === text
      );
    });
  };
  return new Set([...free.names].filter((name) => implicit.has(name) || isSame(name)));
}
