/**
 * The passes and their order: the one list.
 *
 *   integers → lines → simplify → distribute → inline → simplify → unfold → chunk → order → simplify
 *
 * Run once on what the semantics give, and in a shorter form on the program with its derivatives: what is ordered already has two
 * operands and stays, what is new is ordered, and equal intermediates of both are found.
 *
 * The trap: a pass must be right on any program, not only on what the passes before it leave, since each can be switched off.
 */
import type { Program } from '../ir/program.ts';
import { chunkSums } from './chunk-sums.ts';
import { orderContractions } from './contraction-order/contraction-order.ts';
import { distributeSums } from './distribute.ts';
import { inlineDefinitions } from './inline.ts';
import { integerLines } from './integer-lines.ts';
import { inlineIntegers } from './integers.ts';
import { simplify } from './simplify/simplify.ts';
import { unfoldAxes } from './unfold.ts';

export type PassName = 'integers' | 'lines' | 'simplify' | 'distribute' | 'inline' | 'unfold' | 'chunk' | 'order';

export type Pass = (program: Program) => Program;

export const passes: Readonly<Record<PassName, Pass>> = {
  integers: inlineIntegers,
  lines: integerLines,
  simplify,
  distribute: distributeSums,
  inline: inlineDefinitions,
  unfold: unfoldAxes,
  chunk: chunkSums,
  order: orderContractions,
};

export const pipeline: readonly PassName[] = [
  'integers',
  'lines',
  'simplify',
  'distribute',
  'inline',
  'simplify',
  'unfold',
  'chunk',
  'order',
  'simplify',
];

/** What the program with its derivatives goes through: the forward program is ordered, and nothing of it is inlined again. */
export const derivativePipeline: readonly PassName[] = ['simplify', 'distribute', 'order', 'simplify'];

export interface OptimiseOptions {
  readonly disabled?: ReadonlySet<PassName>;
  /** Called after every pass that ran: a verifier in tests, a printer for people. */
  readonly inspect?: (pass: PassName, program: Program) => void;
}

export function optimise(program: Program, options: OptimiseOptions = {}): Program {
  return run(pipeline, program, options);
}

/** For a program that was optimised before it was differentiated. */
export function optimiseDerivatives(program: Program, options: OptimiseOptions = {}): Program {
  return run(derivativePipeline, program, options);
}

function run(names: readonly PassName[], program: Program, options: OptimiseOptions): Program {
  let current = program;
  for (const name of names) {
    if (options.disabled?.has(name)) continue;
    current = passes[name](current);
    options.inspect?.(name, current);
  }
  return current;
}
