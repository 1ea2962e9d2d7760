/** Rank of a matrix in float64: elimination with full pivoting, pivots below 1e-9 of the first counting as 0. */
export function matrixRank(rows: readonly (readonly number[])[]): number {
  const left = rows.map((row) => [...row]);
  let first = 0;
  for (let rank = 0; rank < left.length; rank++) {
    let [at, along, most] = [-1, -1, 0];
    for (let i = rank; i < left.length; i++) {
      for (let j = 0; j < left[i].length; j++) {
        if (Math.abs(left[i][j]) > most) [at, along, most] = [i, j, Math.abs(left[i][j])];
      }
    }
    if (rank === 0) first = most;
    if (most === 0 || most <= 1e-9 * first) return rank;
    [left[rank], left[at]] = [left[at], left[rank]];
    const pivot = left[rank];
    for (let i = rank + 1; i < left.length; i++) {
      const factor = left[i][along] / pivot[along];
      left[i] = left[i].map((x, j) => (j === along ? 0 : x - factor * pivot[j]));
    }
  }
  return left.length;
}
