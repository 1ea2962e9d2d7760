/**
 * A slot joined with the structure that fills it.
 *
 *   slot Up(w[n, t, i]) -> z[n, t, f]      structure Dense { input x[b, i] … output y }      use Up(w = a, D = D) as up
 *
 *   up.x[(n t), i] = a[n, t, i]     x takes the place of w; what has fewer axes sees the first ones together
 *   … the equations of Dense …
 *   up.z[n, t, f] = up.y[(n t), f]  only z has a name outside
 *
 * The trap is whose mistake it is: a structure that does not fit is told at its own line and names the slot, since the same
 * slot fits others; what the `use` gives wrongly is told there. The instance itself is made in `instances.ts`.
 */
import type { EquationItem, Expression, Identifier, SlotTensor } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import { newTensor } from './declare.ts';
import {
  type AxisEntity,
  actual,
  type GivenShape,
  lookUp,
  type Scope,
  type SlotEntity,
  type StructureInstance,
  type TensorEntity,
} from './model.ts';
import { type ElaborationContext, resolveTensor } from './references.ts';
import { count, rankOf, type Shape, tensorShape } from './shapes.ts';
import { axisExtent } from './sizes.ts';
import { namesOf } from './slots.ts';

/** A tensor of the slot's signature that a `use` has bound. */
export interface SlotInput {
  readonly declared: SlotTensor;
  readonly tensor: TensorEntity | undefined;
  readonly span: Span;
}

/** Holds what a `use` binds to an input against the slot's signature. */
export function checkSlotInput(
  { declared, tensor, span }: SlotInput,
  slot: SlotEntity,
  context: ElaborationContext,
): TensorEntity | undefined {
  if (tensor === undefined) return undefined;
  const { report } = context;
  const { axes = [], name } = declared;
  const owner = `the slot \`${slot.item.name.text}\``;
  const written = report.textOf(span);
  const isInteger = tensor.dtype === 'i32';
  if (isInteger !== (declared.dtype === 'i32')) {
    const [is, wants] = isInteger ? ['is i32', 'a float'] : ['is a float', 'i32'];
    report.error('E0312', span, `\`${written}\` ${is}, and \`${name.text}\` of ${owner} is ${wants}`);
    return undefined;
  }
  const rank = rankOf(tensor);
  if (rank !== axes.length) {
    const message = `\`${written}\` has ${count(rank, 'axis')}, and \`${name.text}\` of ${owner} has ${axes.length}`;
    report.error('E0312', span, message);
    return undefined;
  }
  const wanted = signatureExtents(declared, slot, context);
  const wrong = tensorShape(tensor, context).findIndex(
    (extent, d) => extent !== undefined && wanted[d] !== undefined && extent !== wanted[d],
  );
  if (wrong < 0) return tensor;
  const has = tensorShape(tensor, context)[wrong];
  const message =
    `\`${written}\` has ${has} elements along \`${axes[wrong].text}\` (position ${wrong + 1}), ` +
    `and \`${name.text}\` of ${owner} has ${wanted[wrong]} there`;
  report.error('E0312', span, message);
  return undefined;
}

/** Axes of the signature that were found; a missing one has been reported. */
function signatureAxes({ axes = [] }: SlotTensor, { scope }: SlotEntity): readonly (AxisEntity | undefined)[] {
  return axes.map((axis) => {
    const found = lookUp(scope, axis.text);
    return found?.kind === 'axis' ? found : undefined;
  });
}

function signatureExtents(tensor: SlotTensor, slot: SlotEntity, context: ElaborationContext): Shape {
  return signatureAxes(tensor, slot).map((axis) => axis && axisExtent(axis, context));
}

/** A shape as a structure with `rank` axes sees it: the first ones together. Too few axes stay as they are. */
function groupedShape(shape: Shape, rank: number): Shape {
  const together = shape.length - rank + 1;
  if (together < 2 || rank < 1) return shape;
  const first = shape.slice(0, together).reduce((product, n) => product && n && product * n, 1);
  return [first, ...shape.slice(together)];
}

export function shapeForInput(
  tensor: TensorEntity,
  { declared, rank }: { declared: SlotTensor; rank: number },
  slot: SlotEntity,
  context: ElaborationContext,
): GivenShape {
  const shape = groupedShape(tensorShape(tensor, context), rank);
  return { shape, span: undefined, what: `\`${declared.name.text}\` of the slot \`${slot.item.name.text}\`` };
}

/** The tensor that is an input of the structure: the bound one itself, or, where it has fewer axes, a view of it. */
export function tensorForInput(
  tensor: TensorEntity,
  { declared, rank, name }: { declared: SlotTensor; rank: number; name: string },
  slot: SlotEntity,
  instance: StructureInstance,
): TensorEntity {
  const { axes = [] } = declared;
  if (rank >= axes.length || rank < 1) return tensor;
  return view(name, tensor, { target: groupedIndices(axes, rank), read: plainIndices(axes) }, slot, instance);
}

/**
 * The outputs of what fills a slot, under the names of the signature. Where one does not fit it is reported at the line of the
 * structure.
 */
export function exposeOutputs(
  instance: StructureInstance,
  slot: SlotEntity,
  inputs: ReadonlyMap<string, TensorEntity | undefined>,
  context: ElaborationContext,
): ReadonlyMap<string, TensorEntity | undefined> {
  const { report } = context;
  const { item } = slot;
  const exposed = new Map<string, TensorEntity | undefined>();
  const given = new Map<TensorEntity, Span>();
  let complete = !instance.postponed;
  for (const { reference, scope } of instance.outputs) {
    const tensor = resolveTensor(reference, scope, context);
    if (tensor === undefined) complete = false;
    else if (!given.has(actual(tensor))) given.set(actual(tensor), reference.span);
  }
  const found = [...given];
  const fills = `\`${instance.structure.name.text}\` fills the slot \`${item.name.text}\``;
  const help = `the slot is \`${report.textOf({ ...item.span, end: item.outputs.at(-1)?.span.end ?? item.span.end })}\``;
  for (const [position, declared] of item.outputs.entries()) {
    const name = declared.name.text;
    const entry = found[position];
    if (entry === undefined) {
      const { otherwise } = declared;
      const input = otherwise && inputs.get(otherwise.text);
      exposed.set(name, input);
      if (otherwise === undefined && complete) {
        const message = `${fills}, which has ${counted(item.outputs.length, 'output')}, and gives ${found.length}`;
        report.error('E0208', instance.structure.name.span, message, help);
      }
      continue;
    }
    const [tensor, span] = entry;
    exposed.set(name, undefined);
    if (!fitsOutput(tensor, declared, slot, fills, { span, help }, context)) continue;
    const { axes = [] } = declared;
    const rank = rankOf(tensor);
    const indices = { target: plainIndices(axes), read: groupedIndices(axes, rank) };
    exposed.set(name, rank === axes.length ? tensor : view(`${name}~slot`, tensor, indices, slot, instance));
  }
  const extra = found[item.outputs.length];
  if (extra !== undefined) {
    const message = `${fills}, which has ${counted(item.outputs.length, 'output')}, and gives ${found.length}`;
    report.error('E0208', extra[1], message, help);
  }
  return exposed;
}

function counted(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

function fitsOutput(
  tensor: TensorEntity,
  declared: SlotTensor,
  slot: SlotEntity,
  fills: string,
  { span, help }: { span: Span; help: string },
  context: ElaborationContext,
): boolean {
  const { report } = context;
  const { name, axes = [] } = declared;
  const rank = rankOf(tensor);
  const isInteger = tensor.dtype === 'i32';
  if (isInteger !== (declared.dtype === 'i32')) {
    const [is, wants] = isInteger ? ['i32', 'a float'] : ['a float', 'i32'];
    report.error('E0208', span, `${fills}: \`${tensor.localName}\` is ${is}, and \`${name.text}\` ${wants}`, help);
    return false;
  }
  const full = signatureExtents(declared, slot, context);
  const wanted = groupedShape(full, rank);
  const shape = tensorShape(tensor, context);
  const isRankWrong = rank > axes.length || (rank === 0) !== (axes.length === 0);
  const isWrong = shape.some((n, d) => n !== undefined && wanted[d] !== undefined && n !== wanted[d]);
  if (!isRankWrong && !isWrong) return true;
  const shown = (extents: Shape): string => `[${extents.map((n) => n ?? '?').join(', ')}]`;
  const signature = axes.length === 0 ? name.text : `${name.text}[${namesOf(axes)}]`;
  const together = isRankWrong || rank === axes.length ? '' : `, with the first axes together ${shown(wanted)}`;
  const message = `${fills}: \`${tensor.localName}\` has the shape ${shown(shape)}, and \`${signature}\` ${shown(full)}${together}`;
  report.error('E0208', span, message, help);
  return false;
}

// Views: an equation that the compiler writes

function plainIndices(axes: readonly Identifier[]): readonly Expression[] {
  return axes.map((name) => ({ kind: 'name', reference: { name, members: [], span: name.span }, span: name.span }));
}

function groupedIndices(axes: readonly Identifier[], rank: number): readonly Expression[] {
  const together = axes.length - rank + 1;
  if (together < 2) return plainIndices(axes);
  const first = axes.slice(0, together);
  return [{ kind: 'group', axes: first, span: first[0].span }, ...plainIndices(axes.slice(together))];
}

/** `NAME[target] = tensor[read]` over the axes of the signature, as a tensor of the instance. */
function view(
  name: string,
  tensor: TensorEntity,
  { target, read }: { readonly target: readonly Expression[]; readonly read: readonly Expression[] },
  slot: SlotEntity,
  instance: StructureInstance,
): TensorEntity {
  const { span } = slot.item.name;
  // No name of a file, so that it hides none of the axes.
  const source: Identifier = { text: '~viewed', span };
  const scope: Scope = {
    parent: slot.scope,
    instance: slot.scope.instance,
    path: [],
    names: new Map([[source.text, tensor]]),
  };
  const item: EquationItem = {
    kind: 'equation',
    target: { name: { text: name, span }, members: [], span },
    indices: target,
    dtype: undefined,
    operator: '=',
    value: { kind: 'read', reference: { name: source, members: [], span }, indices: read, span },
    doc: undefined,
    span,
  };
  const made = newTensor('computed', name, span, undefined, instance.root);
  made.definitions.push({ item, scope, leftAxes: [], store: [], broken: false });
  instance.tensors.push(made);
  return made;
}
