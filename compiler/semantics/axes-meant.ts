/**
 * What a person meant who left out the brackets of a reduction, or put indices in the wrong order: for the help of a
 * diagnostic, which is to mend the file when it is followed to the letter.
 *
 *   A[b, h, t, u] = softmax(S[b, h, t, u] where u <= t)     softmax[u](S[b, h, t, u] where u <= t)
 *   loss = mean((y[b, t] - z[b, t])^2)                      mean[b, t]((y[b, t] - z[b, t])^2)
 *   K[h, j, k] where K is declared K[h, k, i], i, j: D      K[h, k, j]
 */
import type { Expression } from '../syntax/ast.ts';
import type { Builder, Env } from './builder.ts';
import type { Call } from './calls.ts';
import { factorsOf } from './einstein.ts';
import { axesOf } from './lower-condition.ts';
import { type AxisEntity, actual, type TensorEntity } from './model.ts';
import { tensorShape } from './shapes.ts';
import { axisExtent } from './sizes.ts';
import { childrenOf, unparenthesised } from './walk.ts';

/** The call with brackets. `keeps`: the axes stay, as those of `softmax` and of most functions; then `count` are meant. */
export function withAxesMeant(b: Builder, e: Call, env: Env, keeps: boolean, count = 1): string {
  const { report } = b.context;
  const given = e.arguments.map((argument) => report.lineOfSource(argument.span)).join(', ');
  return `${e.callee.text}[${axesMeant(b, e, env, keeps, count).join(', ')}](${given || '…'})`;
}

function axesMeant(b: Builder, e: Call, env: Env, keeps: boolean, count: number): readonly string[] {
  // In a function's body only the axes of its head have names.
  if (env.frame !== undefined) return atLeastOne([...env.frame.axes.keys()].slice(0, keeps ? count : undefined));
  const standing = [...new Set(e.arguments.flatMap((argument) => [...axesOf(b, argument, env)]))];
  const free = standing.filter((axis) => !b.left.includes(axis));
  if (!keeps) return atLeastOne(free.map((axis) => axis.name));
  const left = b.left.filter((axis) => standing.includes(axis));
  const open = free.filter((axis) => !e.arguments.some((argument) => contracts(b, argument, axis, env)));
  const likely = open.length > 0 ? open : left.length > 0 ? left : standing;
  return atLeastOne(likely.slice(-count).map((axis) => axis.name));
}

function atLeastOne(names: readonly string[]): readonly string[] {
  return names.length === 0 ? ['*'] : names;
}

/** Whether a product in `e` sums the axis for itself, to a reader's eye. */
function contracts(b: Builder, e: Expression, axis: AxisEntity, env: Env): boolean {
  if (!axesOf(b, e, env).has(axis)) return false;
  if (e.kind === 'product' && factorsOf(e).filter(({ value }) => axesOf(b, value, env).has(axis)).length > 1)
    return true;
  return childrenOf(e).some((child) => contracts(b, child, axis, env));
}

/** A read as written, the tensor as declared, and the read in the order that fits; undefined where none does. */
export interface Reordered {
  readonly declared: string;
  /** What the positions hold and what the indices reach, a size without a value by its name. */
  readonly extents: string;
  readonly given: string;
  readonly indices: string;
}

/** The order of the indices in which each fits its position; for plain axes of which one is out of bounds where it stands. */
export function reordered(
  b: Builder,
  tensor: TensorEntity,
  written: readonly Expression[],
  env: Env,
): Reordered | undefined {
  const names = declaredIndices(tensor);
  const axes = written.flatMap((index) => axisAlone(b, index, env) ?? []);
  if (names === undefined || axes.length !== names.length || written.length !== names.length) return undefined;
  const extents = tensorShape(tensor, b.context);
  const given = axes.map((axis) => axisExtent(axis, b.context));
  const within = (index: number, position: number): boolean => {
    const [reach, extent] = [given[index], extents[position]];
    return reach !== undefined && extent !== undefined && reach <= extent;
  };

  const free = new Set(axes.keys());
  const order: (number | undefined)[] = names.map(() => undefined);
  const take = (fits: (index: number, position: number) => boolean): void => {
    for (const position of order.keys()) {
      if (order[position] !== undefined) continue;
      const found = [...free].find((index) => fits(index, position));
      if (found === undefined) continue;
      order[position] = found;
      free.delete(found);
    }
  };
  take((index, position) => axes[index]?.name === names[position]);
  take((index, position) => within(index, position) && given[index] === extents[position]);
  take(within);
  const unfit = order.some((index, position) => {
    if (index === undefined) return true;
    const known = given[index] !== undefined && extents[position] !== undefined;
    return known ? !within(index, position) : axes[index]?.name !== names[position];
  });
  if (unfit) return undefined;
  const shown = (extent: number | undefined, axis: AxisEntity | undefined): string =>
    extent === undefined ? (axis?.sizeName ?? '?') : String(extent);
  return {
    declared: names.join(', '),
    extents: extents.map((extent, position) => shown(extent, axes[order[position] ?? 0])).join(', '),
    given: given.map((extent, index) => shown(extent, axes[index])).join(', '),
    indices: order.map((index) => axes[index ?? 0]?.name).join(', '),
  };
}

function axisAlone(b: Builder, index: Expression, env: Env): AxisEntity | undefined {
  const written = unparenthesised(index);
  if (written.kind !== 'name' || written.reference.members.length > 0 || env.frame !== undefined) return undefined;
  const [axis] = axesOf(b, written, env);
  return axis;
}

/** The names that stand in a tensor's positions where it is declared or first defined; undefined where one is no name. */
function declaredIndices(tensor: TensorEntity): readonly string[] | undefined {
  const { declaration, definitions } = actual(tensor);
  if (declaration !== undefined) return declaration.axes?.map((axis) => axis.text);
  const indices = definitions[0]?.item.indices?.map((index) =>
    index.kind === 'name' && index.reference.members.length === 0 ? index.reference.name.text : undefined,
  );
  return indices?.includes(undefined) ? undefined : (indices as string[] | undefined);
}
