/**
 * The loops, guards and definitions around one equation's value, from the outside in. An axis is bound once, by a loop
 * or by a value that is known; a constraint of the domain is settled as soon as all its axes are bound: by a loop's
 * bounds where it can be, else by an `if`.
 *
 *   y[t] = Σ_s x[s], s <= t   →   for (var s = 0; s < min(16, t + 1); s++) { … }
 */
import { coefficientOf, decide, scale } from '../../compiler/ir/affine.ts';
import { constraintAxes } from '../../compiler/ir/expression.ts';
import type { Affine, Constraint, Equation } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { guarded, indent } from '../wgsl/text.ts';
import { affineText, constraintText } from './address.ts';
import type { Scope } from './scope.ts';
import { blockedLoop, type Cut, cutLoop, type Loop, longestChain, loopText } from './sums.ts';

type Step =
  | { readonly kind: 'let'; readonly name: string; readonly value: string }
  | { readonly kind: 'if'; readonly condition: string }
  | ({ readonly kind: 'for' } & Loop);

/** A nest that is being written. */
export interface Nest {
  readonly equation: Equation;
  /** Knows the axes that `names` has. */
  readonly scope: Scope;
  /** WGSL of the axes bound so far; those of extent 1 need none. */
  readonly names: Map<number, string>;
  /** Constraints that nothing guards yet. */
  readonly pending: Set<Constraint>;
  readonly steps: Step[];
}

export function openNest(equation: Equation, names: Map<number, string>, scope: Scope): Nest {
  const pending = new Set(equation.domain.filter((c) => decide(c, equation.axes) !== 'always'));
  for (const [axis, { symbol }] of equation.axes.entries()) {
    if (symbol !== undefined) names.set(axis, scope.emitter.symbol(symbol));
  }
  return { equation, scope, names, pending, steps: [] };
}

export function isBound({ equation, names }: Nest, axis: number): boolean {
  return names.has(axis) || equation.axes[axis].extent === 1;
}

/** Gives an axis a value, by a name of its own where the value is more than a name. */
export function bindAxis(nest: Nest, axis: number, value: string): void {
  if (/^\w+$/.test(value)) nest.names.set(axis, value);
  else {
    const name = nest.scope.emitter.named(nest.equation.axes[axis].name);
    nest.steps.push({ kind: 'let', name, value });
    nest.names.set(axis, name);
  }
}

/** Loops over an axis, unless it is bound already. */
export function loopOver(nest: Nest, axis: number): void {
  if (isBound(nest, axis)) return;
  const name = nest.scope.emitter.named(nest.equation.axes[axis].name);
  nest.steps.push({ kind: 'for', name, ...loopBounds(nest, axis), step: 1, turns: nest.equation.axes[axis].extent });
  nest.names.set(axis, name);
  settle(nest);
}

export function check(nest: Nest, condition: string): void {
  nest.steps.push({ kind: 'if', condition });
}

/** Guards by every constraint whose axes are all bound. */
export function settle(nest: Nest): void {
  for (const c of nest.pending) {
    if (!constraintAxes(c).every((axis) => isBound(nest, axis))) continue;
    check(nest, constraintText(c, nest.scope));
    nest.pending.delete(c);
  }
}

/** Bounds of a loop over an axis, tightened by what the domain says of it once the other axes are known. Settles that. */
export function loopBounds(nest: Nest, axis: number): { readonly from: string; readonly to: string } {
  const { equation, scope, pending } = nest;
  let from = '0';
  let to = scope.emitter.bound(equation.axes[axis].extent);
  for (const c of pending) {
    if (c.kind !== 'nonnegative') continue;
    const coefficient = coefficientOf(c.affine, axis);
    if (Math.abs(coefficient) !== 1) continue;
    const rest: Affine = { ...c.affine, terms: c.affine.terms.filter((t) => t.axis !== axis) };
    if (!rest.terms.every((t) => isBound(nest, t.axis))) continue;
    if (coefficient === -1) to = `min(${to}, ${affineText({ ...rest, constant: rest.constant + 1 }, scope)})`;
    else from = `max(${from}, ${affineText(scale(rest, -1), scope)})`;
    pending.delete(c);
  }
  return { from, to };
}

/** Code inside all loops and guards of a nest, and before and after them. */
export interface NestBody {
  readonly before: string;
  readonly inner: string;
  readonly after: string;
}

export function nestText({ steps }: Nest, { before, inner, after }: NestBody): string {
  const block = [before, steps.reduceRight(wrap, inner), after].filter(Boolean).join('\n');
  return steps.some((step) => step.kind === 'let') ? `{\n${indent(block)}\n}` : block;
}

/** The same for a sum: adds what `value` is at the points to the variable `total`, no chain of additions being long. */
export function sumText(
  { steps }: Nest,
  value: { readonly lines: readonly string[]; readonly text: string },
  total: string,
  emitter: Emitter,
): string {
  const cuts = cutSteps(steps);
  const from = (i: number, into: string): string => {
    const step = steps[i];
    if (step === undefined) return [...value.lines, `${into} += ${value.text};`].join('\n');
    if (step.kind !== 'for') return wrap(from(i + 1, into), step);
    const { blocks, isApart } = cuts[i];
    const body = (part: string): string => {
      if (!isApart) return from(i + 1, part);
      const own = emitter.fresh('part');
      return `var ${own} = 0.0;\n${from(i + 1, own)}\n${part} += ${own};`;
    };
    return blockedLoop(step, blocks, into, body, emitter);
  };
  const text = from(0, total);
  return steps.some((step) => step.kind === 'let') ? `{\n${indent(text)}\n}` : text;
}

/** How each loop is cut, from the innermost out; `isApart` where a turn sums what is inside in a variable of its own. */
function cutSteps(steps: readonly Step[]): readonly (Cut & { readonly isApart: boolean })[] {
  let chain = 1;
  return steps
    .toReversed()
    .map((step) => {
      if (step.kind !== 'for') return { blocks: [], chain, isApart: false };
      const isApart = chain * step.turns > longestChain && chain * 2 > longestChain;
      const cut = cutLoop(step.turns, isApart ? 1 : chain);
      chain = cut.chain;
      return { ...cut, isApart };
    })
    .reverse();
}

function wrap(text: string, step: Step): string {
  switch (step.kind) {
    case 'let':
      return `let ${step.name} = ${step.value};\n${text}`;
    case 'if':
      return guarded([step.condition], text);
    case 'for':
      return loopText(step, text);
    default:
      return step satisfies never;
  }
}
