/**
 * A sum that shares nothing and that one other sum reads becomes a part of that; program → program.
 *
 *   s[t, u] = Σ_b S[b, t, u];  g = Σ_{t, u} s[t, u] · (t - u)   →   g = Σ_{b, t, u} S[b, t, u] · (t - u)
 *
 * The left is less to multiply, and would have to be stored: this is for streams (schedule/streams), not for the program as a whole.
 */
import { axisIndex, substitute } from '../../ir/affine.ts';
import { equationsOf, hasSymbol, reducedAxes } from '../../ir/equation.ts';
import { loads, product, rewriteConstraint, rewriteExpression } from '../../ir/expression.ts';
import { longReduced, plainAxes, pointOf } from '../../ir/plain.ts';
import type { Affine, Equation, Load, Program, Tensor } from '../../ir/program.ts';
import { readsOf } from '../../ir/reads.ts';
import { heldTensors } from '../rename.ts';

export function sumsAtOnce(program: Program): Program {
  const kept = heldTensors(program);
  const reads = readsOf(program);
  const gone = new Set<string>();
  const changed = new Map<Equation, Equation>();
  for (const tensor of program.tensors) {
    const [only, ...others] = equationsOf(tensor);
    const [read, ...more] = reads.get(tensor.name) ?? [];
    if (only === undefined || read === undefined || others.length + more.length > 0 || kept.has(tensor.name)) continue;
    if (only.reducer !== 'sum' || reducedAxes(only).length === 0 || tensor.dtype !== 'f32') continue;
    if (!readsWholePoints(only)) continue;
    const into = changed.get(read.equation) ?? read.equation;
    const joined = inlinedSum(tensor, only, into);
    if (joined === undefined) continue;
    gone.add(tensor.name);
    changed.set(read.equation, joined);
  }
  if (gone.size === 0) return program;
  const tensors = program.tensors.flatMap((tensor): Tensor[] => {
    if (gone.has(tensor.name)) return [];
    if (tensor.source.kind !== 'computed' || !tensor.source.equations.some((e) => changed.has(e))) return [tensor];
    const equations = tensor.source.equations.map((e) => changed.get(e) ?? e);
    return [{ ...tensor, source: { kind: 'computed', equations } }];
  });
  return { ...program, tensors };
}

/** Everything is read at all of the equation's axes: there is nothing that a sum of fewer would share. */
function readsWholePoints(equation: Equation): boolean {
  const long = [...equation.axes.keys()].filter((axis) => equation.axes[axis].extent > 1);
  const read = loads(equation.value);
  return read.length > 0 && read.every((l) => long.every((axis) => pointOf(l, equation)?.includes(axis)));
}

/** `Σ s · …` with the sum that s is in its place. */
function inlinedSum(tensor: Tensor, inner: Equation, outer: Equation): Equation | undefined {
  if (outer.reducer !== 'sum' || outer.value.kind !== 'product' || hasSymbol(inner) || hasSymbol(outer))
    return undefined;
  const at = outer.value.factors.filter((f) => f.kind === 'load' && f.tensor === tensor.name) as readonly Load[];
  const [only, ...others] = at;
  const plain = plainAxes(inner, tensor.shape);
  const total = loads(outer.value).filter((l) => l.tensor === tensor.name).length;
  if (only === undefined || others.length > 0 || total !== 1 || plain === undefined) return undefined;
  const point = pointOf(only, outer);
  const reduced = longReduced(outer).filter((axis) => point?.includes(axis));
  if (point === undefined || reduced.length < 2) return undefined;
  const extra = reducedAxes(inner);
  const place = (axis: number): Affine => {
    const d = plain.indexOf(axis);
    if (d >= 0) return only.indices[d] as Affine;
    return axisIndex(outer.axes.length + extra.indexOf(axis));
  };
  const rewrite = { affine: (a: Affine): Affine => substitute(a, place) };
  return {
    ...outer,
    axes: [...outer.axes, ...extra.map((axis) => inner.axes[axis])],
    domain: [...outer.domain, ...inner.domain.map((c) => rewriteConstraint(c, rewrite))],
    value: product([...outer.value.factors.filter((f) => f !== only), rewriteExpression(inner.value, rewrite)]),
  };
}
