/**
 * The scores of a program: what a softmax takes its maximum or log-sum of, what another function takes before it becomes weights, or
 * an output that is a score itself. Looked for in that order, and told by what they are, never by how they are called.
 *
 *   softmax[u](S[b, h, t, u] where u <= t)   →   S, with t and u as its sides
 *   sigmoid(S[b, h, t, u])                   →   S
 *   softmax[m](W[m, i] * x[b, t, i])         →   none: m is no position
 *
 * The trap: a score need be no tensor; what a softmax takes may be `S[t, u] / n[t, u]`, and it is that whose rank counts.
 */
import type { AxisSet } from '../ir/contraction.ts';
import { axesOfStore } from '../ir/contraction.ts';
import { equationsOf, neededFor } from '../ir/equation.ts';
import { children, loads } from '../ir/expression.ts';
import type { Equation, Expression, Program, Tensor } from '../ir/program.ts';
import { type Carriers, type Sides, sidesOf } from './tokens.ts';

export interface Score {
  /** The tensor that it is, where it is one; else what is made of it is named. */
  readonly name: string;
  /** Where it is taken: the equation, the tensor that it makes, and the part of its value. */
  readonly equation: Equation;
  readonly maker: Tensor;
  readonly value: Expression;
  readonly sides: Sides;
  /** It is all of its maker, sums and all, and not what a function takes at a point. */
  readonly isWhole: boolean;
}

export function scoresOf(program: Program, carriers: Carriers): readonly Score[] {
  const needed = neededFor(program, program.outputs);
  const makers = program.tensors.filter(({ name }) => needed.has(name));
  const all = makers.flatMap((maker) => equationsOf(maker).map((equation) => ({ maker, equation })));
  const found: Score[] = [];
  const add = (maker: Tensor, equation: Equation, value: Expression, isWhole = false): void => {
    const sides = sidesOf(value, carriers);
    if (sides === undefined) return;
    const read = isWhole ? [] : loads(value).filter((load) => sidesOf(load, carriers) !== undefined);
    const names = read.length > 0 ? read.map(({ tensor }) => tensor) : [maker.name];
    const isKnown = names.some((name) => taken.has(name));
    for (const name of names) taken.add(name);
    // What is made has a name of the compiler's where it is one of several steps: `A~lse`.
    const name = isWhole
      ? maker.name
      : value.kind === 'load'
        ? value.tensor
        : `scores of ${maker.name.replace(/~.*/, '')}`;
    if (!isKnown) found.push({ name, equation, maker, value, sides, isWhole });
  };
  const taken = new Set<string>();
  for (const { maker, equation } of all) {
    if (equation.reducer !== 'logsumexp' && equation.reducer !== 'max') continue;
    const sides = sidesOf(equation.value, carriers);
    if (sides !== undefined && reducesOne(equation, sides)) add(maker, equation, equation.value);
  }
  if (found.length > 0) return found;
  for (const { maker, equation } of all) {
    for (const operand of functionOperands(equation.value)) {
      if (sidesOf(operand, carriers)?.isCross === false) add(maker, equation, operand);
    }
  }
  if (found.length > 0) return found;
  for (const { maker, equation } of all) {
    const isOutput = program.outputs.includes(maker.name);
    if (isOutput && sidesOf(equation.value, carriers)?.isCross === false) add(maker, equation, equation.value, true);
  }
  return found;
}

/** Whether all that one side has of its own is reduced, and nothing that the other has. */
function reducesOne(equation: Equation, { first, second }: Sides): boolean {
  const stored = axesOfStore(equation);
  const isGone = (own: AxisSet) => (own & stored) === 0n;
  return isGone(first & ~second) !== isGone(second & ~first);
}

/** What functions that are not linear take, outermost first. */
function functionOperands(value: Expression): readonly Expression[] {
  if (value.kind === 'unary' && value.operator !== 'negate') return [value.operand];
  return children(value).flatMap(functionOperands);
}
