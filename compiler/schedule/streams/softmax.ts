/**
 * What may be summed up in the very walk that finds a row's maximum: sums of `exp(S - shift)`, where the shift moves with the maximum
 * and what was added up is rescaled; a logarithm that is known only at the end is a factor of the finished sum.
 *
 *   y[t] = Σ_u exp(S[t, u] - shift[t] - log[t]) · v[u]   →   y[t] = exp(-log[t]) · Σ_u exp(S[t, u] - shift[t]) · v[u]
 *
 * The traps: only where the whole value has that exponential as a factor. A sum of two softmaxes is made by a kernel of its own, once
 * both maxima are known. Only where shift and logarithm are the row's own: of other rows (`exp(S[t, u] - shift[u])`) the kernel that
 * makes them knows nothing. And only after a shift made from the maximum (`passes/for-kernels/log-sum-exp.ts`): the maximum itself, which a
 * file may subtract too, keeps no value from before it moved.
 */
import { asAxis } from '../../ir/affine.ts';
import { equationsOf, readTensors, reducedAxes } from '../../ir/equation.ts';
import { load, loads, negate, negatedLoad, product, sum, unary } from '../../ir/expression.ts';
import type { Equation, Expression, Load, Tensor } from '../../ir/program.ts';
import type { Class, Result } from './space.ts';

/** What a kernel has made of its rows so far, by tensor. */
export interface RowFacts {
  /** Extremes, and what depends on them alone: moves while the walk goes on. */
  readonly moving: ReadonlySet<string>;
  readonly isExtreme: (name: string) => boolean;
  /** Known at the end of the walk. */
  readonly final: ReadonlySet<string>;
  /** The classes of the dimensions of such a tensor. */
  readonly dimensions: (name: string) => readonly (Class | undefined)[];
}

export interface Followed {
  readonly equations: readonly Equation[];
  readonly follows: readonly string[];
  /** Of the logarithms: a factor of the finished rows, written over the equations' own axes. */
  readonly finish: Expression | undefined;
  /** Hidden tensors that the kernel makes without their logarithms. */
  readonly tiles: ReadonlyMap<string, Equation>;
}

interface Exponential {
  readonly shifts: readonly Load[];
  readonly logs: readonly Load[];
  readonly without: Expression;
}

/** A result's equations as the same walk can sum them; undefined where it cannot. */
export function followRows(
  { equations, classes }: Pick<Result, 'equations' | 'classes'>,
  facts: RowFacts,
  hidden: ReadonlySet<string>,
  tensors: ReadonlyMap<string, Tensor>,
): Followed | undefined {
  const isOwn = (name: string): boolean => facts.moving.has(name) || facts.final.has(name);
  const touches = (names: readonly string[]): boolean =>
    names.some(
      (name) =>
        isOwn(name) || (hidden.has(name) && equationsOf(tensors.get(name)!).some((e) => touches(readTensors(e)))),
    );
  const tiles = new Map<string, Equation>();
  const all: { readonly equation: Equation; readonly shifts: readonly string[]; readonly logs: readonly Load[] }[] = [];
  for (const [i, equation] of equations.entries()) {
    if (equation.reducer !== 'sum') return undefined;
    const isOfRow = (l: Load): boolean => readsOwnRow(l, classes[i], facts.dimensions(l.tensor));
    const factors = equation.value.kind === 'product' ? equation.value.factors : [equation.value];
    const shifts: Load[] = [];
    const logs: Load[] = [];
    const kept: Expression[] = [];
    for (const factor of factors) {
      if (!touches(loads(factor).map((l) => l.tensor))) {
        kept.push(factor);
        continue;
      }
      const tile = factor.kind === 'load' ? tensors.get(factor.tensor) : undefined;
      if (factor.kind === 'load' && tile !== undefined && hidden.has(factor.tensor)) {
        const [only, ...others] = equationsOf(tile);
        if (only === undefined || others.length > 0 || reducedAxes(only).length > 0) return undefined;
        const found = exponential(only.value, facts, touches);
        if (found === undefined) return undefined;
        // What a tile reads of the rows must be said in the axes of whoever reads the tile.
        const [movedShifts, movedLogs] = [found.shifts, found.logs].map((read) =>
          read.map((l) => atReader(l, only, factor)),
        );
        if ([...movedShifts, ...movedLogs].includes(undefined)) return undefined;
        tiles.set(factor.tensor, { ...only, value: found.without });
        shifts.push(...(movedShifts as Load[]));
        logs.push(...(movedLogs as Load[]));
        kept.push(factor);
        continue;
      }
      const found = exponential(factor, facts, touches);
      if (found === undefined) return undefined;
      shifts.push(...found.shifts);
      logs.push(...found.logs);
      kept.push(found.without);
    }
    const follows = shifts.map((l) => l.tensor).sort();
    if (follows.length === 0 || new Set(follows).size !== follows.length) return undefined;
    if (follows.some(facts.isExtreme) || ![...shifts, ...logs].every(isOfRow)) return undefined;
    all.push({ equation: { ...equation, value: product(kept) }, shifts: follows, logs });
  }
  const [first, ...others] = all;
  const names = (logs: readonly Load[]): string => String(logs.map((l) => l.tensor).sort());
  const agree = others.every((o) => String(o.shifts) === String(first.shifts) && names(o.logs) === names(first.logs));
  if (!agree) return undefined;
  return {
    equations: all.map(({ equation }) => equation),
    follows: first.shifts,
    finish: first.logs.length === 0 ? undefined : unary('exp', sum(first.logs.map(negate))),
    tiles,
  };
}

/** `exp(rest - shift - log)` taken apart. */
function exponential(
  e: Expression,
  { moving, final }: Pick<RowFacts, 'moving' | 'final'>,
  touches: (names: readonly string[]) => boolean,
): Exponential | undefined {
  if (e.kind !== 'unary' || e.operator !== 'exp') return undefined;
  const terms = e.operand.kind === 'sum' ? e.operand.terms : [e.operand];
  const shifts: Load[] = [];
  const logs: Load[] = [];
  const kept: Expression[] = [];
  for (const term of terms) {
    const subtracted = negatedLoad(term);
    if (subtracted !== undefined && moving.has(subtracted.tensor)) {
      shifts.push(subtracted);
      kept.push(term);
    } else if (subtracted !== undefined && final.has(subtracted.tensor)) logs.push(subtracted);
    else if (touches(loads(term).map((l) => l.tensor))) return undefined;
    else kept.push(term);
  }
  return shifts.length === 0 ? undefined : { shifts, logs, without: unary('exp', sum(kept)) };
}

/** Whether a tensor of rows is read at the row, and the batch, that is being made. */
function readsOwnRow(
  { indices }: Load,
  classes: ReadonlyMap<number, Class>,
  dimensions: readonly (Class | undefined)[],
): boolean {
  return indices.every((index, d) => {
    const axis = index.kind === 'affine' ? asAxis(index) : undefined;
    return dimensions[d] === undefined || (axis !== undefined && classes.get(axis) === dimensions[d]);
  });
}

/** A load that stands in a tile's equation, as whoever reads the tile at `at` would write it. */
function atReader(l: Load, tile: Equation, at: Load): Load | undefined {
  const indices = l.indices.map((index) => {
    if (index.kind !== 'affine') return undefined;
    if (index.terms.length === 0) return index;
    const [term, ...others] = index.terms;
    if (others.length > 0 || index.constant !== 0 || term.coefficient !== 1) return undefined;
    const d = tile.store.findIndex(
      (s) => s.kind === 'affine' && s.constant === 0 && s.terms.length === 1 && s.terms[0].axis === term.axis,
    );
    return d < 0 ? undefined : at.indices[d];
  });
  return indices.includes(undefined) ? undefined : load(l.tensor, indices as Load['indices']);
}
