/**
 * The least cut of a summed product between the axes of rows and those of columns, which no rank exceeds.
 *
 *   W[8·α + β, 8·γ + δ] = L[β, α, γ] R[γ, δ, β]     rows {α, β} | L | R | columns {γ, δ}
 *   cut between L and R: axes β and γ pass, so rank W ≤ |β|·|γ|; no cut is dearer than all rows or all columns
 *
 * Every operand stands on the row side or the column side; an axis that both sides speak of is cut. A condition is an operand as
 * well, of zeros and ones. Axes that index a batch are fixed and not cut.
 */
import type { AxisSet } from '../ir/contraction.ts';
import { pointsOf } from '../ir/contraction.ts';
import type { Axis } from '../ir/program.ts';

/** Operands beyond which only the two trivial cuts and the cuts along the written order are tried. */
const exhaustiveLimit = 12;

export interface Cut {
  readonly axes: readonly Axis[];
  readonly rows: AxisSet;
  readonly columns: AxisSet;
  readonly fixed: AxisSet;
  readonly operands: readonly AxisSet[];
}

export function leastCut({ axes, rows, columns, fixed, operands }: Cut): number {
  const sets = operands.filter((set) => set !== 0n);
  const subsets: number = sets.length <= exhaustiveLimit ? 2 ** sets.length : 0;
  const cost = (set: AxisSet): number => pointsOf(set & ~fixed, axes);
  let least = Math.min(cost(rows), cost(columns));
  const consider = (onRowSide: (operand: number) => boolean): void => {
    let [left, right] = [rows, columns];
    sets.forEach((set, operand) => {
      if (onRowSide(operand)) left |= set;
      else right |= set;
    });
    least = Math.min(least, cost(left & right));
  };
  for (let subset = 0; subset < subsets; subset++) consider((operand) => ((subset >> operand) & 1) === 1);
  for (let cut = 0; subsets === 0 && cut <= sets.length; cut++) {
    consider((operand) => operand < cut);
    consider((operand) => operand >= cut);
  }
  return least;
}
