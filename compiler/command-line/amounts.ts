/** Amounts in words, the same in every message, and words read as amounts. */

/** `1 row`, `3 rows`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** `1.5 GiB`, `12 KiB`. */
export function bytesText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  if (value === 1 && power === 0) return '1 byte';
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

const unitBytes: Readonly<Record<string, number>> = Object.fromEntries(
  ['', 'k', 'm', 'g', 't'].flatMap((letter, power) => [
    [`${letter}b`, 1000 ** power],
    [letter === '' ? '' : `${letter}ib`, 1024 ** power],
  ]),
);

/** `50%` is 0.5; undefined for what is no share of a whole, or none of it. */
export function shareOf(words: string): number | undefined {
  const [, number] = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(words) ?? [];
  const share = Number(number) / 100;
  return share > 0 && share <= 1 ? share : undefined;
}

/** `4GiB`, `500 MB`, `1.5GiB`, `65536`; undefined for what is none. */
export function bytesOf(words: string): number | undefined {
  const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(words) ?? [];
  const each = unit === undefined ? undefined : unitBytes[unit.toLowerCase()];
  return each === undefined || Number(number) === 0 ? undefined : Math.floor(Number(number) * each);
}
