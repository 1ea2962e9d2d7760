/**
 * Shapes. An input's or param's is that of its declaration; a defined tensor's extent in a position is the largest
 * index written there plus one, over all its equations. The domain does not count: what a `where` leaves out is written
 * as 0.
 *
 * An extent that is `undefined` cannot be said yet. Nothing here looks at right-hand sides, so shapes never depend on
 * the order of definitions.
 */
import { axisIndex, range } from '../ir/affine.ts';
import type { Affine } from '../ir/program.ts';
import type { Expression } from '../syntax/ast.ts';
import { evaluateAffine, groupIndex, type IndexContext } from './arithmetic.ts';
import { axesOfEquation } from './einstein.ts';
import { type AxisEntity, actual, type Definition, lookUp, type TensorEntity } from './model.ts';
import { axesNamed } from './names.ts';
import { axisExtent, largestIndex, type SizeContext } from './sizes.ts';
import { unparenthesised } from './walk.ts';

export type Shape = readonly (number | undefined)[];

export function tensorShape(tensor: TensorEntity, context: SizeContext): Shape {
  const entity = actual(tensor);
  if (entity.shape !== undefined) return entity.shape;
  entity.shape =
    entity.role === 'computed' ? definedShape(entity, context) : entity.axes.map((axis) => axisExtent(axis, context));
  if (entity.declaration !== undefined) checkCount(entity, entity.shape, context);
  return entity.shape;
}

/** How many indices a tensor takes, from the text alone. */
export function rankOf(tensor: TensorEntity): number {
  const entity = actual(tensor);
  if (entity.declaration !== undefined) return entity.declaration.axes?.length ?? 0;
  return entity.definitions[0]?.item.indices?.length ?? 0;
}

function checkCount(tensor: TensorEntity, shape: Shape, { report }: SizeContext): void {
  const count = shape.reduce<number>((product, extent) => product * (extent ?? 1), 1);
  if (count <= largestIndex) return;
  const shown = shape.map((extent) => extent ?? '?').join(', ');
  const least = shape.includes(undefined) ? 'at least ' : '';
  const message = `\`${tensor.name}\` of shape [${shown}] has ${least}${count} elements, over ${largestIndex}`;
  report.error('E0508', tensor.span, message);
}

function definedShape(tensor: TensorEntity, context: SizeContext): Shape {
  const { report } = context;
  const rank = rankOf(tensor);
  const extents: (number | undefined)[] = new Array(rank).fill(Number.NEGATIVE_INFINITY);
  for (const definition of tensor.definitions) {
    const { item } = definition;
    const written = item.indices?.length ?? 0;
    readLeft(definition, context);
    if (written !== rank) {
      definition.broken = true;
      const first = report.lineOf(tensor.definitions[0].item.span, item.span);
      const message = `\`${tensor.localName}\` has ${count(written, 'index')} here, and ${rank} in ${first}`;
      report.error('E0501', item.target.span, message);
      continue;
    }
    definition.store.forEach((index, d) => {
      const largest = index && largestOf(index, definition.leftAxes, context);
      if (largest === undefined || extents[d] === undefined) extents[d] = undefined;
      else extents[d] = Math.max(extents[d] as number, largest + 1);
    });
  }
  return extents.map((extent, d) => {
    if (extent === undefined || (extent >= 1 && extent <= largestIndex)) return extent;
    const index = tensor.definitions[0].item.indices?.[d];
    const span = index?.span ?? tensor.span;
    const message =
      extent < 1
        ? `the largest index written here is ${extent - 1}, so \`${tensor.localName}\` has no elements`
        : `the largest index written here is ${extent - 1}, over ${largestIndex}`;
    report.error(extent < 1 ? 'E0504' : 'E0508', span, message);
    return undefined;
  });
}

function largestOf(index: Affine, axes: readonly AxisEntity[], context: SizeContext): number | undefined {
  const extents = axes.map((axis) => axisExtent(axis, context));
  if (index.terms.some(({ axis }) => extents[axis] === undefined)) return undefined;
  return range(
    index,
    extents.map((extent) => ({ name: '', extent: extent ?? 1 })),
  ).max;
}

/** The left-hand side: its axes in order of appearance, and the store map over them. */
function readLeft(definition: Definition, context: SizeContext): void {
  const { item, scope } = definition;
  const axes: AxisEntity[] = [];
  const position = (axis: AxisEntity): Affine => {
    if (!axes.includes(axis)) axes.push(axis);
    return axisIndex(axes.indexOf(axis));
  };
  const indices: IndexContext = {
    report: context.report,
    unbound: context.unbound,
    scope,
    frame: undefined,
    axisIndex: position,
    what: 'an index',
  };
  definition.store = (item.indices ?? []).map((e) => leftIndex(e, indices, position));
  // Where an index is wrong its axes stand on the left nevertheless.
  const standing = axesOfEquation(scope);
  for (const e of item.indices ?? []) for (const axis of standing(e)) position(axis);
  definition.leftAxes = axes;
  if (definition.store.includes(undefined)) definition.broken = true;
}

function leftIndex(e: Expression, context: IndexContext, position: (axis: AxisEntity) => Affine): Affine | undefined {
  const { report, scope } = context;
  const written = unparenthesised(e);
  if (written.kind === 'group') {
    const axes = written.axes.map((name) => axesNamed(name, context));
    if (axes.includes(undefined)) return undefined;
    const flat = (axes as (readonly AxisEntity[])[]).flat();
    return groupIndex(flat, flat.map(position), context);
  }
  if (written.kind === 'read' || written.kind === 'name') {
    const entity = lookUp(scope, written.reference.name.text);
    if (entity?.kind === 'tensor') {
      const message = `\`${report.textOf(written.span)}\` is a tensor, and an index on the left is made of axes`;
      report.error('E0506', written.span, message, 'gather on the right: `y[b, i] = E[tokens[b], i]`');
      return undefined;
    }
  }
  return evaluateAffine(e, context);
}

export function count(n: number, noun: 'index' | 'argument' | 'axis'): string {
  const plurals = { index: 'indices', argument: 'arguments', axis: 'axes' };
  return `${n === 0 ? 'no' : n} ${n === 1 ? noun : plurals[noun]}`;
}
