/**
 * The chain rule inside one equation's value: from the root down to each load, collecting what multiplies the cotangent on the way
 * and the guards under which anything flows at all. The rules themselves are the table in `derivatives.ts`; how a load's part
 * becomes an equation is `differentiate.ts`.
 *
 *   y = sqrt(relu(x))     factors cot.y, 0.5, 1 / y   guard x > 0     →   cot.y * 0.5 * select(x > 0, 1 / y, 0)
 *
 * The trap: what a guard excludes contributes nothing, whatever it would compute: a factor that may be infinite there is selected,
 * wherever on the way it stands, not multiplied by 0. A cotangent that may itself be excluded is such a guard, since the guard may
 * stand in another equation. Which factors may be infinite is decided by `facts.ts`: where none is, a guard is a factor 1 or 0.
 */
import { complement } from '../../ir/affine.ts';
import { children, constant, product, select, sum } from '../../ir/expression.ts';
import { expressionKey } from '../../ir/hash.ts';
import type { Condition, Constraint, Equation, Expression, Load } from '../../ir/program.ts';
import type { Facts } from '../facts.ts';
import type { Slope } from './derivatives.ts';
import { binaryDerivatives, unaryDerivatives } from './derivatives.ts';

/** What one load gives: `value` goes to the load's element at each point of the domain. */
export interface Contribution {
  readonly load: Load;
  readonly domain: readonly Constraint[];
  readonly value: Expression;
}

/** What is met on the way down: factors on both sides of what flows further in, or a guard and which of its branches flow. */
export type Step =
  | { readonly kind: 'factors'; readonly before: readonly Expression[]; readonly after: readonly Expression[] }
  | { readonly kind: 'guard'; readonly condition: Condition; readonly holds: boolean };

/** The way from the root to a subexpression, from the outside in. */
export interface Path {
  /** The cotangent of the equation's tensor. */
  readonly cotangent: Load;
  readonly steps: readonly Step[];
}

export interface Flow {
  readonly wanted: (tensor: string) => boolean;
  readonly axes: Equation['axes'];
  readonly facts: Facts;
  readonly found: Contribution[];
}

export function factorStep(...factors: readonly Expression[]): Step {
  return { kind: 'factors', before: factors, after: [] };
}

export function guardStep(condition: Condition, holds = true): Step {
  return { kind: 'guard', condition, holds };
}

/**
 * Runs the chain rule from `e` to its loads. `result` is a load of the value of `e` where that is stored.
 */
export function flow(
  e: Expression,
  path: Path,
  domain: readonly Constraint[],
  result: Expression | undefined,
  to: Flow,
): void {
  if (!reaches(e, to.wanted)) return;
  const further = (...steps: readonly Step[]): Path => ({ ...path, steps: [...path.steps, ...steps] });
  const slopeTo = (operand: Expression, slope: Slope | undefined): void => {
    if (slope === undefined) return;
    const { factor, guard } = slope;
    const guards = guard === undefined ? [] : [guardStep(guard)];
    flow(operand, further(...guards, factorStep(factor)), domain, undefined, to);
  };
  switch (e.kind) {
    case 'constant':
    case 'index':
    case 'random':
      return;
    case 'load':
      to.found.push({ load: e, domain, value: productOf(path, domain, to) });
      return;
    case 'sum':
      for (const term of e.terms) flow(term, path, domain, undefined, to);
      return;
    case 'product':
      e.factors.forEach((factor, i) => {
        const others = { before: e.factors.slice(0, i), after: e.factors.slice(i + 1) };
        flow(factor, further({ kind: 'factors', ...others }), domain, undefined, to);
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
        flow(then, path, conjunction(domain, condition.constraints), undefined, to);
        for (const failing of complement(condition.constraints)) {
          flow(otherwise, path, conjunction(domain, failing), undefined, to);
        }
        return;
      }
      flow(then, further(guardStep(condition)), domain, undefined, to);
      flow(otherwise, further(guardStep(condition, false)), domain, undefined, to);
      return;
    }
    default:
      e satisfies never;
  }
}

/**
 * The product of a whole path. A guard selects what lies further in, and with it every factor that may be infinite where something
 * may exclude it.
 */
function productOf({ cotangent, steps }: Path, domain: readonly Constraint[], { axes, facts }: Flow): Expression {
  const isTame = (factor: Expression): boolean => facts.surelyFinite(factor, { axes, domain });
  const all = [cotangent, ...steps.flatMap((step) => (step.kind === 'factors' ? [...step.before, ...step.after] : []))];
  const singular = all.flatMap(factorsIn).filter((factor) => !isTame(factor));
  const excluded = facts.mayBeExcluded(cotangent.tensor) && singular.some((factor) => factor !== cotangent);
  const moves = singular.length > 0 && (excluded || steps.some(({ kind }) => kind === 'guard'));
  const staying = (factors: readonly Expression[]): readonly Expression[] =>
    moves ? factors.flatMap(factorsIn).filter(isTame) : factors;
  const innermost = !moves
    ? constant(1)
    : excluded
      ? onlyWhereNotZero(cotangent, product(singular))
      : product(singular);
  const inner = steps.reduceRight(
    (e, step) =>
      step.kind === 'guard' ? masked(step, e) : product([...staying(step.before), e, ...staying(step.after)]),
    innermost,
  );
  return product([...staying([cotangent]), inner]);
}

function masked({ condition, holds }: Extract<Step, { kind: 'guard' }>, e: Expression): Expression {
  return holds ? select(condition, e, constant(0)) : select(condition, constant(0), e);
}

function onlyWhereNotZero(cotangent: Load, e: Expression): Expression {
  return select({ kind: 'compare', operator: '!=', left: cotangent, right: constant(0) }, e, constant(0));
}

function factorsIn(e: Expression): readonly Expression[] {
  return e.kind === 'product' ? e.factors : [e];
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
