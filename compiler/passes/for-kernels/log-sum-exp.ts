/**
 * Keeps the largest value and the sum of a logsumexp apart; program → program.
 *
 *   T[t] logsumexp= S[t, u]            →   T~max[t]   max= S[t, u]
 *   A[t, u] sum= exp(S[t, u] - T[t])       T~shift[t] sum= select(|T~max| < ∞, T~max, 0)
 *                                          T~sum[t]   sum= exp(S[t, u] - T~shift[t])
 *                                          T~log[t]   sum= select(T~sum == 0, T~max - T~shift, log(T~sum))
 *                                          A[t, u]    sum= exp(S[t, u] - T~shift[t] - T~log[t])
 *
 * In f32 a T of 1e9 has no digits left for the logarithm: of eight scores of -1e9 each would weigh 1, and the loss of two
 * logits of 1e8 would be 0. So whoever reads T reads its two parts, and in a sum the large one stands where T stood, beside
 * what it cancels with, the logarithm comes last. This is how a streaming softmax keeps them too.
 *
 * The passes before (derivatives, equal tensors, stored exponentials) see one T, since no maximum is to be differentiated;
 * the kernels after see no logsumexp. The trap: an infinite maximum is no shift, ∞ - ∞ being nothing; without it the sum
 * is 0 or ∞ as it should be. And a sum of 0 is of nothing, or of -∞ alone, which the maximum tells apart.
 */
import { equationsOf, pointwise } from '../../ir/equation.ts';
import { constant, load, loadAxes, mapChildren, negate, product, select, sum, unary } from '../../ir/expression.ts';
import { mapSame } from '../../ir/lists.ts';
import type { Condition, Equation, Expression, Program, Tensor } from '../../ir/program.ts';
import { freshName } from '../names.ts';
import { heldTensors } from '../rename.ts';

/** What a logsumexp has become: tensors of its shape whose sum it is. */
interface Parts {
  readonly shift: string;
  readonly log: string;
}

export function splitLogSumExp(program: Program): Program {
  if (!program.tensors.some((tensor) => equationsOf(tensor).some(isLogSumExp))) return program;
  const taken = new Set(program.tensors.map(({ name }) => name));
  const kept = heldTensors(program);
  const partsOf = new Map<string, Parts>();
  const tensors = program.tensors.flatMap((tensor): Tensor[] => {
    if (tensor.source.kind !== 'computed') return [tensor];
    const made: Tensor[] = [];
    const equations = mapSame(tensor.source.equations, (given) => {
      const value = readApart(given.value, partsOf);
      const equation = value === given.value ? given : { ...given, value };
      if (!isLogSumExp(equation)) return equation;
      const parts = makeParts(equation, tensor, taken, made);
      if (equationsOf(tensor).length === 1) partsOf.set(tensor.name, parts);
      return wholeOf(parts, tensor);
    });
    if (partsOf.has(tensor.name) && !kept.has(tensor.name)) return made;
    const isSame = equations === tensor.source.equations;
    return [...made, isSame ? tensor : { ...tensor, source: { kind: 'computed', equations } }];
  });
  return { ...program, tensors };
}

function isLogSumExp({ reducer }: Equation): boolean {
  return reducer === 'logsumexp';
}

function makeParts(equation: Equation, tensor: Tensor, taken: Set<string>, made: Tensor[]): Parts {
  const { shape } = tensor;
  const axes = shape.map((extent, d) => ({ name: `i${d}`, extent }));
  const all = [...axes.keys()];
  const make = (part: string, of: Equation): string => {
    const name = freshName(`${tensor.name}~${part}`, taken);
    made.push({ name, dtype: 'f32', shape, source: { kind: 'computed', equations: [of] } });
    return name;
  };
  const largest = make('max', { ...equation, reducer: 'max' });
  const max = loadAxes(largest, all);
  const hasLimit: Condition = { kind: 'compare', operator: '<', left: unary('abs', max), right: constant(Infinity) };
  const shift = make('shift', pointwise(axes, select(hasLimit, max, constant(0))));
  const shifted = sum([equation.value, negate(load(shift, equation.store))]);
  const total = loadAxes(make('sum', { ...equation, reducer: 'sum', value: unary('exp', shifted) }), all);
  const isNone: Condition = { kind: 'compare', operator: '==', left: total, right: constant(0) };
  const limit = sum([max, negate(loadAxes(shift, all))]);
  return { shift, log: make('log', pointwise(axes, select(isNone, limit, unary('log', total)))) };
}

function wholeOf(parts: Parts, { shape }: Tensor): Equation {
  const axes = shape.map((extent, d) => ({ name: `i${d}`, extent }));
  const all = [...axes.keys()];
  return pointwise(axes, sum([loadAxes(parts.shift, all), loadAxes(parts.log, all)]));
}

type PartsOf = ReadonlyMap<string, Parts>;

/** The expression with each read of a logsumexp as a read of its parts. */
function readApart(e: Expression, partsOf: PartsOf): Expression {
  if (e.kind !== 'sum') {
    const read = asRead(e, partsOf);
    return read === undefined ? mapChildren(e, (child) => readApart(child, partsOf)) : sum([read.shift, read.log]);
  }
  const logs: Expression[] = [];
  const terms = mapSame(e.terms, (term) => {
    const read = asRead(term, partsOf);
    if (read === undefined) return readApart(term, partsOf);
    logs.push(read.log);
    return read.shift;
  });
  return terms === e.terms ? e : sum([...terms, ...logs]);
}

/** The two parts of a term that is a constant times a read of a logsumexp. */
function asRead(term: Expression, partsOf: PartsOf): Readonly<Record<keyof Parts, Expression>> | undefined {
  if (term.kind === 'load') {
    const parts = partsOf.get(term.tensor);
    return parts && { shift: load(parts.shift, term.indices), log: load(parts.log, term.indices) };
  }
  if (term.kind !== 'product' || term.factors.length !== 2 || term.factors[0].kind !== 'constant') return undefined;
  const read = asRead(term.factors[1], partsOf);
  return read && { shift: product([term.factors[0], read.shift]), log: product([term.factors[0], read.log]) };
}
