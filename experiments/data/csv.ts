/**
 * Comma-separated values as RFC 4180 has them: records of cells, each with the line it begins on, so that whoever finds a cell wrong can
 * say where. A cell in quotes may hold commas, line ends and doubled quotes; lines end as they like.
 *
 *   date,"a, b"⏎ 2020-01-01,"say ""hi"""⏎   →   { line: 1, cells: [date, a, b] }, { line: 2, cells: [2020-01-01, say "hi"] }
 *
 * Strict where a lenient reader would shift cells without a word: a quote inside a bare cell, or text after a closing one.
 */

export interface CsvRecord {
  /** Of its first character, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** What is wrong, and on which line. */
export class CsvMistake extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** A bare cell, or one in quotes, and what ends it: a comma, a line's end, the text's. */
const cellPattern = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r\n|\n|\r|$)/y;

/** Records one after the other; empty lines are none. Throws CsvMistake. */
export function* readCsv(text: string): Generator<CsvRecord> {
  let [line, begins] = [1, 1];
  let cells: string[] = [];
  cellPattern.lastIndex = 0;
  for (let at = 0; at < text.length || cells.length > 0; ) {
    cellPattern.lastIndex = at;
    const match = cellPattern.exec(text);
    if (match === null) throw new CsvMistake(line, mistakeAt(text, at));
    const [whole, quoted, bare, end] = match;
    at += whole.length;
    line += (quoted ?? '').match(/\r\n|\n|\r/g)?.length ?? 0;
    cells.push(quoted?.replaceAll('""', '"') ?? bare);
    if (end === ',') continue;
    const isEmpty = cells.length === 1 && quoted === undefined && bare === '';
    if (!isEmpty) yield { line: begins, cells };
    line += 1;
    begins = line;
    cells = [];
  }
}

function mistakeAt(text: string, at: number): string {
  if (text[at] !== '"') return 'a quote inside a cell; a cell with quotes in it stands in quotes, and they are doubled';
  return /^"[^"]*(?:""[^"]*)*$/.test(text.slice(at))
    ? 'a quote that nothing closes'
    : 'text after the quote that closes a cell';
}
