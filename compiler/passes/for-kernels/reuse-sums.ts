/**
 * Sums that a program has already, found again inside of longer ones; program → program.
 *
 *   y[t, e] = Σ_u A[t, u] · v[u, e]
 *   g[t]    = Σ_u A[t, u] · D[t, u]     with D[t, u] = Σ_e c[t, e] · v[u, e]      →      g[t] = Σ_e c[t, e] · y[t, e]
 *
 * Both are the sum over u and e of A · c · v; the one on the right walks through a row of features where the other walks through all
 * tokens. It is what the gradient of a softmax asks for, and is true of any sum.
 *
 * The trap: only where both sums are over the same points, so this comes after domains are limited (`normalise.ts`).
 */
import { asAxis, axisIndex, substitute } from '../../ir/affine.ts';
import { equationsOf, hasSymbol, reducedAxes, storesDigits, tensorMap } from '../../ir/equation.ts';
import { axesOf, constraintAxes, load, product, rewriteConstraint, rewriteExpression } from '../../ir/expression.ts';
import { constraintKey } from '../../ir/hash.ts';
import { addTo } from '../../ir/lists.ts';
import { emptyMatch, matchConstraint, matchExpression } from '../../ir/match.ts';
import type { Affine, Axis, Constraint, Equation, Expression, Index, Load, Program, Tensor } from '../../ir/program.ts';
import { mapEquations } from '../rename.ts';

export function reuseSums(program: Program): Program {
  const tensors = tensorMap(program);
  const sums = program.tensors.filter((tensor) => {
    const [only, ...others] = equationsOf(tensor);
    return only !== undefined && others.length === 0 && isSumOfTwo(only);
  });
  const byOperands = new Map<string, Tensor[]>();
  for (const known of sums) addTo(byOperands, operandsKey(factorsOf(equationsOf(known)[0]) as readonly Load[]), known);
  const position = new Map(program.tensors.map(({ name }, i) => [name, i]));
  const before = (a: Tensor, b: Tensor): number => position.get(a.name)! - position.get(b.name)!;
  /** Sums of two factors of a product that are made before a tensor, in the program's order. */
  const madeBefore = (tensor: Tensor, { value }: Equation): readonly Tensor[] => {
    const factors = value.kind === 'product' ? value.factors.filter((f) => f.kind === 'load') : [];
    const pairs = factors.flatMap((a) => factors.map((b) => operandsKey([a, b])));
    const found = [...new Set(pairs)].flatMap((key) => byOperands.get(key) ?? []);
    return found.filter((known) => before(known, tensor) < 0).sort(before);
  };
  return mapEquations(program, (equation, tensor) => [shortened(equation, tensor, tensors, madeBefore) ?? equation]);
}

const operandsKey = (operands: readonly Load[]): string => operands.map((l) => l.tensor).join(' ');

function factorsOf({ value }: Equation): readonly Expression[] {
  return value.kind === 'product' ? value.factors : [value];
}

function isSumOfTwo(equation: Equation): boolean {
  const factors = factorsOf(equation);
  return (
    equation.reducer === 'sum' &&
    !hasSymbol(equation) &&
    reducedAxes(equation).length > 0 &&
    factors.length === 2 &&
    factors.every((f) => f.kind === 'load') &&
    storesDigits(equation)
  );
}

/** Extents below this count as this: what is short, one token among it, is done as what is a little longer. */
const short = 8;

const pointsOf = ({ axes }: Equation): number => axes.reduce((n, { extent }) => n * Math.max(short, extent), 1);

/** The equation with a sum that is there already in the place of what it would sum again; undefined where there is none. */
function shortened(
  equation: Equation,
  tensor: Tensor,
  tensors: ReadonlyMap<string, Tensor>,
  madeBefore: (tensor: Tensor, whole: Equation) => readonly Tensor[],
): Equation | undefined {
  if (equation.reducer !== 'sum' || equation.value.kind !== 'product' || hasSymbol(equation)) return undefined;
  if (reducedAxes(equation).length === 0) return undefined;
  for (const factor of factorsOf(equation)) {
    const inner = factor.kind === 'load' ? tensors.get(factor.tensor) : undefined;
    const [only, ...others] = inner === undefined ? [] : equationsOf(inner);
    if (factor.kind !== 'load' || only === undefined || others.length > 0 || !isSumOfTwo(only)) continue;
    const whole = opened(equation, factor, only);
    if (whole === undefined) continue;
    for (const known of madeBefore(tensor, whole)) {
      if (known.name === inner!.name) continue;
      const found = withSum(whole, known);
      if (found !== undefined && pointsOf(found) <= pointsOf(equation)) return found;
    }
  }
  return undefined;
}

/** The equation with a factor's own sum written out in it. */
function opened(equation: Equation, factor: Load, inner: Equation): Equation | undefined {
  const extra = reducedAxes(inner);
  const at = new Map<number, Affine>();
  for (const [d, index] of inner.store.entries()) {
    const [own, place] = [asAxis(index as Affine), factor.indices[d]];
    if (own === undefined || place.kind !== 'affine') return undefined;
    at.set(own, place);
  }
  const place = (axis: number): Affine => at.get(axis) ?? axisIndex(equation.axes.length + extra.indexOf(axis));
  const rewrite = { affine: (a: Affine): Affine => substitute(a, place) };
  const domain = [...equation.domain];
  for (const c of inner.domain.map((c) => rewriteConstraint(c, rewrite)))
    if (!domain.some((other) => constraintKey(other) === constraintKey(c))) domain.push(c);
  return {
    ...equation,
    axes: [...equation.axes, ...extra.map((axis) => inner.axes[axis])],
    domain,
    value: product([...factorsOf(equation).filter((f) => f !== factor), rewriteExpression(inner.value, rewrite)]),
  };
}

/** The equation with `known` for two of its factors and the axes that they alone are summed over. */
function withSum(whole: Equation, known: Tensor): Equation | undefined {
  const [sum] = equationsOf(known);
  const [a, b] = factorsOf(sum);
  const factors = factorsOf(whole);
  const reduced = new Set(reducedAxes(whole));
  for (const x of factors) {
    for (const y of factors) {
      if (x === y || x.kind !== 'load' || y.kind !== 'load') continue;
      const match = emptyMatch();
      if (!matchExpression(a, x, match) || !matchExpression(b, y, match)) continue;
      const gone = reducedAxes(sum).map((axis) => match.forth.get(axis));
      if (gone.some((axis) => axis === undefined || !reduced.has(axis))) continue;
      const rest = factors.filter((f) => f !== x && f !== y);
      const isGone = (axis: number): boolean => gone.includes(axis);
      if (rest.some((f) => axesOf(f).some(isGone))) continue;
      if ([...match.forth].some(([from, to]) => sum.axes[from].extent !== whole.axes[to].extent)) continue;
      const touching = whole.domain.filter((c) => constraintAxes(c).some(isGone));
      if (!sameConstraints(sum.domain, touching, match)) continue;
      const stored = sum.store.flatMap((index) => (index as Affine).terms.map((term) => term.axis));
      if (stored.some((axis) => !match.forth.has(axis))) continue;
      const place = (axis: number): Affine => axisIndex(match.forth.get(axis)!);
      const store = sum.store.map((index) => substitute(index as Affine, place));
      return without(whole, gone as number[], [...rest, load(known.name, store)], touching);
    }
  }
  return undefined;
}

function sameConstraints(
  a: readonly Constraint[],
  b: readonly Constraint[],
  match: ReturnType<typeof emptyMatch>,
): boolean {
  const copy = () => ({ forth: new Map(match.forth), back: new Map(match.back) });
  return a.length === b.length && a.every((c) => b.some((d) => matchConstraint(c, d, copy())));
}

function without(
  whole: Equation,
  gone: readonly number[],
  factors: readonly Expression[],
  touching: readonly Constraint[],
): Equation {
  const kept = [...whole.axes.keys()].filter((axis) => !gone.includes(axis));
  const rewrite = { affine: (a: Affine): Affine => substitute(a, (axis) => axisIndex(kept.indexOf(axis))) };
  return {
    ...whole,
    axes: kept.map((axis): Axis => whole.axes[axis]),
    domain: whole.domain.filter((c) => !touching.includes(c)).map((c) => rewriteConstraint(c, rewrite)),
    store: whole.store.map((index): Index => (index.kind === 'affine' ? rewrite.affine(index) : index)),
    value: rewriteExpression(product(factors), rewrite),
  };
}
