/**
 * What the reference counts of a model (oracle, "Counting"): parameters, and multiply-adds for one token of one forward pass over
 * `tokens` tokens, with no discount for causality. Its FLOPs are these products and 5 for each element that is layer-normed.
 *
 * The trap: embeddings and the language model's head are left out of what it calls non-embedding, read-in and read-out are not; and
 * a series model's position table counts, though nothing reads it.
 */
import { mixers } from '../options/mixers.ts';
import { type ModelOptions, mixerSettings } from '../options/transformer.ts';
import type { ReferenceModel } from './model.ts';

export interface ReferenceCounts {
  readonly linear: number;
  readonly logits: number;
  readonly values: number;
  readonly head: number;
  /** Elements that are layer-normed. */
  readonly normed: number;
}

export interface CountedShape {
  readonly model: ReferenceModel;
  readonly tokens: number;
  /** Of x in regression, of the series, of the tokens in a language model. */
  readonly features: number;
  /** Values that a series model gives at each place; those of one time unless said. */
  readonly outputs?: number;
}

const flopsOfNorm = 5;

/** Undefined for a score or a linear map that the reference does not have. */
export function referenceCounts(
  options: ModelOptions,
  { model, tokens, features, outputs = features }: CountedShape,
): ReferenceCounts | undefined {
  const isReferences = options.structure === null && options.slot === null;
  const mixer = isReferences ? mixers[options.token_mixing_struct ?? ''] : undefined;
  if (mixer === undefined) return undefined;
  const settings = mixerSettings(options);
  const { d_model: width, n_layer: layers } = options;
  const scores = Array.from({ length: layers }, (_, layer) => mixer.counts(settings, tokens, layer));
  const sum = (of: 'linear' | 'logits' | 'normed') => scores.reduce((total, counts) => total + counts[of], 0);
  // Read-in and read-out; the reference's series have one channel, and the next value is all that is read out.
  const ends = { 'in-context': features + 1, 'language-model': 0, series: features + outputs }[model];
  return {
    // Values, attention output, and both maps of the MLP.
    linear: layers * 10 * width ** 2 + sum('linear') + ends * width,
    logits: sum('logits'),
    values: layers * tokens * width,
    head: model === 'language-model' ? features * width : 0,
    normed: (2 * layers + 1) * width + sum('normed'),
  };
}

/** What the reference calls FLOPs of one token, without the head where `isNonEmbedding`. */
export function referenceFlops(counts: ReferenceCounts, isNonEmbedding: boolean): number {
  const { linear, logits, values, head, normed } = counts;
  return linear + logits + values + (isNonEmbedding ? 0 : head) + flopsOfNorm * normed;
}
