/**
 * What `explain` says of a score whose number of tokens is not bound. An unbound size counts as 1, and so does T in all work and
 * memory; but a score over one token is no matrix any more, while its rank and what a token leaves in the cache do not depend
 * on T at all. So both are read from the same structure at a number of tokens that no rank reaches.
 *
 *   S[b, h, t, u] = q[b, h, t, r] * k[b, h, u, r]   -s D=256 -s H=8, T unbound   →   rank 32, k: 1 KiB a token
 *
 * The trap: D or H may be unbound too, and they do count as 1 here. A size is a number of tokens if a score's rows or columns
 * grow with it, which is found by trying it alone.
 */
import type { Stages } from '../analysis/report.ts';
import { scoresOf } from '../analysis/scores.ts';
import { carriersOf } from '../analysis/tokens.ts';
import { stagesOf } from '../compile.ts';
import { pointsOf } from '../ir/contraction.ts';
import type { Program } from '../ir/program.ts';
import { type AnalyseOptions, analyse } from '../semantics/analyse.ts';
import type { StructureInterface } from '../semantics/interface.ts';

export interface UnboundTokens {
  /** The sizes that number the tokens. */
  readonly names: readonly string[];
  /** How many there are in `program`. */
  readonly tokens: number;
  readonly stages: Stages;
}

/** A power of 2, so that levels divide it, above any rank of interest, and small enough that T² elements can be counted. */
const manyTokens = 4096;

/** Undefined where tokens are bound, or the structure cannot be had with so many (a `check` may forbid it). */
export function unboundTokens(options: AnalyseOptions, { sizes }: StructureInterface): UnboundTokens | undefined {
  const withMany = (names: readonly string[]): Program | undefined =>
    analyse({ ...options, sizes: { ...options.sizes, ...Object.fromEntries(names.map((n) => [n, manyTokens])) } })
      .program;
  const names = sizes.filter((size) => size.unbound && size.value === 1).map(({ name }) => name);
  const tokens = names.filter((name) => {
    const program = withMany([name]);
    return program !== undefined && growsWith(program);
  });
  const written = tokens.length === 0 ? undefined : withMany(tokens);
  return written === undefined ? undefined : { names: tokens, tokens: manyTokens, stages: stagesOf(written) };
}

/** Whether one side of a score has as many positions. */
function growsWith(program: Program): boolean {
  return scoresOf(program, carriersOf(program)).some(({ equation: { axes }, sides: { first, second } }) =>
    [first, second].some((side) => pointsOf(side, axes) === manyTokens),
  );
}
