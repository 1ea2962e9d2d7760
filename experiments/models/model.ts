/**
 * The models as programs: `in-context.mlbtc`, `language-model.mlbtc`, `series.mlbtc` and `vision-transformer.mlbtc`, which share
 * their blocks (`transformer.mlbtc`), each analysed with all of its sizes bound and a score in its slot. Every number of a model that is not in
 * the `.mlbtc` files is bound here; what a training or an evaluation needs of a model are the names of its tensors:
 *
 *   in context       xs[n, p, j], ys[n, p]                    →  pred[n, p], loss, pointwise[p]
 *   language model   tokens[n, t], targets[n, t], both i32    →  logits[n, t, v], loss    (a target of -1 is not asked for)
 *   series           x[n, t, c], y[n, t, (a c)]               →  pred[n, t, (a c)], loss, forecast[n, (a c)]    (a: times ahead)
 *   vision           image[n, c, y, x], label[n] (i32)        →  logits[n, v], loss
 *
 * Params are called wte, wpe, read_in, read_out, lm_head, body.ln_f, body.block.LAYER.values and so on, those of the score
 * body.block.LAYER.attn.NAME; `parameters.ts` has the reference's name of each.
 */
import type { Program } from '../../compiler/ir/program.ts';
import { staged } from '../../runtime/stages.ts';
import type { ImageShape } from '../data/image-data.ts';
import { modelPath } from '../library.ts';
import type { SizeValue } from '../options/mixers.ts';
import type { ModelOptions } from '../options/transformer.ts';
import type { AnswerKind } from '../tasks/baselines.ts';
import { analyseSource } from './analyse.ts';
import { readSource, resolveFile } from './resolve.ts';
import { type Score, scoreSlot } from './score.ts';

export type ModelName = 'in-context' | 'language-model' | 'series' | 'vision-transformer';
/** Those that the reference has too. */
export type ReferenceModel = Exclude<ModelName, 'vision-transformer'>;

interface Bound {
  readonly sizes: Readonly<Record<string, SizeValue>>;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
}

/** Throws UserError with diagnostics where the score does not fit. */
function modelProgram(name: ModelName, options: ModelOptions, score: Score, { sizes, inputShapes }: Bound): Program {
  const ofScore = Object.entries(score.sizes).map(([size, value]) => [`${scoreSlot}.${size}`, value] as const);
  const settings = {
    sizes: {
      D: options.d_model,
      H: options.n_head,
      layers: options.n_layer,
      bias: options.bias ? 1 : 0,
      ...sizes,
      ...Object.fromEntries(ofScore),
      ...score.maps.sizes,
    },
    slots: { [scoreSlot]: score.source, ...Object.fromEntries(score.maps.slots) },
    inputShapes,
    resolve: (path: string, fromFile: string) => score.resolve(path, fromFile) ?? resolveFile(path, fromFile),
  };
  return staged(
    'read and check',
    () => analyseSource(readSource(modelPath(name)), settings),
    ({ tensors }) => `${name}, ${tensors.length} tensors`,
  );
}

export interface InContextShape {
  readonly batch: number;
  readonly points: number;
  /** Rows of the position table; 4·n_dims unless said. */
  readonly positions?: number;
  /** Numbers unless said: signs have another loss and another error. */
  readonly answers?: AnswerKind;
}

/** Throws UserError with diagnostics where the score does not fit. */
export function inContextProgram(
  options: ModelOptions & { readonly n_dims: number },
  score: Score,
  { batch, points, positions = 4 * options.n_dims, answers = 'numbers' }: InContextShape,
): Program {
  const { n_dims } = options;
  return modelProgram('in-context', options, score, {
    sizes: { n_dims, points, block_size: positions, signs: answers === 'signs' ? 1 : 0 },
    inputShapes: { xs: [batch, points, n_dims], ys: [batch, points] },
  });
}

export interface LanguageModelShape {
  readonly batch: number;
  readonly tokens: number;
  readonly vocabulary: number;
  /** Rows of the position table: the most tokens that the model takes. */
  readonly positions: number;
}

/** Throws UserError with diagnostics where the score does not fit. */
export function languageModelProgram(
  options: ModelOptions,
  score: Score,
  { batch, tokens, vocabulary, positions }: LanguageModelShape,
): Program {
  return modelProgram('language-model', options, score, {
    sizes: { V: vocabulary, block_size: positions },
    inputShapes: { tokens: [batch, tokens], targets: [batch, tokens] },
  });
}

export interface SeriesShape {
  readonly batch: number;
  readonly tokens: number;
  readonly channels: number;
  /** Times ahead that are forecast at each. */
  readonly horizon: number;
  /** The most tokens that the model takes. */
  readonly positions: number;
}

/** Throws UserError with diagnostics where the score does not fit. */
export function seriesProgram(
  options: ModelOptions,
  score: Score,
  { batch, tokens, channels, horizon, positions }: SeriesShape,
): Program {
  return modelProgram('series', options, score, {
    sizes: { channels, horizon, block_size: positions },
    inputShapes: { x: [batch, tokens, channels], y: [batch, tokens, horizon * channels] },
  });
}

export interface VisionShape extends ImageShape {
  readonly batch: number;
  readonly classes: number;
}

/** What a vision transformer's options say beside those of every model. */
export interface VisionOptions extends ModelOptions {
  readonly patch_size: number;
  readonly pool: 'class' | 'mean';
}

/** Throws UserError with diagnostics where the score does not fit. */
export function visionProgram(options: VisionOptions, score: Score, shape: VisionShape): Program {
  const { batch, channels, height, width, classes } = shape;
  return modelProgram('vision-transformer', options, score, {
    sizes: {
      ...{ channels, height, width, classes, p: options.patch_size },
      class_token: classTokens(options),
      causal: options.causal ? 1 : 0,
    },
    inputShapes: { image: [batch, channels, height, width], label: [batch] },
  });
}

/** Tokens of an image: its patches, and the class token where there is one. */
export function imageTokens(
  options: Pick<VisionOptions, 'patch_size' | 'pool'>,
  { height, width }: ImageShape,
): number {
  return (height / options.patch_size) * (width / options.patch_size) + classTokens(options);
}

function classTokens({ pool }: Pick<VisionOptions, 'pool'>): number {
  return pool === 'class' ? 1 : 0;
}
