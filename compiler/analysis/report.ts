/**
 * Everything that `explain` says about a structure before kernels are known, as plain data that can be written as JSON.
 *
 * The trap: `written` is the program as the semantics lower it, `inlined` the same with definitions inlined and nothing ordered,
 * `optimised` what will run; dense cost, left-to-right cost and real cost each speak of another one. A rank is bounded in all three,
 * since each bound holds and each may be the narrowest.
 */
import type { Program } from '../ir/program.ts';
import type { CachedTensor } from './cache.ts';
import { cachedTensors } from './cache.ts';
import type { OrderStep } from './cost.ts';
import { leftToRightMultiplyAdds, multiplyAdds, orderSteps, paramCount, peakBytes, tensorBytes } from './cost.ts';
import { denseMultiplyAdds } from './dense.ts';
import { matrixRankBound } from './matrix.ts';
import type { RankBound, ScoreRank } from './rank.ts';
import { scoreRankBounds } from './rank.ts';

export interface AnalysisReport {
  readonly params: number;
  readonly multiplyAdds: number;
  /** Null for what is neither a matrix nor scores. */
  readonly denseMultiplyAdds: number | null;
  readonly leftToRightMultiplyAdds: number;
  /** Of a matrix structure, or the largest of the scores'; null for anything else. */
  readonly rankBound: RankBound | null;
  readonly scoreRanks: readonly ScoreRank[];
  /** For each token of one layer; 'unknown' where a score reads nothing of another token; null where there is no score. */
  readonly cacheBytes: number | 'unknown' | null;
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
}

/** `scored` is where ranks and caches of scores are read, where that is not the program itself. */
export function analyse(stages: Stages, scored: Stages = stages): AnalysisReport {
  const { written, inlined, optimised } = stages;
  const scoreRanks = narrowestRanks(scored);
  // One token has no other: the passes then leave nothing to tell them apart, and what was written must do.
  const cached = [scored.optimised, scored.written].map(cachedTensors).find((all) => all.length > 0) ?? [];
  const matrixRanks = [written, inlined, optimised].flatMap((program) => matrixRankBound(program) ?? []);
  const computed = optimised.tensors
    .filter((tensor) => tensor.source.kind === 'computed')
    .map((tensor) => ({ tensor: tensor.name, bytes: tensorBytes(tensor) }));
  return {
    params: paramCount(written),
    multiplyAdds: multiplyAdds(optimised),
    denseMultiplyAdds: denseMultiplyAdds(written) ?? denseMultiplyAdds(inlined) ?? null,
    leftToRightMultiplyAdds: leftToRightMultiplyAdds(inlined),
    rankBound: matrixRanks.length > 0 ? Math.min(...matrixRanks) : widest(scoreRanks),
    scoreRanks,
    cacheBytes: scoreRanks.length > 0 ? bytesPerToken(cached) : null,
    cached,
    peakBytes: peakBytes(optimised),
    largest: computed.reduce<AnalysisReport['largest']>((a, b) => (a === null || b.bytes > a.bytes ? b : a), null),
    order: orderSteps(optimised),
  };
}

function bytesPerToken(cached: readonly CachedTensor[]): number | 'unknown' {
  return cached.length === 0 ? 'unknown' : cached.reduce((total, tensor) => total + tensor.bytesPerToken, 0);
}

function narrowestRanks({ written, inlined, optimised }: Stages): readonly ScoreRank[] {
  const size = (ranks: readonly ScoreRank[]): number => {
    const bound = widest(ranks);
    return typeof bound === 'number' ? bound : Number.POSITIVE_INFINITY;
  };
  const [best, ...others] = [optimised, inlined, written].map(scoreRankBounds).filter((ranks) => ranks.length > 0);
  return others.reduce((a, b) => (size(b) < size(a) ? b : a), best ?? []);
}

function widest(ranks: readonly ScoreRank[]): RankBound | null {
  const bounds = ranks.map(({ rankBound }) => rankBound);
  if (bounds.length === 0) return null;
  return bounds.includes('unknown') ? 'unknown' : Math.max(...(bounds as readonly number[]));
}
