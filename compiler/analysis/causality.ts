/**
 * Whether a program is causal: what it puts out at a time depends on nothing that goes in later.
 *
 *   A[t, u] = softmax[u](S[t, u]); y[t] sum= A[t, u] * v[u]   →   looks ahead: A~lse takes S at u = 1 for t = 0
 *
 * Decided from the domains (`reach.ts`), for every value of params and data. Where domains cannot tell, because a gather goes where
 * the data say, the answer is 'unknown', and where they do, a value may still be 0 all the same (`exp(-1e9)` is): both can be
 * put to the test by `probe.ts`.
 *
 * The trap: a tensor over pairs of tokens sees both of them and is causal all the same; what is to blame is the first equation
 * that leaves no token of its own as late as the one it reads.
 */
import { add, affine, evaluate, scale } from '../ir/affine.ts';
import { findPoint } from '../ir/feasible.ts';
import type { Affine, Constraint, Equation, Program } from '../ir/program.ts';
import { type PositionAxis, type Reach, reachOf } from './reach.ts';
import { isEmpty } from './relation.ts';
import { supportsOf } from './support.ts';

/** An axis along which time runs: its index i is at the time `stride · i + offset`. */
export interface Clock extends PositionAxis {
  /** 1 unless said. */
  readonly stride?: number;
  /** 0 unless said. */
  readonly offset?: number;
}

export interface Clocks {
  readonly inputs: readonly Clock[];
  readonly outputs: readonly Clock[];
}

export type Causality =
  | { readonly kind: 'causal' }
  | ({ readonly kind: 'looks ahead' } & Lookahead)
  /** It may look ahead here, as the data say. */
  | ({ readonly kind: 'unknown' } & Lookahead);

export interface Lookahead {
  readonly input: string;
  readonly output: string;
  /** Times: what is put out at `at` depends on what goes in at `sees`, which is later. */
  readonly at: number;
  readonly sees: number;
  /** The tensor and the equation at which it begins; no equation where that is not one of the program's own. */
  readonly tensor: string;
  readonly equation?: Equation;
}

/** `mayBlame` says which equations can be named: those that a user wrote, unless said. */
export function causality(
  program: Program,
  { inputs, outputs }: Clocks,
  mayBlame: (equation: Equation) => boolean = ({ span }) => span !== undefined,
): Causality {
  let unknown: Causality | undefined;
  const certain: Lookahead[] = [];
  const supports = supportsOf(program);
  for (const input of inputs) {
    const reach = reachOf(program, input, supports);
    for (const output of outputs) {
      for (const piece of reach.get(output.tensor) ?? []) {
        const later = laterThan(piece, input, output);
        const found = findPoint(piece.relation.axes, [...piece.relation.domain, later]);
        if (found.kind === 'none') continue;
        const point = found.kind === 'point' ? found.point : piece.relation.axes.map(() => 0);
        const at = evaluate(timeOf(piece.relation.columns[output.dimension], output), point);
        const sees = evaluate(timeOf(positionOf(piece), input), point);
        const lookahead = { input: input.tensor, output: output.tensor, at, sees, ...blamed(piece, mayBlame) };
        if (found.kind === 'point' && piece.isExact) certain.push(lookahead);
        else unknown ??= { kind: 'unknown', ...lookahead };
      }
    }
  }
  if (certain.length === 0) return unknown ?? { kind: 'causal' };
  return {
    kind: 'looks ahead',
    ...(certain.find(({ equation }) => equation !== undefined && mayBlame(equation)) ?? certain[0]),
  };
}

function timeOf(index: Affine, { stride = 1, offset = 0 }: Clock): Affine {
  return add(scale(index, stride), affine(offset));
}

function positionOf({ relation }: Reach): Affine {
  return relation.columns[relation.columns.length - 1];
}

function laterThan(piece: Reach, input: Clock, output: Clock): Constraint {
  const sees = timeOf(positionOf(piece), input);
  const at = timeOf(piece.relation.columns[output.dimension], output);
  return { kind: 'nonnegative', affine: add(add(sees, scale(at, -1)), affine(-1)) };
}

/** From the input on, the first equation whose tensor is at no index as late as what it depends on; else the last that was written. */
function blamed(piece: Reach, mayBlame: (equation: Equation) => boolean): Pick<Lookahead, 'tensor' | 'equation'> {
  const steps: Reach[] = [];
  for (let step: Reach | undefined = piece; step !== undefined; step = step.from) steps.unshift(step);
  const named = steps.filter(({ equation }) => equation !== undefined && mayBlame(equation));
  const { tensor, equation } = named.find((step) => !keepsUp(step)) ?? named.at(-1) ?? piece;
  return { tensor, ...(equation === undefined ? {} : { equation }) };
}

/** Whether one of the element's indices is at least the position that it depends on. */
function keepsUp({ relation }: Reach): boolean {
  const position = relation.columns[relation.columns.length - 1];
  return relation.columns.slice(0, -1).some((index) => {
    const later = add(add(position, scale(index, -1)), affine(-1));
    return isEmpty(relation, { kind: 'nonnegative', affine: later });
  });
}
