/**
 * Indices: `t + 1`, `(k p)`, `tokens[b, t]` → affine maps and gathers, each held to the bounds of what it reads.
 *
 * A read outside is a mistake unless the `where`s around it exclude every point where it happens; that is decided
 * exactly, by searching the box of the axes under the conditions for a point outside. Whoever relies on the conditions
 * is counted.
 */
import { affine, axisIndex, isAffine, range, subtract } from '../ir/affine.ts';
import { findPoint } from '../ir/feasible.ts';
import { affinePieces, wholeAffine } from '../ir/piecewise.ts';
import type { Affine, AffineConstraint, Constraint, Index, Expression as Value } from '../ir/program.ts';
import type { Expression, Reference } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { evaluateAffine, groupIndex, type IndexContext } from './arithmetic.ts';
import { reordered } from './axes-meant.ts';
import { type Builder, type Env, lift } from './builder.ts';
import { needsIntegers } from './integers.ts';
import { lowerValue } from './lower-value.ts';
import { type AxisEntity, actual, type TensorEntity } from './model.ts';
import { axesNamed, meaningOf } from './names.ts';
import { resolveTensor } from './references.ts';
import { silently } from './report.ts';
import { count, rankOf, tensorShape } from './shapes.ts';
import { unparenthesised } from './walk.ts';

export function indexContext(b: Builder, env: Env, what = 'an index', span?: Span): IndexContext {
  const { report, unbound } = b.context;
  const index = (axis: AxisEntity): Affine => {
    const slot = env.bound.get(axis);
    if (slot !== undefined) return axisIndex(slot);
    const at = span ?? axis.span;
    report.error(
      'E0601',
      at,
      `\`${axis.name}\` stands where nothing sums over it`,
      `write \`sum[${axis.name}](…)\` around it`,
    );
    return affine(0);
  };
  return { report, unbound, scope: env.scope, frame: env.frame, axisIndex: index, what };
}

/** The indices of a read of `tensor`; undefined where one is wrong. */
export function lowerIndices(
  b: Builder,
  tensor: TensorEntity,
  written: readonly Expression[],
  span: Span,
  env: Env,
): readonly Index[] | undefined {
  const { report } = b.context;
  const rank = rankOf(tensor);
  const indices = written.map((e) => lowerIndex(b, e, env));
  if (written.length !== rank) {
    const name = report
      .textOf({ ...span, end: Math.min(span.end, written[0]?.span.start ?? span.end) })
      .replace(/\s*\[$/, '');
    const has = rank === 0 ? 'is a scalar, written without brackets' : `has ${count(rank, 'axis')}${axesShown(tensor)}`;
    report.error(
      'E0501',
      span,
      `\`${name}\` ${has}, and is read with ${count(written.length, 'index')}`,
      declaredAs(tensor),
    );
    return undefined;
  }
  if (indices.includes(undefined)) return undefined;
  warnOfOrder(b, tensor, written, span, env);
  const shape = tensorShape(tensor, b.context);
  return indices.map((index, d) => {
    const extent = shape[d];
    const found = index as NonNullable<typeof index>;
    const where = `position ${d + 1} of \`${tensor.localName}\``;
    if (found.kind === 'affine' && extent !== undefined) {
      checkInside(b, found, extent, written[d], where, env, () => reportOrder(b, tensor, written, span, env));
    }
    if (found.kind !== 'whole') return found;
    if (extent !== undefined) checkWhole(b, found.value, extent, written[d], where, env);
    return liftIndex(b, found, written[d].span, env);
  });
}

/** Each affine piece of an index is held to the bounds; one that has none, or reads data, is checked when it runs. */
function checkWhole(b: Builder, value: Value, extent: number, written: Expression, where: string, env: Env): void {
  for (const { when, value: piece } of affinePieces(value, b.slots) ?? []) {
    const errors = b.context.report.diagnostics.length;
    checkInside(b, piece, extent, written, where, { ...env, guards: [...env.guards, ...when] });
    if (b.context.report.diagnostics.length > errors) return;
  }
}

/** How a tensor is read with the axes of its declaration. */
export function declaredAs(tensor: TensorEntity): string | undefined {
  const { declaration } = actual(tensor);
  if (declaration === undefined) return undefined;
  const name = tensor.localName;
  if (declaration.axes === undefined)
    return `write \`${name}\` here, or declare its axes: \`${declaration.kind} ${name}[…]\``;
  return `it is declared \`${name}[${declaration.axes.map((axis) => axis.text).join(', ')}]\`: write an index for each`;
}

function axesShown(tensor: TensorEntity): string {
  const { declaration } = actual(tensor);
  const names = declaration?.axes?.map((axis) => axis.text);
  return names === undefined ? '' : ` (${names.join(', ')})`;
}

/** An index that is whole and not affine, before it becomes a tensor. */
interface WholeIndex {
  readonly kind: 'whole';
  readonly value: Value;
  /** Whether reads in it lie inside their tensors only by what stands around. */
  readonly guarded: boolean;
}

/** `(i - j) % D`, `min(t - u, n)`, `tokens[b, t] + 1`. */
function lowerWhole(b: Builder, e: Expression, env: Env): Affine | WholeIndex | undefined {
  const { report } = b.context;
  const [errors, guards] = [report.diagnostics.length, b.guardUses];
  const { value, present, support } = lowerValue(b, e, { ...env, integers: 'index' });
  if (report.diagnostics.length > errors) return undefined;
  if (present.length > 0 || support.length > 0) {
    report.error('E0313', e.span, '`where` cannot stand in an index', 'put it around what is read');
    return undefined;
  }
  const plain = wholeAffine(value, b.slots);
  return plain ?? { kind: 'whole', value, guarded: b.guardUses > guards };
}

/** The tensor of an index that is not affine: what an integer tensor of the user's would be, without a name. */
function liftIndex(b: Builder, { value, guarded }: WholeIndex, span: Span, env: Env): Index {
  const around = { conditions: env.guards, areNeeded: guarded };
  const read = lift(b, { label: 'index', reduced: [], reducer: 'sum', dtype: 'i32', value, domain: [], around, span });
  return { kind: 'gather', tensor: read.tensor, indices: read.indices };
}

function lowerIndex(b: Builder, e: Expression, env: Env): Index | WholeIndex | undefined {
  const { report } = b.context;
  const written = unparenthesised(e);
  const context = indexContext(b, env, 'an index', e.span);
  if (written.kind === 'group') {
    const axes = written.axes.map((name) => axesNamed(name, context));
    if (axes.includes(undefined)) return undefined;
    const flat = (axes as (readonly AxisEntity[])[]).flat();
    const indices = flat.map((axis) => (context.axisIndex as (axis: AxisEntity) => Affine)(axis));
    return groupIndex(flat, indices, context);
  }
  if (written.kind === 'name' || written.kind === 'read') {
    const { reference } = written;
    const meaning = meaningOf(reference.name.text, env.scope, env.frame);
    if (meaning?.kind === 'argument' && written.kind === 'name') {
      const { callEnv } = env.frame as NonNullable<Env['frame']>;
      return lowerIndex(b, meaning.argument.expression, { ...callEnv, bound: env.bound, guards: env.guards });
    }
    const isTensor =
      meaning?.kind === 'entity' && (meaning.entity.kind === 'tensor' || meaning.entity.kind === 'instance');
    const isMember = env.frame === undefined && reference.members.length > 0;
    if (isTensor || isMember) {
      return lowerGather(b, reference, written.kind === 'read' ? written.indices : [], written.span, env);
    }
  }
  if (needsIntegers(e, env)) {
    const quiet = evaluateAffine(e, { ...context, report: silently(report) });
    if (quiet === undefined) return lowerWhole(b, e, env);
  }
  const value = evaluateAffine(e, context);
  if (value === undefined) return undefined;
  const { max, min } = range(value, b.slots);
  if (max > 2 ** 31 - 1 || min < -(2 ** 31)) {
    report.error(
      'E0508',
      e.span,
      `\`${report.textOf(e.span)}\` reaches ${max > 2 ** 31 - 1 ? max : min}, beyond 32 bits`,
    );
    return undefined;
  }
  return value;
}

function lowerGather(
  b: Builder,
  reference: Reference,
  written: readonly Expression[],
  span: Span,
  env: Env,
): Index | undefined {
  const { report } = b.context;
  const tensor = resolveTensor(reference, env.scope, b.context);
  if (tensor === undefined) return undefined;
  const indices = lowerIndices(b, tensor, written, span, env);
  const { dtype, name } = actual(tensor);
  if (dtype !== 'i32') {
    const help = tensor.role === 'input' ? `declare it \`input ${tensor.localName}[…]: i32\`` : undefined;
    report.error('E0506', span, `\`${report.textOf(reference.span)}\` is ${dtype}, and an index must be i32`, help);
    return undefined;
  }
  return indices && { kind: 'gather', tensor: name, indices };
}

/** Whether the indices would fit in another order; then that is the mistake. */
function reportOrder(b: Builder, tensor: TensorEntity, written: readonly Expression[], span: Span, env: Env): boolean {
  const { report } = b.context;
  const fitting = reordered(b, tensor, written, env);
  if (fitting === undefined) return false;
  const name = report.lineOfSource(span).replace(/\s*\[.*/, '');
  const read = report.textOf(span);
  const extents = `of extents ${fitting.extents}, and the indices of \`${read}\` reach ${fitting.given}`;
  const message = `\`${name}\` is \`${name}[${fitting.declared}]\` ${extents}`;
  report.error('E0503', span, message, `in the order that fits: \`${name}[${fitting.indices}]\``);
  return true;
}

/** Axes in another order than declared, by their sizes: it fits only where those are the same, and is a slip more often than not. */
function warnOfOrder(b: Builder, tensor: TensorEntity, written: readonly Expression[], span: Span, env: Env): void {
  const { report } = b.context;
  const { declaration, axes } = actual(tensor);
  if (declaration === undefined || axes.length !== written.length) return;
  const sizeOf = ({ expression }: AxisEntity): string => report.lineOfSource(expression.span);
  const declared = axes.map(sizeOf);
  const given: (string | undefined)[] = written.map((e) => {
    const plain = e.kind === 'name' && e.reference.members.length === 0 ? e.reference.name.text : undefined;
    const meaning = plain === undefined ? undefined : meaningOf(plain, env.scope, env.frame);
    return meaning?.kind === 'entity' && meaning.entity.kind === 'axis' ? sizeOf(meaning.entity) : undefined;
  });
  if (given.includes(undefined)) return;
  const apart = declared.findIndex((size, d) => size !== given[d]);
  if (apart < 0 || [...declared].sort().join() !== [...given].sort().join()) return;
  const same = `${declared[apart]} = ${given[apart]}`;
  const name = report.lineOfSource(span).replace(/\s*\[.*/, '');
  const left = written.map((e) => report.textOf(e.span));
  const fitting = declared.map((size) => {
    const at = given.indexOf(size);
    given[at] = undefined;
    return left[at];
  });
  const shown = `\`${name}[${declaration.axes?.map(({ text }) => text).join(', ')}]\``;
  const message = `${shown} is read as \`${report.textOf(span)}\`, which fits only where ${same}`;
  const help = `in the order of the declaration: \`${name}[${fitting.join(', ')}]\`; if the sizes are one, give them one name`;
  report.warning('W0603', span, message, help);
}

/** Reports a point at which an index leaves 0 .. extent - 1, if there is one. */
function checkInside(
  b: Builder,
  index: Affine,
  extent: number,
  written: Expression,
  where: string,
  env: Env,
  reportOtherwise: () => boolean = () => false,
): void {
  const { report } = b.context;
  const { min, max } = range(index, b.slots);
  if (Number.isNaN(min) || Number.isNaN(max)) return;
  const beyond: Affine[] = [];
  if (max >= extent) beyond.push(subtract(index, affine(extent)));
  if (min < 0) beyond.push(subtract(affine(-1), index));
  if (beyond.length === 0 || b.open) return;
  for (const outside of beyond) {
    const point = pointOf(b, [...env.guards, { kind: 'nonnegative', affine: outside }]);
    if (point === undefined) continue;
    if (reportOtherwise()) return;
    const text = report.textOf(written.span);
    const wrong = point === 'unknown' ? (outside === beyond[0] && max >= extent ? max : min) : evaluateAt(index, point);
    const value = text === String(wrong) ? '' : ` is ${wrong}`;
    const at = point === 'unknown' || index.terms.length === 0 ? '' : ` at ${shownPoint(b, index, point)}`;
    const help =
      index.terms.length === 0
        ? undefined
        : wrong < 0
          ? `leave it out: \`… where ${text} >= 0\``
          : `leave it out: \`… where ${text} < ${extent}\`, or read through a smaller axis`;
    report.error(
      'E0503',
      written.span,
      `\`${text}\`${value}${at}, outside ${where}, which is 0 .. ${extent - 1}`,
      help,
    );
    return;
  }
  b.guardUses++;
}

/** A point of the axes that meets the constraints; undefined if there is none. */
export function pointOf(b: Builder, conditions: readonly Constraint[]): readonly number[] | 'unknown' | undefined {
  const constraints = conditions.filter(isAffine);
  const slots = [...new Set(constraints.flatMap((c) => c.affine.terms.map((term) => term.axis)))];
  const axes = slots.map((slot) => b.slots[slot]);
  if (axes.some((axis) => Number.isNaN(axis.extent))) return undefined;
  const local = constraints.map(({ kind, affine: a }): AffineConstraint => {
    const terms = a.terms.map(({ axis, coefficient }) => ({ axis: slots.indexOf(axis), coefficient }));
    return { kind, affine: affine(a.constant, terms) };
  });
  const found = findPoint(axes, local);
  if (found.kind === 'none') return undefined;
  if (found.kind === 'unknown') return 'unknown';
  const point = b.slots.map(() => 0);
  for (const [i, slot] of slots.entries()) point[slot] = found.point[i];
  return point;
}

function evaluateAt(a: Affine, point: readonly number[]): number {
  return a.terms.reduce((value, { axis, coefficient }) => value + coefficient * point[axis], a.constant);
}

export function shownPoint(b: Builder, a: Affine, point: readonly number[]): string {
  return a.terms.map(({ axis }) => `${b.slots[axis].name} = ${point[axis]}`).join(', ');
}
