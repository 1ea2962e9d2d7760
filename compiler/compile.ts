/**
 * A structure's whole way in one call: text → diagnostics, or the optimised program and the plan of its kernels. Pure: imports
 * are answered by a resolver, and what it compiles for is a `Target`.
 *
 *   analyse → optimise → (differentiate → optimise) → schedule
 *
 * The trap: the ordered program is differentiated and what is new is then ordered, so that forward and backward share what both
 * need (design.md §2). And only the caller's tensors are ever f16: what is computed is f32, a gradient of an f16 input too.
 */
import type { Target } from '../kernels/target.ts';
import type { Stages } from './analysis/report.ts';
import { elementCount, type Program, type Tensor } from './ir/program.ts';
import { differentiate } from './passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives, type PassName } from './passes/pipeline.ts';
import { unfoldAxes } from './passes/unfold.ts';
import type { MemoryBudget } from './schedule/memory/within-memory.ts';
import type { Plan } from './schedule/plan.ts';
import { schedule } from './schedule/schedule.ts';
import { type AnalyseOptions, type Analysis, analyse } from './semantics/analyse.ts';
import { error } from './syntax/codes.ts';

export interface CompileOptions extends AnalyseOptions {
  readonly target: Target;
  /** Adds `grad.NAME` of every floating input and param, and the cotangents `cot.NAME` of the outputs as inputs. */
  readonly gradients?: boolean;
  /** See `ScheduleOptions`. */
  readonly memoryBytes?: MemoryBudget;
  /** Called with the program as it was written, and after every pass. */
  readonly inspect?: (stage: CompileStage, program: Program) => void;
}

/** Where a program can be looked at on its way. */
export type CompileStage = 'written' | PassName | 'differentiate';

export interface CompiledProgram {
  /** As the semantics lower it. */
  readonly written: Program;
  /** With definitions inlined and nothing ordered yet. */
  readonly inlined: Program;
  /** Ordered, without derivatives. */
  readonly forward: Program;
  /** What is scheduled: `forward`, or that with its derivatives. */
  readonly program: Program;
  readonly plan: Plan;
  /** With gradients: the input that takes each output's cotangent, and the output that is each tensor's gradient. */
  readonly cotangentOf: ReadonlyMap<string, string>;
  readonly gradientOf: ReadonlyMap<string, string>;
}

export interface CompileResult extends Analysis {
  /** Absent if a diagnostic is an error, or a size was postponed. */
  readonly compiled?: CompiledProgram;
}

export function compile(options: CompileOptions): CompileResult {
  return compileAnalysis(analyse(options), options);
}

type ProgramOptions = Pick<CompileOptions, 'target' | 'gradients' | 'memoryBytes' | 'inspect'>;

/** The same of what has been analysed. An intermediate that no grid of workgroups can make is a diagnostic of the file. */
export function compileAnalysis(analysis: Analysis, options: ProgramOptions): CompileResult {
  if (analysis.program === undefined) return analysis;
  try {
    return { ...analysis, compiled: compileProgram(analysis.program, options) };
  } catch (problem) {
    if (!(problem instanceof TooLarge)) throw problem;
    const [source] = analysis.sources;
    const span = problem.owner?.span ?? { file: source.file, start: 0, end: 0 };
    const help = 'smaller sizes need less; a part of the product as a tensor of its own may be joined first';
    const { program: _, ...rest } = analysis;
    return { ...rest, diagnostics: [...analysis.diagnostics, error('E0901', span, problem.message, help)] };
  }
}

/** 65,535³, rounded down: the workgroups of a dispatch, on the least of devices. */
const mostElements = 2 ** 47;

/** A tensor has more elements than a dispatch can have workgroups. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';

  /** `owner` is the tensor that it is an intermediate of, or it itself. */
  constructor(
    { name, shape }: Tensor,
    readonly owner: Tensor | undefined,
  ) {
    const what = owner === undefined || owner.name === name ? `\`${name}\`` : `an intermediate of \`${owner.name}\``;
    super(`${what} of shape [${shape.join(', ')}] asks for more than the compiler handles`);
  }
}

/** The same from a program on. Throws TooLarge. */
export function compileProgram(
  written: Program,
  { target, gradients = false, memoryBytes, inspect }: ProgramOptions,
): CompiledProgram {
  inspect?.('written', written);
  const { inlined, optimised: forward } = stagesOf(written, inspect);
  const derived = gradients
    ? withGradients(forward, inspect)
    : { program: forward, cotangentOf: new Map(), gradientOf: new Map() };
  const program = computedAsF32(derived.program);
  const tooLarge = program.tensors.find(({ shape }) => elementCount(shape) > mostElements);
  if (tooLarge !== undefined) {
    const own = tooLarge.name.replace(/^cot~/, '').replace(/~.*$/, '');
    throw new TooLarge(
      tooLarge,
      program.tensors.find(({ name }) => name === own),
    );
  }
  const plan = schedule(program, { target, ...(memoryBytes === undefined ? {} : { memoryBytes }) });
  return { ...derived, written, inlined, forward, program, plan };
}

/** A program before, midway and after the passes, as it is analysed: what fills a slot sees the same axes as its caller. */
export function stagesOf(written: Program, watch?: CompileOptions['inspect']): Stages {
  let inlined = written;
  let isOrdered = false;
  const optimised = optimise(written, {
    inspect: (pass, current) => {
      isOrdered ||= pass === 'chunk' || pass === 'order';
      if (!isOrdered) inlined = current;
      watch?.(pass, current);
    },
  });
  return { written: unfoldAxes(written), inlined, optimised };
}

function withGradients(
  forward: Program,
  inspect: CompileOptions['inspect'],
): Pick<CompiledProgram, 'program' | 'cotangentOf' | 'gradientOf'> {
  const floating = forward.tensors.filter(({ dtype }) => dtype !== 'i32');
  const outputs = floating.filter(({ name }) => forward.outputs.includes(name)).map(({ name }) => name);
  const wrt = floating
    .filter(({ source }) => source.kind === 'input' || source.kind === 'param')
    .map(({ name }) => name);
  const seeds = Object.fromEntries(outputs.map((name) => [name, 'input' as const]));
  const differentiated = differentiate(forward, { seeds, wrt });
  inspect?.('differentiate', differentiated);
  const before = new Set(forward.tensors.map(({ name }) => name));
  const cotangents = differentiated.tensors.filter(({ name, source }) => source.kind === 'input' && !before.has(name));
  const gradients = differentiated.outputs.slice(forward.outputs.length);
  return {
    program: optimiseDerivatives(differentiated, inspect === undefined ? {} : { inspect }),
    cotangentOf: new Map(outputs.map((name, i) => [name, cotangents[i].name])),
    gradientOf: new Map(wrt.map((name, i) => [name, gradients[i]])),
  };
}

function computedAsF32(program: Program): Program {
  if (!program.tensors.some(isComputedHalf)) return program;
  return { ...program, tensors: program.tensors.map((t) => (isComputedHalf(t) ? { ...t, dtype: 'f32' as const } : t)) };
}

function isComputedHalf({ dtype, source }: Tensor): boolean {
  return dtype === 'f16' && source.kind === 'computed';
}
