/** Counts of what a random run met, by section, and the table of them. What is expected and was never met stands there with 0. */
export interface Hits {
  readonly count: (section: string, what: string, times?: number) => void;
  readonly expect: (section: string, names: Iterable<string>) => void;
  readonly missing: () => readonly string[];
  readonly table: () => string;
}

export function newHits(): Hits {
  const sections = new Map<string, Map<string, number>>();
  const count = (section: string, what: string, times = 1): void => {
    const own = sections.get(section) ?? new Map<string, number>();
    sections.set(section, own);
    own.set(what, (own.get(what) ?? 0) + times);
  };
  return {
    count,
    expect: (section, names) => {
      for (const name of names) count(section, name, 0);
    },
    missing: () =>
      [...sections].flatMap(([section, own]) =>
        [...own].filter(([, times]) => times === 0).map(([name]) => `${section}: ${name}`),
      ),
    table: () =>
      [...sections].map(([section, own]) => `${section}\n${columns([...own].map(([w, n]) => `${n} ${w}`))}`).join('\n'),
  };
}

function columns(cells: readonly string[]): string {
  const width = Math.max(...cells.map((cell) => cell.length)) + 2;
  const across = Math.max(1, Math.floor(116 / width));
  const rows = Math.ceil(cells.length / across);
  return Array.from({ length: rows }, (_, r) =>
    `  ${cells
      .slice(r * across, (r + 1) * across)
      .map((cell) => cell.padEnd(width))
      .join('')}`.trimEnd(),
  ).join('\n');
}
