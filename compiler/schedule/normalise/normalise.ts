/**
 * Makes a program ready to be cut into kernels, without changing what its outputs are; program → program. In this order:
 * products that may be infinite outside their domain are guarded, a logsumexp becomes its largest value and its sum,
 * equations over one box are merged, products are limited to where their factors are not 0 and tensors to where they are read,
 * sums and quotients that are there already are not made again, and temporaries lie in memory as products write and read them. Once streams are
 * found, long sums for few results are made in pieces.
 */
import type { Target } from '../../../kernels/target.ts';
import { tensorMap } from '../../ir/equation.ts';
import type { Equation, Program, Tensor } from '../../ir/program.ts';
import { guardSingular } from '../../passes/for-kernels/guard-singular.ts';
import { limitToDemand, limitToNonzero } from '../../passes/for-kernels/limit.ts';
import { splitLogSumExp } from '../../passes/for-kernels/log-sum-exp.ts';
import { orderMemory } from '../../passes/for-kernels/memory-order.ts';
import { reuseQuotients } from '../../passes/for-kernels/reuse-quotients.ts';
import { reuseSums } from '../../passes/for-kernels/reuse-sums.ts';
import { type Chooser, createChooser } from '../choose.ts';
import { mergeEquations } from './merge.ts';
import { splitLongSum, tiledScatter } from './pieces.ts';

export function normalise(program: Program): Program {
  const merged = mapComputed(splitLogSumExp(guardSingular(program)), (tensor, equations, known) => ({
    equations: mergeEquations(
      tensor,
      equations.map((e) => limitToNonzero(e, known)),
      known,
    ),
  }));
  return orderMemory(reuseQuotients(reuseSums(limitToDemand(merged))));
}

/**
 * Sums that look for their terms as products, and long sums for few results in pieces where a GPU would wait for them otherwise;
 * `streams` have their own.
 */
export function splitLongSums(
  program: Program,
  target: Target,
  streams: ReadonlySet<string> = new Set(),
  chooser: Chooser = createChooser({ target }),
): Program {
  return mapComputed(program, (tensor, equations, known) =>
    streams.has(tensor.name) ? { equations } : inPieces(tensor, equations, known, target, chooser),
  );
}

/**
 * The program with every domain that follows from others: products where their factors are not 0, tensors where they are read.
 * What is taken token by token (`incremental.ts`) must know as much as can be known of whom a token reads.
 */
export function limited(program: Program): Program {
  const nonzero = mapComputed(program, (_, equations, known) => ({
    equations: equations.map((e) => limitToNonzero(e, known)),
  }));
  return limitToDemand(nonzero, { throughMaps: true });
}

type Known = ReadonlyMap<string, Tensor>;

/** Rewrites each tensor's equations, knowing all tensors as rewritten so far; `before` are new tensors they read. */
function mapComputed(
  program: Program,
  rewrite: (
    tensor: Tensor,
    equations: readonly Equation[],
    known: Known,
  ) => { readonly equations: readonly Equation[]; readonly before?: readonly Tensor[] },
): Program {
  const known = new Map(tensorMap(program));
  const tensors = program.tensors.flatMap((tensor) => {
    if (tensor.source.kind !== 'computed') return [tensor];
    const { equations, before = [] } = rewrite(tensor, tensor.source.equations, known);
    const ready: Tensor = { ...tensor, source: { kind: 'computed', equations } };
    for (const t of [...before, ready]) known.set(t.name, t);
    return [...before, ready];
  });
  return { ...program, tensors };
}

function inPieces(
  tensor: Tensor,
  equations: readonly Equation[],
  known: Known,
  target: Target,
  chooser: Chooser,
): { equations: readonly Equation[]; before: readonly Tensor[] } {
  const before: Tensor[] = [];
  const result = equations.map((given, i) => {
    const equation = tiledScatter(given, tensor, known) ?? given;
    if (target.class === 'cpu') return equation;
    const split = splitLongSum(equation, tensor, i, known, target, chooser.pieces);
    if (!split) return equation;
    before.push(split.partial);
    return split.rest;
  });
  return { equations: result, before };
}
