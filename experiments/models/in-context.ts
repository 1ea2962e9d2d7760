/**
 * The program of the in-context model for given options: `in-context.mlbtc` with a score in its place, analysed.
 * Every number of a model that is not in the `.mlbtc` files is bound here.
 */

import { UserError } from '../../compiler/command-line/errors.ts';
import { openSource } from '../../compiler/command-line/source.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { modelPath, structurePath } from '../library.ts';
import type { IclOptions } from '../options/icl.ts';
import { mixers, type ParameterNames, type SizeValue } from '../options/mixers.ts';
import { type ParameterMapping, parameterMappings } from '../options/model.ts';
import { mixerSettings } from '../options/transformer.ts';
import { analyseSource } from './analyse.ts';
import { fileSource, resolveFile, resolveScore } from './resolve.ts';
import { type Score, scoreAdapter } from './score.ts';

const modelName = 'in-context';

export interface InContextShape {
  readonly batch: number;
  readonly points: number;
  /** Rows of the position table; 4·n_dims unless said. */
  readonly positions?: number;
}

/** The score that the options name, with the sizes that they and `-s` give it. */
export function scoreOf(options: IclOptions, sizes: Readonly<Record<string, SizeValue>>): Score {
  if (options.structure !== null) return { source: openSource(options.structure).source, sizes };
  const mixer = mixers[options.token_mixing_struct as string];
  const settings = mixerSettings(options);
  return { source: readSource(structurePath(mixer.file(settings))), sizes: { ...mixer.sizes(settings), ...sizes } };
}

function readSource(path: string): Source {
  const source = fileSource(path);
  if (source === undefined) throw new UserError(`${path}: no such file`);
  return source;
}

/** The analysed model. Throws UserError with diagnostics where the score does not fit. */
export function inContextProgram(options: IclOptions, score: Score, shape: InContextShape): Program {
  const { batch, points, positions = 4 * options.n_dims } = shape;
  const scoreShape = { batch, tokens: 2 * points, dModel: options.d_model, heads: options.n_head };
  const adapter = scoreAdapter(score, scoreShape, (source, sizes, inputShapes) =>
    analyseSource(source, { sizes, inputShapes, resolve: resolveFile }),
  );
  return analyseSource(readSource(modelPath(modelName)), {
    sizes: {
      n_dims: options.n_dims,
      points,
      D: options.d_model,
      H: options.n_head,
      layers: options.n_layer,
      positions,
      bias: options.bias ? 1 : 0,
    },
    inputShapes: { xs: [batch, points, options.n_dims], ys: [batch, points] },
    resolve: resolveScore(modelName, adapter, score.source),
  });
}

/** Which tensors of ours hold each parameter of the reference; only for built-in scores. */
export function referenceParameters(options: IclOptions): readonly ParameterMapping[] {
  const settings = mixerSettings(options);
  const mixer = mixers[options.token_mixing_struct ?? ''];
  const names: readonly ParameterNames[] = mixer === undefined ? [] : mixer.parameters(settings);
  return parameterMappings(settings, options.n_layer, names);
}
