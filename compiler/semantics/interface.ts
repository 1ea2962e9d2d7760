/**
 * The outside of a structure: what a caller must give, may bind, and gets. `run`, `explain` and the training commands
 * find here where a structure declares D, H and T without looking into the program.
 */
import type { Dtype, Init } from '../ir/program.ts';
import type { LoweringContext } from './builder.ts';
import type { AxisEntity, SizeValue, StructureInstance } from './model.ts';
import { actual } from './model.ts';
import { resolveTensor } from './references.ts';
import { tensorShape } from './shapes.ts';
import { axisExtent } from './sizes.ts';
import { usageOf } from './usage.ts';

export interface StructureInterface {
  readonly name: string;
  readonly doc: string | undefined;
  readonly sizes: readonly SizeInterface[];
  readonly consts: readonly ConstInterface[];
  readonly inputs: readonly InputInterface[];
  readonly params: readonly ParamInterface[];
  readonly outputs: readonly OutputInterface[];
}

export interface SizeInterface {
  readonly name: string;
  readonly doc: string | undefined;
  /** The default as written; of `size (a, b) = split(D)` it is `split(D)`. */
  readonly default: string | undefined;
  /** Undefined where it has none, or a mistake. */
  readonly value: SizeValue | undefined;
  /** Nothing gives it a value; `explain` counts it as 1. */
  readonly unbound: boolean;
  /** Only ever an axis's size, and declared nowhere. */
  readonly implicit: boolean;
}

export interface ConstInterface {
  readonly name: string;
  readonly doc: string | undefined;
  readonly value: number | undefined;
}

export interface AxisInterface {
  readonly name: string;
  /** The size that alone is the axis's extent: what its shape settles. */
  readonly size: string | undefined;
  readonly extent: number | undefined;
}

export interface InputInterface {
  readonly name: string;
  readonly dtype: Dtype;
  readonly doc: string | undefined;
  readonly axes: readonly AxisInterface[];
  readonly shape: readonly (number | undefined)[];
}

export interface ParamInterface {
  /** With the prefix of its instance: `m.W`. */
  readonly name: string;
  readonly doc: string | undefined;
  readonly axes: readonly AxisInterface[];
  readonly shape: readonly (number | undefined)[];
  readonly init: Init | undefined;
  /** What the user gave as `fan_in`, as a number. */
  readonly fanIn: number | undefined;
  readonly fixed: boolean;
}

export interface OutputInterface {
  readonly name: string;
  readonly doc: string | undefined;
  readonly shape: readonly (number | undefined)[];
}

export function interfaceOf(instance: StructureInstance, context: LoweringContext): StructureInterface {
  const { structure } = instance;
  const { report } = context;
  const root = instance.sizes.filter((size) => size.scope === instance.root);
  return {
    name: structure.name.text,
    doc: structure.doc,
    sizes: [...root.filter((size) => size.role === 'declared'), ...root.filter((size) => size.role === 'implicit')].map(
      (size) => ({
        name: size.name,
        doc: size.doc,
        default: size.expression && report.textOf(size.expression.span),
        value: size.value,
        unbound: size.unbound || (size.state === 'fresh' && size.expression === undefined),
        implicit: size.role === 'implicit',
      }),
    ),
    consts: instance.consts
      .filter(({ scope }) => scope === instance.root)
      .map(({ name, item, value }) => ({ name, doc: item.doc, value })),
    inputs: instance.tensors
      .filter((tensor) => tensor.role === 'input')
      .map((tensor) => ({
        name: tensor.name,
        dtype: tensor.dtype,
        doc: tensor.doc,
        axes: axesOf(tensor.axes, context),
        shape: tensorShape(tensor, context),
      })),
    params: paramsOf(instance, context),
    outputs: outputsOf(instance, context),
  };
}

function axesOf(axes: readonly AxisEntity[], context: LoweringContext): readonly AxisInterface[] {
  return axes.map((axis) => ({ name: axis.name, size: axis.sizeName, extent: axisExtent(axis, context) }));
}

/** Those of the structure in the order of the source, then those of its instances. */
function paramsOf(instance: StructureInstance, context: LoweringContext): readonly ParamInterface[] {
  const params: ParamInterface[] = [];
  for (const tensor of instance.tensors) {
    const { declaration, init } = tensor;
    if (declaration?.kind !== 'param') continue;
    params.push({
      name: tensor.name,
      doc: tensor.doc,
      axes: axesOf(tensor.axes, context),
      shape: tensorShape(tensor, context),
      init,
      fanIn: init?.fanIn,
      fixed: declaration.fixed,
    });
  }
  for (const { instance: inner } of instance.instances)
    if (inner !== undefined) params.push(...paramsOf(inner, context));
  return params;
}

/** A tensor that nothing reads was likely meant, else the last that is defined. */
function outputMeant({ structure, tensors }: StructureInstance): string | undefined {
  const unread = usageOf(structure).unread.find(({ kind }) => kind === 'tensor')?.name.text;
  const meant = unread ?? tensors.findLast(({ role }) => role === 'computed')?.localName;
  return meant === undefined ? undefined : `an output is a tensor: write \`output ${meant}\``;
}

/** The outputs, each once, in the order in which they are named. */
export function outputsOf(instance: StructureInstance, context: LoweringContext): readonly OutputInterface[] {
  const outputs = new Map<string, OutputInterface>();
  for (const { reference, scope, doc } of instance.outputs) {
    const tensor = resolveTensor(reference, scope, context, () => outputMeant(instance));
    if (tensor === undefined) continue;
    const { name } = actual(tensor);
    const known = outputs.get(name);
    if (known === undefined) outputs.set(name, { name, doc: doc ?? tensor.doc, shape: tensorShape(tensor, context) });
  }
  return [...outputs.values()];
}
