/**
 * Ticks of a logarithmic axis that are all labelled. Vega's own leaves labels out by a rule of its own where an axis spans less than a
 * decade, which a loss usually does.
 */
import type { Extent } from './chart.ts';

const fewest = 3;

/** At most so many round numbers, ascending: of 1, of 1 and 3, of 1, 2 and 5, or evenly by a round step where it is less than a decade. */
export function logTicks({ min, max }: Extent, most: number): readonly number[] {
  const [low, high] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
  const within = (value: number) => value >= min * (1 - 1e-9) && value <= max * (1 + 1e-9);
  const ofDecades = (digits: readonly number[], every = 1) => {
    const powers = Array.from({ length: high - low + 1 }, (_, i) => low + i).filter((power) => power % every === 0);
    return powers.flatMap((power) => digits.map((digit) => Number(`${digit}e${power}`))).filter(within);
  };
  const candidates = [
    ofDecades([1, 2, 5]),
    ofDecades([1, 3]),
    ...Array.from({ length: high - low + 1 }, (_, i) => ofDecades([1], i + 1)),
  ];
  const decades = candidates.find((ticks) => ticks.length <= most) ?? [];
  const even = evenTicks({ min, max }, most);
  const isNarrow = max / min < 10 && decades.length < Math.max(fewest, even.length);
  return isNarrow ? even : decades;
}

/** Multiples of 1, 2 or 5 of a power of ten. */
function evenTicks({ min, max }: Extent, most: number): readonly number[] {
  const power = Math.floor(Math.log10((max - min) / most));
  const digit = [1, 2, 5].find((each) => (max - min) / (each * 10 ** power) <= most) ?? 10;
  const first = Math.ceil(min / (digit * 10 ** power) - 1e-9);
  const last = Math.floor(max / (digit * 10 ** power) + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(`${(first + i) * digit}e${power}`));
}
