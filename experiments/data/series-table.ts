/**
 * A table of measurements at even steps of time, as the ETT data sets are published: a header, a column of dates, columns of numbers.
 *
 *   date,HUFL,HULL,…,OT
 *   2016-07-01 00:00:00,5.827,2.009,…,30.531
 *
 * Whatever would make a forecast meaningless is refused with its line: a cell that is no number, a row that is short, a time that is
 * missing or comes twice. Which step the times have is what most of them say, so that the message points at the odd one.
 *
 * The trap: `Number('')` is 0, and so is a cell of spaces; a cell is a number only if it is written as one.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { counted } from '../../compiler/command-line/amounts.ts';
import { atPath, UserError } from '../../compiler/command-line/errors.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { CsvMistake, type CsvRecord, readCsv } from './csv.ts';

export interface SeriesTable {
  /** For titles: the file's name, or the series'. */
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: number;
  /** Row by row. */
  readonly values: Float64Array;
  /** Where a row stands, for messages: `line 7`. */
  readonly place: (row: number) => string;
  /**
   * Where it is known how the series came about: the variance that is left of a column's value `ahead` rows after all that is known,
   * below which no forecast gets.
   */
  readonly leastVariance?: (column: number, ahead: number) => number;
}

export interface TableSettings {
  /** Of the numbers, in this order; what the others hold does not matter. Undefined: all. */
  readonly columns?: readonly string[];
  /** Times are taken as even whatever the dates say, which may then be anything. */
  readonly ignoresDates?: boolean;
}

/** Throws UserError naming file and line; system errors where it cannot be read. */
export function readSeriesTable(path: string, settings: TableSettings = {}): SeriesTable {
  return parseSeriesTable(path, textOf(path).replace(/^\uFEFF/, ''), settings);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw atPath(error, path);
  }
}

export function parseSeriesTable(path: string, text: string, settings: TableSettings = {}): SeriesTable {
  const fail = (line: number, problem: string) => new UserError(`${path}:${line}: ${problem}`);
  const [header, ...records] = recordsOf(path, text);
  if (header === undefined)
    throw new UserError(`${path}: is empty; a header is expected, \`date,NAME,NAME\`, and rows below it`);
  const names = namesOf(header, fail);
  if (records.length === 0) throw new UserError(`${path}: has a header and no rows below it`);
  for (const { line, cells } of records) {
    if (cells.length === names.length) continue;
    throw fail(line, `${counted(cells.length, 'cell')}, and the header has ${names.length}`);
  }
  if (settings.ignoresDates !== true) checkTimes(records, names[0], fail);
  const columns = names.slice(1);
  const wanted = settings.columns ?? columns;
  const chosen = placesOf(wanted, columns, path);
  const values = new Float64Array(records.length * chosen.length);
  for (const [row, { line, cells }] of records.entries()) {
    for (const [c, at] of chosen.entries()) {
      values[row * chosen.length + c] = numberOf(cells[at + 1], (problem) => fail(line, `${columns[at]} ${problem}`));
    }
  }
  return {
    name: basename(path).replace(/\.csv$/i, ''),
    columns: wanted,
    rows: records.length,
    values,
    place: (row) => `line ${records[row].line}`,
  };
}

function recordsOf(path: string, text: string): readonly CsvRecord[] {
  try {
    return [...readCsv(text)];
  } catch (error) {
    if (!(error instanceof CsvMistake)) throw error;
    throw new UserError(`${path}:${error.line}: ${error.message}`);
  }
}

type Fail = (line: number, problem: string) => UserError;

function namesOf({ line, cells }: CsvRecord, fail: Fail): readonly string[] {
  const names = cells.map((cell) => cell.trim());
  if (names.length < 2) {
    const other = /[;\t]/.exec(names[0])?.[0];
    const separated = other === undefined ? '' : `; cells are parted by commas, not by ${other === ';' ? ';' : 'tabs'}`;
    throw fail(line, `one column; a date and one or more columns of numbers are expected${separated}`);
  }
  if (names.some((name) => numberPattern.test(name))) {
    throw fail(
      line,
      `${names.find((name) => numberPattern.test(name))} as the name of a column; the first line is the header, \`date,NAME,NAME\``,
    );
  }
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw fail(line, `two columns are called '${twice}'`);
  return names;
}

/** Some of the columns, in the order in which they are named. Throws UserError for one that there is not. */
export function onlyColumns(table: SeriesTable, wanted: readonly string[]): SeriesTable {
  const { name, columns, values, leastVariance } = table;
  const chosen = placesOf(wanted, columns, name);
  const [from, to] = [columns.length, chosen.length];
  return {
    ...table,
    columns: wanted,
    values: Float64Array.from(
      { length: table.rows * to },
      (_, i) => values[Math.floor(i / to) * from + chosen[i % to]],
    ),
    ...(leastVariance && { leastVariance: (column, ahead) => leastVariance(chosen[column], ahead) }),
  };
}

function placesOf(wanted: readonly string[], columns: readonly string[], table: string): readonly number[] {
  return wanted.map((column, i) => {
    if (wanted.indexOf(column) < i) throw new UserError(`--columns names ${column} twice`);
    const at = columns.indexOf(column);
    if (at >= 0) return at;
    const near = closest(column, columns);
    const help = near === undefined ? `there are ${columns.join(', ')}` : `did you mean ${near}?`;
    throw new UserError(`${table} has no column of numbers '${column}'; ${help}`);
  });
}

const numberPattern = /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i;

function numberOf(cell: string, fail: (problem: string) => UserError): number {
  if (numberPattern.test(cell) && Number.isFinite(Number(cell))) return Number(cell);
  if (cell.trim() === '') throw fail('is empty; every time needs a number, so fill the hole first');
  throw fail(`is '${cell.trim().slice(0, 40)}', which is no number`);
}

const datePattern =
  /^\s*(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?\s*(?:Z|UTC)?\s*$/i;

/** In ms; undefined where it is no date. Clocks that are put forward and back are not known: all days have 24 hours. */
export function readDate(cell: string): number | undefined {
  const match = datePattern.exec(cell);
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0));
  const time = Date.UTC(year, month - 1, day, hour, minute, second) + 1000 * Number(match[7] ?? 0);
  const isDay = month >= 1 && month <= 12 && new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
  const isTime = hour < 24 && minute < 60 && second < 60;
  return isDay && isTime ? time : undefined;
}

/** Every time a step after the one before. */
function checkTimes(records: readonly CsvRecord[], column: string, fail: Fail): void {
  const anyway = '--ignore_dates takes the rows as they stand';
  const times = records.map(({ line, cells }) => {
    const time = readDate(cells[0]);
    if (time !== undefined) return time;
    const found = cells[0].trim() === '' ? 'empty' : `'${cells[0].trim().slice(0, 40)}'`;
    throw fail(line, `${column} is ${found}, and a date such as 2016-07-01 00:00:00 is expected; ${anyway}`);
  });
  const steps = times.slice(1).map((time, i) => time - times[i]);
  const step = commonest(steps.filter((each) => each > 0));
  for (const [i, each] of steps.entries()) {
    if (each === step) continue;
    const [before, now] = [records[i].cells[0].trim(), records[i + 1].cells[0].trim()];
    const { line } = records[i + 1];
    if (each === 0) throw fail(line, `${now} comes twice`);
    if (each < 0) throw fail(line, `${now} comes after ${before}; rows stand in the order of their times`);
    const usual = durationName(step as number);
    const missing = each / (step as number) - 1;
    const gap =
      Number.isInteger(missing) && missing > 0
        ? `, so ${counted(missing, 'row')} ${missing === 1 ? 'is' : 'are'} missing`
        : '';
    throw fail(
      line,
      `${now} comes ${durationName(each)} after ${before}, and other rows ${usual} apart${gap}; fill the gap, or ${anyway}`,
    );
  }
}

function commonest(steps: readonly number[]): number | undefined {
  const counts = new Map<number, number>();
  for (const step of steps) counts.set(step, (counts.get(step) ?? 0) + 1);
  let best: number | undefined;
  for (const [step, count] of counts) if (best === undefined || count > (counts.get(best) ?? 0)) best = step;
  return best;
}

const units: readonly (readonly [number, string])[] = [
  [86_400_000, 'day'],
  [3_600_000, 'hour'],
  [60_000, 'minute'],
  [1000, 'second'],
];

function durationName(ms: number): string {
  const [size, unit] = units.find(([length]) => ms % length === 0) ?? [1, 'ms'];
  return unit === 'ms' ? `${ms} ms` : counted(ms / size, unit);
}
