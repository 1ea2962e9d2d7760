/**
 * The reference's parameters and ours: the same elements in the same order under other names. One of the reference's may hold
 * several of ours one after the other (`c_attn`: queries, keys, values), or none: the series model has a position table in the
 * reference that nothing reads.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import { mixers } from '../options/mixers.ts';
import { type ModelOptions, mixerSettings } from '../options/transformer.ts';
import type { ReferenceModel } from './model.ts';

/** A parameter of the reference and the program's tensors that hold its elements one after the other. */
export interface ParameterMapping {
  readonly reference: string;
  readonly ours: readonly string[];
  /** How many axes of ours each axis of the reference's is; where nothing is said they are the same. */
  readonly axes?: readonly number[];
}

interface Named {
  readonly reference: string;
  readonly ours: string;
  /** Its matrix, where that is not called as it is itself. */
  readonly weight?: string;
  readonly axes?: readonly number[];
  readonly biasAxes?: readonly number[];
  /** Whether it has a bias where the model has biases. */
  readonly isBiased: boolean;
}

const biased = (reference: string, ours: string): Named => ({ reference, ours, isBiased: true });
/** What fills a slot of a block: the library's dense map. */
const map = (reference: string, ours: string): Named => ({ reference, ours, weight: `${ours}.W`, isBiased: true });
const plain = (reference: string, ours: string): Named => ({ reference, ours, isBiased: false });

interface ModelParameters {
  /** What the reference's names of the blocks begin with. */
  readonly backbone: string;
  readonly around: readonly Named[];
  /** Parameters of the reference that take no part in its model. */
  readonly unused: readonly string[];
}

const regression: Pick<ModelParameters, 'backbone' | 'around'> = {
  backbone: '_backbone.',
  around: [biased('_read_in', 'read_in'), biased('_backbone.ln_f', 'body.ln_f'), biased('_read_out', 'read_out')],
};

/** Without the suffix `.weight` or `.bias`; the bias of ours is called NAME_bias. */
const models: Readonly<Record<ReferenceModel, ModelParameters>> = {
  'in-context': { ...regression, around: [...regression.around, plain('_backbone.wpe', 'wpe')], unused: [] },
  'language-model': {
    backbone: 'transformer.',
    around: [
      plain('transformer.wte', 'wte'),
      plain('transformer.wpe', 'wpe'),
      biased('transformer.ln_f', 'body.ln_f'),
      plain('lm_head', 'lm_head'),
    ],
    unused: [],
  },
  series: { ...regression, unused: ['_backbone.wpe.weight'] },
};

const inBlock: readonly Named[] = [
  biased('ln_1', 'ln_1'),
  biased('ln_2', 'ln_2'),
  map('attn.c_proj', 'attn_out'),
  map('mlp.c_fc', 'mlp_up'),
  map('mlp.c_proj', 'mlp_down'),
];
const ownValues: Named = { ...map('attn.c_attn_v', 'values'), biasAxes: [2] };

/**
 * Every parameter of the reference's model, with the tensors of ours; of the score only where it is a built-in one. Throws UserError where
 * a linear map is not the reference's.
 */
export function referenceParameters(model: ReferenceModel, options: ModelOptions): readonly ParameterMapping[] {
  if (options.slot !== null) {
    throw new UserError(`the reference's maps are dense; --slot ${options.slot.join('|')} has no parameters there`);
  }
  const settings = mixerSettings(options);
  const score = options.structure === null ? mixers[options.token_mixing_struct ?? ''] : undefined;
  const { backbone, around, unused } = models[model];
  const both = (named: Named, from: string, to: string): ParameterMapping[] => {
    const { reference, ours, axes, biasAxes, isBiased } = named;
    const weight = {
      reference: `${from}${reference}.weight`,
      ours: [to + (named.weight ?? ours)],
      ...(axes && { axes }),
    };
    const bias = {
      reference: `${from}${reference}.bias`,
      ours: [`${to}${ours}_bias`],
      ...(biasAxes && { axes: biasAxes }),
    };
    return isBiased && settings.bias ? [weight, bias] : [weight];
  };
  const layers = Array.from({ length: options.n_layer }, (_, layer) => {
    const [from, to] = [`${backbone}h.${layer}.`, `body.block.${layer}.`];
    return [
      ...(settings.splitQkv ? [...inBlock, ownValues] : inBlock).flatMap((named) => both(named, from, to)),
      ...(score?.parameters(settings) ?? []).map(({ reference, score: names, model: outside = [], axes }) => ({
        reference: `${from}attn.${reference}`,
        ours: [...names.map((name) => `${to}attn.${name}`), ...outside.map((name) => to + name)],
        ...(axes && { axes }),
      })),
    ];
  });
  return [
    ...around.flatMap((named) => both(named, '', '')),
    ...layers.flat(),
    ...unused.map((reference) => ({ reference, ours: [] })),
  ];
}

/** What one of the reference's parameters holds: ours, one after the other. */
export function joined({ ours }: ParameterMapping, values: ReadonlyMap<string, Float32Array>): Float32Array {
  const parts = ours.map((name) => {
    const part = values.get(name);
    if (part === undefined) throw new Error(`no values of the param ${name}`);
    return part;
  });
  const whole = new Float32Array(parts.reduce((total, { length }) => total + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** The other way: each of ours from the one of the reference's that holds it. `elements` of each are as many as it has. */
export function parted(
  { reference, ours }: ParameterMapping,
  whole: Float32Array,
  elements: (name: string) => number,
): ReadonlyMap<string, Float32Array> {
  const counts = ours.map(elements);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (ours.length > 0 && total !== whole.length) {
    throw new UserError(`${reference} has ${whole.length} elements, the model ${total}`);
  }
  let offset = 0;
  return new Map(
    ours.map((name, i) => {
      offset += counts[i];
      return [name, whole.slice(offset - counts[i], offset)];
    }),
  );
}

/** The shape of a parameter of the reference, from those of ours, which lie in it along its first axis. */
export function referenceShape({ axes }: ParameterMapping, shapes: readonly (readonly number[])[]): readonly number[] {
  const [first = []] = shapes;
  let taken = 0;
  const grouped = (axes ?? first.map(() => 1)).map((count) => {
    taken += count;
    return first.slice(taken - count, taken).reduce((product, extent) => product * extent, 1);
  });
  return grouped.map((extent, d) => (d === 0 ? extent * shapes.length : extent));
}
