/**
 * What the options and the reference's names are in `models/in-context.mlbtc`: sizes to bind, parameter names, and which params
 * start at zero under muP.
 *
 * The trap: a `zeros` initialisation has no fan_in, but muP needs one for the learning rate. So the model file gives those
 * params `normal(fan_in = …)` and the zero stands here.
 */
import type { MixerSettings, ParameterNames } from './mixers.ts';

/** Params, by their last name, that muP starts at zero (attention output, MLP output, read-out). */
export const zeroAtStart: ReadonlySet<string> = new Set(['attn_out', 'mlp_out', 'read_out']);

/** A parameter of the reference and the program's tensors that hold its elements one after the other. */
export interface ParameterMapping {
  readonly reference: string;
  readonly ours: readonly string[];
}

interface Named {
  readonly reference: string;
  readonly ours: string;
}

/** Without the suffix `.weight` or `.bias`; the bias of ours is called NAME_bias. */
const outerParameters: readonly Named[] = [
  { reference: '_read_in', ours: 'read_in' },
  { reference: '_backbone.ln_f', ours: 'ln_f' },
  { reference: '_read_out', ours: 'read_out' },
];

const layerParameters: readonly Named[] = [
  { reference: 'ln_1', ours: 'ln_1' },
  { reference: 'ln_2', ours: 'ln_2' },
  { reference: 'attn.c_proj', ours: 'attn_out' },
  { reference: 'mlp.c_fc', ours: 'mlp_in' },
  { reference: 'mlp.c_proj', ours: 'mlp_out' },
];

/** Where the instance of the score lives in the program: `attn` of a layer, `of` inside the adapter. */
export function scoreParameter(layer: number, name: string): string {
  return `attn.${layer}.of.${name}`;
}

/** Every parameter of the reference's model, with the tensors of ours. `score` names those of the attention's score. */
export function parameterMappings(
  settings: MixerSettings,
  layers: number,
  score: readonly ParameterNames[],
): readonly ParameterMapping[] {
  const outer = outerParameters.flatMap(({ reference, ours }) => withBias(settings, reference, (bias) => ours + bias));
  const mappings: ParameterMapping[] = [...outer, { reference: '_backbone.wpe.weight', ours: ['wpe'] }];
  const ownValues = { reference: 'attn.c_attn_v', ours: 'values' };
  const inLayer = settings.splitQkv ? [...layerParameters, ownValues] : layerParameters;
  for (let layer = 0; layer < layers; layer += 1) {
    const prefix = `_backbone.h.${layer}.`;
    for (const { reference, ours } of inLayer) {
      mappings.push(...withBias(settings, prefix + reference, (bias) => `${ours}${bias}.${layer}`));
    }
    for (const { reference, score: names, model = [] } of score) {
      mappings.push({
        reference: `${prefix}attn.${reference}`,
        ours: [...names.map((name) => scoreParameter(layer, name)), ...model.map((name) => `${name}.${layer}`)],
      });
    }
  }
  return mappings;
}

function withBias(settings: MixerSettings, reference: string, ours: (suffix: string) => string): ParameterMapping[] {
  const weight = { reference: `${reference}.weight`, ours: [ours('')] };
  return settings.bias ? [weight, { reference: `${reference}.bias`, ours: [ours('_bias')] }] : [weight];
}
