/**
 * Domains that follow from other tensors' domains; both make kernels skip whole tiles.
 *
 *   zeros:   O += A·v, A = 0 beyond u <= t                       →   O += A·v where u <= t
 *   demand:  S = q·k, and all that reads S reads it at u <= t    →   S = q·k where u <= t
 *
 * The second changes elements that nobody reads, so it is not for outputs.
 */
import { axisIndex, isAffine, substitute } from '../../ir/affine.ts';
import { dependencies, equationLoads, equationsOf, reducedAxes } from '../../ir/equation.ts';
import { constraintAxes, gatheredTensors, rewriteConstraint } from '../../ir/expression.ts';
import { constraintKey } from '../../ir/hash.ts';
import { mapSame } from '../../ir/lists.ts';
import { plainAxes } from '../../ir/plain.ts';
import type { Affine, AffineConstraint, Constraint, Equation, Program, Tensor } from '../../ir/program.ts';
import { heldTensors } from '../rename.ts';

/** Adds to a product's domain what limits the nonzero elements of its factors. */
export function limitToNonzero(equation: Equation, known: ReadonlyMap<string, Tensor>): Equation {
  if (equation.reducer !== 'sum' || equation.value.kind !== 'product' || reducedAxes(equation).length === 0)
    return equation;
  const domain = [...equation.domain];
  for (const factor of equation.value.factors) {
    if (factor.kind !== 'load') continue;
    for (const constraint of nonzeroWithin(known.get(factor.tensor))) {
      if (factor.indices.some((i) => i.kind !== 'affine')) continue;
      const mapped = {
        kind: constraint.kind,
        affine: substitute(constraint.affine, (d) => factor.indices[d] as Affine),
      };
      if (!has(domain, mapped)) domain.push(mapped);
    }
  }
  return domain.length === equation.domain.length ? equation : { ...equation, domain };
}

/** Constraints on a tensor's indices outside which it is 0, those of all its equations; axis d of the result is dimension d. */
function nonzeroWithin(tensor: Tensor | undefined): readonly AffineConstraint[] {
  if (tensor?.source.kind !== 'computed' || tensor.source.equations.length === 0) return [];
  const [first, ...others] = tensor.source.equations.map((equation) => storesNonzeroWithin(equation, tensor.shape));
  return first.filter((c) => others.every((constraints) => has(constraints, c)));
}

function storesNonzeroWithin(equation: Equation, shape: readonly number[]): readonly AffineConstraint[] {
  const plain = plainAxes(equation, shape);
  if (!plain) return [];
  const { value } = equation;
  const chosen =
    value.kind === 'select' && value.condition.kind === 'domain' && isZero(value.otherwise)
      ? value.condition.constraints
      : [];
  const onto = (a: Affine): Affine => substitute(a, (axis) => axisIndex(plain.indexOf(axis)));
  return [...equation.domain, ...chosen]
    .filter(isAffine)
    .filter((c) => c.kind === 'nonnegative' && c.affine.terms.every((t) => plain.includes(t.axis)))
    .map((c) => ({ ...c, affine: onto(c.affine) }));
}

function isZero(e: Equation['value']): boolean {
  return e.kind === 'constant' && e.value === 0;
}

/**
 * Restricts tensors to the elements that are read. Kernels are cut by what an equation says of its own axes, so that where it
 * stores through a map (`S[(c y), (c z)]`) its domain stays as it is, unless `throughMaps` is asked for.
 */
export function limitToDemand(program: Program, { throughMaps = false } = {}): Program {
  const kept = heldTensors(program);
  const demands = new Map<string, readonly Constraint[]>();
  const tensors = [...program.tensors].reverse().map((tensor) => {
    const demand = kept.has(tensor.name) ? [] : (demands.get(tensor.name) ?? []);
    const limited = demand.length === 0 ? tensor : withDomain(tensor, demand, throughMaps);
    const read = demandsOf(limited);
    for (const name of dependencies(limited)) {
      const before = demands.get(name);
      const own = read.get(name) ?? [];
      demands.set(name, before === undefined ? own : before.filter((c) => has(own, c)));
    }
    return limited;
  });
  return { ...program, tensors: tensors.reverse() };
}

function has(constraints: readonly Constraint[], c: Constraint): boolean {
  const key = constraintKey(c);
  return constraints.some((other) => constraintKey(other) === key);
}

/** Constraints on each read tensor's dimensions that hold at every read of it. */
function demandsOf(tensor: Tensor): ReadonlyMap<string, readonly Constraint[]> {
  const result = new Map<string, readonly Constraint[]>();
  const gathers = new Set<string>();
  for (const equation of equationsOf(tensor)) {
    for (const name of equation.store.flatMap(gatheredTensors)) gathers.add(name);
    for (const l of equationLoads(equation)) {
      for (const name of l.indices.flatMap(gatheredTensors)) gathers.add(name);
      const dimensions = new Map<number, number>();
      l.indices.forEach((index, d) => {
        if (
          index.kind === 'affine' &&
          index.constant === 0 &&
          index.terms.length === 1 &&
          index.terms[0].coefficient === 1
        )
          dimensions.set(index.terms[0].axis, d);
      });
      const here = equation.domain
        .filter((c) => isAffine(c) && c.affine.terms.every((t) => dimensions.has(t.axis)))
        .map((c) => rewriteConstraint(c, { affine: (a) => substitute(a, (axis) => axisIndex(dimensions.get(axis)!)) }));
      const before = result.get(l.tensor);
      result.set(l.tensor, before === undefined ? here : before.filter((c) => has(here, c)));
    }
  }
  for (const name of gathers) result.set(name, []);
  return result;
}

function withDomain(tensor: Tensor, demand: readonly Constraint[], throughMaps: boolean): Tensor {
  if (tensor.source.kind !== 'computed') return tensor;
  const equations = mapSame(tensor.source.equations, (equation): Equation => {
    const plain = plainAxes(equation, tensor.shape);
    const isPlain = plain?.every((axis) => axis !== undefined) === true;
    if (!isPlain && !throughMaps) return equation;
    const mapped = demand
      .filter((c) => constraintAxes(c).every((d) => equation.store[d].kind === 'affine'))
      .map((c) => rewriteConstraint(c, { affine: (a) => substitute(a, (d) => equation.store[d] as Affine) }));
    const added = mapped.filter((c) => !has(equation.domain, c));
    return added.length === 0 ? equation : { ...equation, domain: [...equation.domain, ...added] };
  });
  return equations === tensor.source.equations ? tensor : { ...tensor, source: { kind: 'computed', equations } };
}
