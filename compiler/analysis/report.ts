/**
 * Everything that `explain` says about a structure before kernels are known, as plain data that can be written as JSON.
 *
 * The trap: `written` is the program as the semantics lower it, `inlined` the same with definitions inlined and nothing ordered,
 * `optimised` what will run; dense cost, left-to-right cost and real cost each speak of another one.
 */
import type { Program } from '../ir/program.ts';
import type { CachedTensor } from './cache.ts';
import { cachedTensors } from './cache.ts';
import type { OrderStep } from './cost.ts';
import {
  denseMultiplyAdds,
  leftToRightMultiplyAdds,
  multiplyAdds,
  orderSteps,
  paramCount,
  peakBytes,
  tensorBytes,
} from './cost.ts';
import type { ScoreRank } from './rank.ts';
import { matrixRankBound, scoreRankBounds } from './rank.ts';

export interface AnalysisReport {
  readonly params: number;
  readonly multiplyAdds: number;
  readonly denseMultiplyAdds: number;
  readonly leftToRightMultiplyAdds: number;
  /** Of a matrix structure, or the largest of the scores'; null for anything else. */
  readonly rankBound: number | null;
  readonly scoreRanks: readonly ScoreRank[];
  /** For each token of one layer; null where there is no score. */
  readonly cacheBytes: number | null;
  readonly cached: readonly CachedTensor[];
  readonly peakBytes: number;
  /** The largest computed tensor. */
  readonly largest: { readonly tensor: string; readonly bytes: number } | null;
  readonly order: readonly OrderStep[];
}

export interface Stages {
  readonly written: Program;
  readonly inlined: Program;
  readonly optimised: Program;
  /** Where ranks and caches of scores are read; without it, as all the rest, in `optimised`. */
  readonly scored?: Program;
}

export function analyse({ written, inlined, optimised, scored = optimised }: Stages): AnalysisReport {
  const scoreRanks = scoreRankBounds(scored);
  const cached = cachedTensors(scored);
  const ranks = scoreRanks.map((score) => score.rankBound);
  const computed = optimised.tensors
    .filter((tensor) => tensor.source.kind === 'computed')
    .map((tensor) => ({ tensor: tensor.name, bytes: tensorBytes(tensor) }));
  return {
    params: paramCount(written),
    multiplyAdds: multiplyAdds(optimised),
    denseMultiplyAdds: denseMultiplyAdds(written),
    leftToRightMultiplyAdds: leftToRightMultiplyAdds(inlined),
    rankBound: matrixRankBound(inlined) ?? (ranks.length > 0 ? Math.max(...ranks) : null),
    scoreRanks,
    cacheBytes: scoreRanks.length > 0 ? cached.reduce((total, { bytesPerToken }) => total + bytesPerToken, 0) : null,
    cached,
    peakBytes: peakBytes(optimised),
    largest: computed.reduce<AnalysisReport['largest']>((a, b) => (a === null || b.bytes > a.bytes ? b : a), null),
    order: orderSteps(optimised),
  };
}
