/** Orders that are drawn: the numbers below `count`, each once, as a function of (seed, stream, number of the order) alone. */
import { drawWords } from '../../compiler/ir/philox.ts';

/** Fisher and Yates's shuffle, over all orders alike to 2⁻³² · count. */
export function permutation(seed: number, stream: number, number: number, count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i -= 1) {
    const j = Math.floor((drawWords(seed, stream, number, i)[0] / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
