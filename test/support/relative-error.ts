/** How far two arrays are apart: relative L2 error, the absolute one where all of `want` is 0, ∞ where something is not finite. */
export function relativeError(have: ArrayLike<number>, want: ArrayLike<number>): number {
  let [apart, size] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    apart += (have[i] - want[i]) ** 2;
    size += want[i] ** 2;
  }
  if (!Number.isFinite(apart)) return Number.POSITIVE_INFINITY;
  return size === 0 ? Math.sqrt(apart) : Math.sqrt(apart / size);
}
