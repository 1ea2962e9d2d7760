/** A tape of bytes read as choices. Past its end every choice is the first, so that a shorter tape is a simpler case. */
export interface Choices {
  /** 0 .. count - 1 */
  below(count: number): number;
  /** low .. high, both included. */
  between(low: number, high: number): number;
  pick<T>(options: readonly T[]): T;
  /** True once in `count`, never past the end of the tape. */
  oneIn(count: number): boolean;
}

export function choicesFrom(tape: Uint8Array): Choices {
  let position = 0;
  const below = (count: number): number => (position < tape.length ? tape[position++] % count : 0);
  return {
    below,
    between: (low, high) => low + below(high - low + 1),
    pick: (options) => options[below(options.length)],
    oneIn: (count) => below(count) === count - 1,
  };
}
