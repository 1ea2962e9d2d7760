/** What cached decoding keeps of a text, beside standard attention: keys and values of every token, a model's width of each a layer. */
import { dtypeBytes } from '../../compiler/analysis/cost.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import type { ModelOptions } from '../options/transformer.ts';
import { type DecodedModel, incrementalModel } from './decoder.ts';

export interface KeptTensor {
  readonly tensor: string;
  /** Tokens before the present one. */
  readonly tokens: number;
  readonly bytesPerToken: number;
}

export interface CacheReport {
  readonly kept: readonly KeptTensor[];
  /** For a text as long as the model takes. */
  readonly bytes: number;
  readonly standardBytes: number;
  readonly tokens: number;
}

/** Throws NotIncremental for a score that sees later tokens. */
export function cacheReport(model: DecodedModel, { d_model, n_layer }: ModelOptions): CacheReport {
  const { program, pasts, tokens } = incrementalModel(model);
  const kept = pasts.map(({ of, name, length }): KeptTensor => {
    const past = program.tensors.find((tensor) => tensor.name === name);
    if (past === undefined) throw new Error(`no tensor ${name}`);
    const bytes = elementCount(past.shape.slice(1)) * dtypeBytes[past.dtype];
    return { tensor: of, tokens: length, bytesPerToken: bytes };
  });
  return {
    kept,
    bytes: kept.reduce((sum, { tokens: length, bytesPerToken }) => sum + length * bytesPerToken, 0),
    standardBytes: 2 * n_layer * d_model * dtypeBytes.f32 * (tokens - 1),
    tokens,
  };
}
