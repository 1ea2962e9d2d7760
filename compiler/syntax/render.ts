/**
 * Diagnostics as people read them, and as `check --json` lists them:
 *
 *   btt.mlbtc:9:10: error E0121: an operator is missing before `R[γ, δ]`
 *     9 |   W[(α β), (γ δ)] = L[β, α] R[γ, δ]
 *       |                             ^^^^^^^
 *     help: for a product write `* R[γ, δ]`
 *
 * The trap is the caret: it stands under the right character only if tabs, wide and combining characters are counted as a
 * terminal shows them. And a terminal must not be commanded by a source file: control characters are shown, not sent.
 */
import type { Diagnostic, Source } from './diagnostic.ts';
import { lineIndex, lineStarts, lineText, positionOf } from './position.ts';

/** Terminal columns of the source line that are shown; a longer line is clipped around the caret. */
const shownColumns = 100;
const tab = '  ';

/** East Asian wide and emoji blocks: two columns a character. */
const wide =
  /[\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uA960-\uA97F\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1F64F}\u{1F680}-\u{1F6FF}\u{1F900}-\u{1F9FF}\u{20000}-\u{3FFFD}]/u;
const zeroWidth = /\p{Mn}|\p{Me}|[\u200B-\u200D\uFEFF]/u;
const control = /[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu;

export interface JsonDiagnostic {
  readonly code: string;
  readonly severity: 'error' | 'warning';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
  readonly help: string | null;
}

export function toJson(diagnostic: Diagnostic, sources: readonly Source[]): JsonDiagnostic {
  const { code, severity, span, message, help } = diagnostic;
  const source = sources.find((s) => s.file === span.file);
  const { line, column } = source === undefined ? { line: 1, column: 1 } : positionOf(source, span.start);
  return { code, severity, file: span.file, line, column, message, help: help ?? null };
}

/** The lines of one diagnostic, without a newline at the end. `sources` holds the text that it is about. */
export function renderDiagnostic(diagnostic: Diagnostic, sources: readonly Source[]): string {
  const { code, severity, span } = diagnostic;
  const source = sources.find((s) => s.file === span.file);
  const { line, column } = toJson(diagnostic, sources);
  const place = source === undefined ? span.file : `${span.file}:${line}:${column}`;
  const lines = [`${visible(place)}: ${severity} ${code}: ${visible(diagnostic.message)}`];
  if (source !== undefined) {
    const number = String(line);
    const [shown, underline] = excerpt(source, span.start, span.end);
    lines.push(`  ${number} | ${shown}`, `  ${' '.repeat(number.length)} | ${underline}`);
  }
  if (diagnostic.help !== undefined) lines.push(`  help: ${visible(diagnostic.help)}`);
  return lines.join('\n');
}

/** All of them, and how many there are. Empty where there are none. */
export function renderDiagnostics(diagnostics: readonly Diagnostic[], sources: readonly Source[]): string {
  if (diagnostics.length === 0) return '';
  const errors = diagnostics.filter((d) => d.severity === 'error').length;
  const warnings = diagnostics.length - errors;
  const counts = [
    ...(errors > 0 ? [`${errors} error${errors === 1 ? '' : 's'}`] : []),
    ...(warnings > 0 ? [`${warnings} warning${warnings === 1 ? '' : 's'}`] : []),
  ];
  return `${[...diagnostics.map((d) => renderDiagnostic(d, sources)), counts.join(', ')].join('\n\n')}\n`;
}

function visible(text: string): string {
  return text.replace(control, '\uFFFD');
}

function columnsOf(character: string): number {
  if (zeroWidth.test(character)) return 0;
  return wide.test(character) ? 2 : 1;
}

/** The source line, clipped, and the carets under it. A span over several lines is underlined to the end of its first. */
function excerpt(source: Source, start: number, end: number): [shown: string, underline: string] {
  const index = lineIndex(source, start);
  const line = lineText(source, index);
  // Of a line of a million characters only the neighbourhood is looked at.
  const inLine = start - lineStarts(source)[index];
  const windowStart = Math.max(0, inLine - 2 * shownColumns);
  const lineStart = lineStarts(source)[index] + windowStart;
  const text = line.slice(windowStart, inLine + 2 * shownColumns);

  const cells: { text: string; columns: number; marked: boolean }[] = [];
  let offset = lineStart;
  for (const character of text) {
    const shown = character === '\t' ? tab : visible(character);
    const columns = character === '\t' ? tab.length : columnsOf(shown);
    cells.push({ text: shown, columns, marked: offset >= start && offset < end });
    offset += character.length;
  }
  let first = cells.findIndex((cell) => cell.marked);
  if (first < 0) {
    // A place without extent, such as the end of a line: one caret at what stands there.
    first = [...text.slice(0, start - lineStart)].length;
    if (first >= cells.length) cells.push({ text: ' ', columns: 1, marked: true });
    else cells[first].marked = true;
  }

  const total = cells.reduce((sum, cell) => sum + cell.columns, 0);
  let from = 0;
  let to = cells.length;
  if (total > shownColumns) {
    from = Math.max(0, Math.min(first - shownColumns / 4, cells.length - shownColumns / 2));
    let columns = 0;
    for (to = from; to < cells.length && columns + cells[to].columns <= shownColumns; to++)
      columns += cells[to].columns;
  }
  const slice = cells.slice(from, to);
  const before = windowStart + from > 0 ? '…' : '';
  const after = to < cells.length || windowStart + text.length < line.length ? '…' : '';
  const shown = before + slice.map((cell) => cell.text).join('') + after;
  const carets = slice.map((cell) => (cell.marked ? '^' : ' ').repeat(cell.columns)).join('');
  return [shown.trimEnd(), (' '.repeat(before.length) + carets).trimEnd()];
}
