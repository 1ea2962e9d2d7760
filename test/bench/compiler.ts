/**
 * The compiler's own speed: every structure of the library through each stage by itself, at default sizes with a batch of 64.
 *
 *   parse      text → syntax tree
 *   check      text → diagnostics, no size bound: what `mlbtcc check` does
 *   lower      text → tensor program, all sizes bound; parse and check are in it
 *   optimise   tensor program → ordered program
 *   emit       ordered program → plan with all WGSL
 *   gradients  tensor program → plan of forward and backward: all passes, differentiation, emit
 *
 * The trap: nothing may be remembered from one round to the next, so each round gets sources and a resolver of its own.
 */
import Benchmark from 'benchmark';
import { libraryFolder, libraryNames, sourceFiles } from '../../compiler/command-line/files.ts';
import { compileProgram } from '../../compiler/compile.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import { type AnalyseOptions, analyse } from '../../compiler/semantics/analyse.ts';
import { parse } from '../../compiler/syntax/parser.ts';
import { portableTarget as target } from '../../kernels/target.ts';

/** Sizes without a default: the batch, and the tokens of a score. */
const unboundSize = 64;
/** For each stage of each structure; there are about a hundred. */
const effort: Benchmark.Options = { maxTime: 0.5, minSamples: 3 };

export interface StageResult {
  /** `STRUCTURE STAGE`. */
  readonly case: string;
  readonly timeMs: number;
  readonly opsPerS: number;
  /** Relative margin of error of the mean, 95 %. */
  readonly marginPercent: number;
  readonly samples: number;
}

export interface StageCase {
  readonly name: string;
  readonly run: () => unknown;
}

const stageNames = ['parse', 'check', 'lower', 'optimise', 'emit', 'gradients'] as const;
type Stage = (typeof stageNames)[number];

/** Cases by name; a structure of which none is wanted is not compiled either. */
export function stageCases(isWanted: (name: string) => boolean): readonly StageCase[] {
  return libraryNames().flatMap((structure) => {
    const wanted = stageNames.filter((stage) => isWanted(`${structure} ${stage}`));
    if (wanted.length === 0) return [];
    const runs = stagesOf(structure);
    return wanted.map((stage) => ({ name: `${structure} ${stage}`, run: runs[stage] }));
  });
}

function stagesOf(structure: string): Readonly<Record<Stage, () => unknown>> {
  const read = () => {
    const { read, resolve } = sourceFiles();
    const source = read(`${libraryFolder}${structure}.mlbtc`);
    if ('diagnostic' in source) throw new Error(source.diagnostic.message);
    return { source, resolve };
  };
  const { source } = read();
  const analysed = (options: Pick<AnalyseOptions, 'sizes' | 'unbound'>) => analyse({ ...read(), ...options });

  const open = analysed({ sizes: {}, unbound: 'one' }).interface?.sizes.filter(({ unbound }) => unbound) ?? [];
  const sizes = Object.fromEntries(open.map(({ name }) => [name, unboundSize]));
  const { program, diagnostics } = analysed({ sizes, unbound: 'refuse' });
  if (program === undefined) throw new Error(`${structure}: ${diagnostics.map(({ message }) => message).join('; ')}`);
  const ordered = optimise(program);

  return {
    parse: () => parse({ ...source }),
    check: () => analysed({ sizes: {}, unbound: 'postpone' }),
    lower: () => analysed({ sizes, unbound: 'refuse' }),
    optimise: () => optimise(program),
    emit: () => schedule(ordered, { target }),
    gradients: () => compileProgram(program, { target, gradients: true }),
  };
}

/** Throws what the stage throws; the package itself keeps that to itself. */
export function timeStage({ name, run }: StageCase): StageResult {
  const { error, hz, stats } = new Benchmark(name, run, effort).run();
  if (error !== undefined) throw error;
  return {
    case: name,
    timeMs: Number((stats.mean * 1e3).toPrecision(3)),
    opsPerS: Number(hz.toPrecision(3)),
    marginPercent: Number(stats.rme.toFixed(1)),
    samples: stats.sample.length,
  };
}
