/** Rows in columns, the same in every report. */

/** Columns as wide as they must be but the last; `right` are flushed right. Names of many letters do not widen a column endlessly. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widest = 48;
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, c) =>
    Math.min(widest, Math.max(...rows.map((row) => [...(row[c] ?? '')].length))),
  );
  return rows.map((row) =>
    `  ${row
      .map((cell, c) => {
        const gap = ' '.repeat(Math.max(0, widths[c] - [...cell].length));
        return right.includes(c) ? gap + cell : cell + gap;
      })
      .join('  ')}`.trimEnd(),
  );
}
