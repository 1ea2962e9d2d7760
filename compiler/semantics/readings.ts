/**
 * Where a reader of a product cannot tell which sums are meant, and where a sum is likely a slip.
 *
 *   silu(V[f, i] * x[i]) * (W[f, i] * x[i])     one sum over i, or one in each factor? an error
 *   W[i, j] * x[b, i]                           only W carries j: a warning
 *   Q[r, i] * x[t, i] * K[r, i] * x[u, i]       x twice, so two contractions over one axis: a warning
 *
 * `einstein.ts` has placed the sums; here each product that sums is looked at again, as a reader sees it. A *region* is what
 * stands apart on the page: a function's argument, a divisor, a power's base or exponent, a parenthesised factor. Two readings
 * has a product in a region of which two factors carry the axis, if the axis stands outside the region as well. What has one
 * reading keeps it: `exp(a[i]) * x[i]`, `(a[i] + b[i]) * x[i]`.
 *
 * The trap is the help, which is there to be pasted: it is the product's own text with `sum[i](…)` put in, so it must be whole,
 * and nothing may be left to be said of it.
 */
import type { Expression, ProductFactor } from '../syntax/ast.ts';
import { calleeOf } from './calls.ts';
import { type AxisSet, factorsOf, type Placement } from './einstein.ts';
import type { Module } from './files.ts';
import type { AxisEntity } from './model.ts';
import { oneLine, type Report } from './report.ts';
import { childrenOf, unparenthesised } from './walk.ts';

type Product = Expression & { readonly kind: 'product' };

interface Reader {
  readonly axesIn: (e: Expression) => AxisSet;
  readonly module: Module;
  readonly report: Report;
}

/** What is to be told of the sums of one right-hand side. */
export function reportReadings(
  { sums }: Placement,
  axesIn: (e: Expression) => AxisSet,
  module: Module,
  report: Report,
): void {
  const reader: Reader = { axesIn, module, report };
  for (const [e, axes] of sums) if (e.kind === 'product') readProduct(e, axes, reader);
}

function readProduct(e: Product, axes: readonly AxisEntity[], reader: Reader): void {
  const factors = factorsOf(e);
  const doubted = new Map<AxisEntity, readonly Expression[]>();
  const alone = new Map<AxisEntity, Expression>();
  for (const axis of axes) {
    const inner = innerContractions(e, axis, reader);
    if (inner.length > 0) {
      doubted.set(axis, inner);
      continue;
    }
    const carriers = factors.filter(({ value }) => reader.axesIn(value).has(axis)).map(({ value }) => value);
    if (carriers.length === 1) alone.set(axis, carriers[0]);
    else if (carriers.length > 2) reportRepeatedTensor(e, axis, carriers, reader);
  }
  if (doubted.size > 0) reportTwoReadings(e, factors, doubted, reader);
  if (alone.size > 0) reportAlone(e, alone, reader);
}

// Two readings

/**
 * The products in regions of `e` that contract `axis` for themselves to a reader's eye, the outermost of each region.
 *
 * `apart`: whether the axis stands in `e` outside the region that one is in; `beside`: whether it stands outside the node.
 */
function innerContractions(e: Product, axis: AxisEntity, reader: Reader): readonly Expression[] {
  const found: Expression[] = [];
  const stands = (node: Expression): boolean => reader.axesIn(node).has(axis);

  const factorsIn = (product: Product, apart: boolean, beside: boolean): void => {
    const carriers = product.factors.filter(({ value }) => stands(value)).length;
    for (const { operator, value } of product.factors) {
      const others = beside || carriers > (stands(value) ? 1 : 0);
      visit(value, operator === '*' && !isParenthesised(value) ? apart : others, others);
    }
  };

  const visit = (node: Expression, apart: boolean, beside: boolean): void => {
    switch (node.kind) {
      case 'product': {
        const carriers = factorsOf(node).filter(({ value }) => stands(value));
        if (apart && carriers.length > 1) found.push(node);
        else factorsIn(node, apart, beside);
        return;
      }
      case 'paren': {
        const before = found.length;
        visit(node.inner, apart, beside);
        // `(a * b)` becomes `sum[i](a * b)`.
        if (found.length === before + 1 && found[before] === node.inner) found[before] = node;
        return;
      }
      case 'call': {
        if (bindsInside(node, axis, reader) || calleeOf(node, reader.module).kind === 'size') return;
        for (const part of node.arguments) {
          const others = beside || node.arguments.some((other) => other !== part && stands(other));
          visit(part, others, others);
        }
        return;
      }
      case 'power': {
        const { base, exponent } = node;
        visit(base, beside || stands(exponent), beside || stands(exponent));
        visit(exponent, beside || stands(base), beside || stands(base));
        return;
      }
      case 'sum': {
        const carriers = node.terms.filter(({ value }) => stands(value)).length;
        for (const { value } of node.terms) visit(value, apart, beside || carriers > (stands(value) ? 1 : 0));
        return;
      }
      case 'where':
        visit(node.value, apart, beside);
        return;
      case 'negate':
      case 'compare':
      case 'and':
        for (const part of childrenOf(node)) visit(part, apart, beside);
        return;
      case 'number':
      case 'list':
      case 'name':
      case 'read':
      case 'group':
        return;
      default:
        node satisfies never;
    }
  };

  factorsIn(e, false, false);
  return found;
}

/** A factor in parentheses, a minus sign before them or not. */
function isParenthesised(e: Expression): boolean {
  return e.kind === 'paren' || (e.kind === 'negate' && isParenthesised(e.operand));
}

/** Whether inside the call's brackets the axis is another one. */
function bindsInside(call: Expression & { readonly kind: 'call' }, axis: AxisEntity, { axesIn }: Reader): boolean {
  const bracketed = (call.axes ?? []).some((name) =>
    axesIn({ kind: 'group', axes: [name], span: name.span }).has(axis),
  );
  return call.every || bracketed;
}

function reportTwoReadings(
  e: Product,
  factors: readonly ProductFactor[],
  doubted: ReadonlyMap<AxisEntity, readonly Expression[]>,
  reader: Reader,
): void {
  const { report } = reader;
  const wrapped = new Map<Expression, string[]>();
  const wrap = (node: Expression, axis: AxisEntity): void => {
    const names = wrapped.get(node);
    if (names === undefined) wrapped.set(node, [axis.name]);
    else names.push(axis.name);
  };
  for (const [axis, inner] of doubted) {
    for (const node of inner) wrap(node, axis);
    // What is left outside sums too; a sum that one factor carries is written out as well.
    const bound = new Set(inner);
    const left = factors.filter(({ value }) => !inner.some(holds(value)) && standsOutside(value, axis, bound, reader));
    if (left.length === 1) wrap(left[0].operator === '*' ? left[0].value : e, axis);
  }
  const names = [...doubted.keys()].map((axis) => axis.name);
  const [first] = [...doubted.values()].flat();
  const inside = report.textOf(unparenthesised(first).span);
  const message = `two readings: a sum over ${quoted(names)} in \`${inside}\` by itself, or one over the whole product`;
  const apart = withSums(e, wrapped, report);
  const once = withSums(e, new Map([[e, names]]), report);
  const help = `for a sum of its own inside write \`${apart}\`, for one sum over all \`${once}\``;
  report.error('E0607', e.span, message, help);
}

/** Whether a node holds `e`, by where they stand. */
function holds(e: Expression): (node: Expression) => boolean {
  return ({ span }) => span.start <= e.span.start && e.span.end <= span.end;
}

/** Whether the axis stands in `e` otherwise than in the nodes that are about to bind it. */
function standsOutside(e: Expression, axis: AxisEntity, bound: ReadonlySet<Expression>, reader: Reader): boolean {
  if (bound.has(e) || !reader.axesIn(e).has(axis)) return false;
  if (e.kind === 'read' || e.kind === 'name' || e.kind === 'group') return true;
  return childrenOf(e).some((child) => standsOutside(child, axis, bound, reader));
}

/** The text of a product with `sum[…](…)` around some of its parts. */
function withSums(e: Product, wrapped: ReadonlyMap<Expression, readonly string[]>, report: Report): string {
  const cuts: { readonly at: number; readonly text: string; readonly closes: boolean; readonly width: number }[] = [];
  for (const [node, names] of wrapped) {
    const { start, end } = node.span;
    const head = `sum[${names.join(', ')}]`;
    const width = end - start;
    cuts.push({ at: start, text: node.kind === 'paren' ? head : `${head}(`, closes: false, width });
    if (node.kind !== 'paren') cuts.push({ at: end, text: ')', closes: true, width });
  }
  // At one place what closes comes first, the inner before the outer; what opens the other way round.
  cuts.sort(
    (p, q) => p.at - q.at || Number(q.closes) - Number(p.closes) || (p.closes ? p.width - q.width : q.width - p.width),
  );
  let at = e.span.start;
  let text = '';
  for (const cut of cuts) {
    text += report.sourceOf({ ...e.span, start: at, end: cut.at }) + cut.text;
    at = cut.at;
  }
  text += report.sourceOf({ ...e.span, start: at });
  return oneLine(text);
}

// Likely slips

function reportAlone(e: Product, alone: ReadonlyMap<AxisEntity, Expression>, { report }: Reader): void {
  const names = [...alone.keys()].map((axis) => axis.name);
  const [[axis, carrier]] = alone;
  const message = `\`${axis.name}\` is summed, and only \`${report.textOf(carrier.span)}\` carries it`;
  const written = withSums(e, new Map([[e, names]]), report);
  report.warning('W0601', e.span, message, `if that is meant, write \`${written}\`; else name the axis that is`);
}

function reportRepeatedTensor(e: Product, axis: AxisEntity, carriers: readonly Expression[], { report }: Reader): void {
  const seen = new Set<string>();
  for (const carrier of carriers) {
    const read = unparenthesised(carrier);
    if (read.kind !== 'read') continue;
    const tensor = report.lineOfSource(read.reference.span);
    if (!seen.has(tensor)) {
      seen.add(tensor);
      continue;
    }
    const message = `one sum over \`${axis.name}\` takes \`${tensor}\` twice among ${carriers.length} factors; two contractions want two axes`;
    const written = withSums(e, new Map([[e, [axis.name]]]), report);
    const help = `if one sum is meant, write \`${written}\`; else give each contraction an axis of its own, as in \`axis i, j: D\``;
    report.warning('W0602', e.span, message, help);
    return;
  }
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(' and ');
}
