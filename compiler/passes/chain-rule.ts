/**
 * The chain rule inside one equation's value: from the root down to each load, collecting what multiplies the cotangent on the way.
 * The rules themselves are the table in `derivatives.ts`; how a load's part becomes an equation is `differentiate.ts`.
 *
 * The trap: what flows into a branch of a `select` or under the guard of a kink must be evaluated only where the branch is taken,
 * so the way down is kept as a function that wraps what lies below, not as a list of factors.
 */
import { complement } from '../ir/affine.ts';
import { children, constant, product, select, sum } from '../ir/expression.ts';
import { expressionKey } from '../ir/hash.ts';
import type { Constraint, Expression, Load } from '../ir/program.ts';
import type { Slope } from './derivatives.ts';
import { binaryDerivatives, unaryDerivatives } from './derivatives.ts';

/** What one load gives: `value` goes to the load's element at each point of the domain. */
export interface Contribution {
  readonly load: Load;
  readonly domain: readonly Constraint[];
  readonly value: Expression;
}

/** From the cotangent of a subexpression, as a factor, to the whole contribution. */
export type Wrap = (inner: Expression) => Expression;

export interface Flow {
  readonly wanted: (tensor: string) => boolean;
  readonly found: Contribution[];
}

/**
 * Runs the chain rule from `e` to its loads. `result` is a load of the value of `e` where that is stored.
 */
export function flow(
  e: Expression,
  wrap: Wrap,
  domain: readonly Constraint[],
  result: Expression | undefined,
  to: Flow,
): void {
  if (!reaches(e, to.wanted)) return;
  const slopeTo = (operand: Expression, slope: Slope | undefined): void => {
    if (slope === undefined) return;
    const { factor, guard } = slope;
    const guarded: Wrap =
      guard === undefined
        ? (inner) => wrap(product([factor, inner]))
        : (inner) => wrap(select(guard, product([factor, inner]), constant(0)));
    flow(operand, guarded, domain, undefined, to);
  };
  switch (e.kind) {
    case 'constant':
    case 'index':
    case 'random':
      return;
    case 'load':
      to.found.push({ load: e, domain, value: wrap(constant(1)) });
      return;
    case 'sum':
      for (const term of e.terms) flow(term, wrap, domain, undefined, to);
      return;
    case 'product':
      e.factors.forEach((factor, i) => {
        const before = e.factors.slice(0, i);
        const after = e.factors.slice(i + 1);
        flow(factor, (inner) => wrap(product([...before, inner, ...after])), domain, undefined, to);
      });
      return;
    case 'unary':
      slopeTo(e.operand, unaryDerivatives[e.operator](e.operand, result ?? e));
      return;
    case 'binary': {
      const { left, right } = e;
      const rules = binaryDerivatives[e.operator];
      slopeTo(left, rules.left(left, right, result ?? e));
      slopeTo(right, rules.right(left, right, result ?? e));
      return;
    }
    case 'select': {
      const { condition, then, otherwise } = e;
      if (condition.kind === 'domain') {
        flow(then, wrap, conjunction(domain, condition.constraints), undefined, to);
        for (const failing of complement(condition.constraints)) {
          flow(otherwise, wrap, conjunction(domain, failing), undefined, to);
        }
        return;
      }
      flow(then, (inner) => wrap(select(condition, inner, constant(0))), domain, undefined, to);
      flow(otherwise, (inner) => wrap(select(condition, constant(0), inner)), domain, undefined, to);
      return;
    }
    default:
      e satisfies never;
  }
}

function reaches(e: Expression, wanted: (tensor: string) => boolean): boolean {
  return flowingLoads(e).some((l) => wanted(l.tensor));
}

/** The loads that the value changes with smoothly: not those that a comparison or a draw reads. */
export function flowingLoads(e: Expression): readonly Load[] {
  switch (e.kind) {
    case 'load':
      return [e];
    case 'select':
      return [...flowingLoads(e.then), ...flowingLoads(e.otherwise)];
    case 'random':
      return [];
    default:
      return children(e).flatMap(flowingLoads);
  }
}

function conjunction(domain: readonly Constraint[], more: readonly Constraint[]): readonly Constraint[] {
  const known = new Set(domain.map((c) => JSON.stringify(c)));
  return [...domain, ...more.filter((c) => !known.has(JSON.stringify(c)))];
}

/**
 * Contributions to one element at one point become one equation where they are not products of loads: y = x * sigmoid(x) gives one
 * kernel's worth of arithmetic. Plain products stay apart, so that each can be given its own order of contraction.
 */
export function merge(contributions: readonly Contribution[]): readonly Contribution[] {
  const groups = new Map<string, Contribution[]>();
  contributions.forEach((c, i) => {
    const key = isPlain(c.value) ? String(i) : `${expressionKey(c.load)} ${JSON.stringify(c.domain)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [c]);
    else group.push(c);
  });
  return [...groups.values()].map((group) => ({ ...group[0], value: sum(group.map((c) => c.value)) }));
}

function isPlain(e: Expression): boolean {
  return e.kind === 'product' ? e.factors.every(isPlain) : e.kind === 'load' || e.kind === 'constant';
}
