/**
 * Solves one dimension of a store map, `index == coordinate`, for the axes that are not bound yet: a thread knows where
 * it writes and wants the points that are written there.
 *
 *   (k p) = k·P + p, digits of one number   →   k = o / P, p = o % P
 *   t + s, no digits                        →   a loop over t, then s = o - t with a check that it lies in its extent
 *
 * The trap: not every coordinate is met. Steps wider than the digits below them, strides and offsets leave gaps, so
 * what is solved is checked wherever it may be none.
 */
import { evaluate } from '../../compiler/ir/affine.ts';
import type { Affine, AffineTerm, Equation } from '../../compiler/ir/program.ts';
import { affineText } from './address.ts';
import { bindAxis, check, isBound, loopOver, type Nest } from './nest.ts';

/** Binds the open axes of `index`, so that it is `coordinate` (WGSL) of a dimension of that extent. */
export function solveIndex(index: Affine, extent: number, coordinate: string, nest: Nest): void {
  const open = index.terms
    .filter((t) => !isBound(nest, t.axis))
    .sort((a, b) => Math.abs(b.coefficient) - Math.abs(a.coefficient));
  if (open.length === 0) checkKnown(index, extent, coordinate, nest);
  else if (areDigits(open, nest.equation)) solveDigits(open, index, extent, coordinate, nest);
  else solveLast(open, index, coordinate, nest);
}

/** What of the index has a value by now. */
function knownPart(index: Affine, nest: Nest): Affine {
  const { axes } = nest.equation;
  return { ...index, terms: index.terms.filter((t) => isBound(nest, t.axis) && axes[t.axis].extent > 1) };
}

const isZero = (known: Affine): boolean => known.terms.length === 0 && known.constant === 0;

function checkKnown(index: Affine, extent: number, coordinate: string, nest: Nest): void {
  const known = knownPart(index, nest);
  if (known.terms.length === 0 && extent === 1 && evaluate(known, []) === 0) return;
  check(nest, `${coordinate} == ${affineText(known, nest.scope)}`);
}

/** Whether the terms (largest first) are digits of one number: no two points of them meet. */
function areDigits(terms: readonly AffineTerm[], equation: Equation): boolean {
  return terms.every((term, i) => {
    if (term.coefficient <= 0) return false;
    const next = terms[i + 1];
    return (
      !next ||
      (term.coefficient % next.coefficient === 0 &&
        equation.axes[next.axis].extent * next.coefficient <= term.coefficient)
    );
  });
}

/** Takes what the known axes leave apart, digit by digit. */
function solveDigits(open: readonly AffineTerm[], index: Affine, extent: number, coordinate: string, nest: Nest): void {
  const known = knownPart(index, nest);
  const exact = isZero(known);
  const rest = exact ? coordinate : `(${coordinate} - (${affineText(known, nest.scope)}))`;
  if (!exact) check(nest, `${rest} >= 0`);
  const whole = exact ? extent : Number.POSITIVE_INFINITY;
  let radix = whole;
  for (const { axis, coefficient } of open) {
    const axisExtent = nest.equation.axes[axis].extent;
    const remainder = radix === whole ? rest : `${rest} % ${radix}`;
    const dividend = remainder.includes('%') ? `(${remainder})` : remainder;
    const quotient = coefficient === 1 ? remainder : `${dividend} / ${coefficient}`;
    if (axisExtent * coefficient < radix) check(nest, `${quotient} < ${axisExtent}`);
    bindAxis(nest, axis, quotient);
    radix = coefficient;
  }
  if (radix > 1) check(nest, `${rest} % ${radix} == 0`);
}

/** Loops over all open axes but the one of the smallest step, which is what the others leave. */
function solveLast(open: readonly AffineTerm[], index: Affine, coordinate: string, nest: Nest): void {
  for (const term of open.slice(0, -1)) loopOver(nest, term.axis);
  const { axis, coefficient } = open.at(-1)!;
  const known = knownPart(index, nest);
  const knownText = affineText(known, nest.scope);
  const difference = isZero(known) ? coordinate : `${coordinate} - (${knownText})`;
  const rest = coefficient < 0 ? `(${knownText}) - ${coordinate}` : difference;
  const step = Math.abs(coefficient);
  if (step !== 1) check(nest, `(${rest}) % ${step} == 0`);
  bindAxis(nest, axis, step === 1 ? rest : `(${rest}) / ${step}`);
  const solved = nest.scope.axis(axis);
  check(nest, `${solved} >= 0 && ${solved} < ${nest.equation.axes[axis].extent}`);
}
