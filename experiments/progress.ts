/**
 * What a person sees of work that takes a while: one line that redraws itself on a terminal, plain lines now and then elsewhere.
 * What stands in the line is for who does the work to say (training/progress.ts, data/prepare-progress.ts).
 *
 * The traps: a line that does not fit wraps, and drawing it again leaves a copy above; the terminal itself writes `^C` behind it
 * when the key is pressed, and may have become narrower since. And after the end nothing is drawn, whoever still reports.
 */

export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Drawing<State> {
  update(state: State): void;
  /** A line of its own, above the bar. */
  say(line: string): void;
  end(): void;
}

const redrawEveryMs = 100;
const plainEveryMs = 10_000;
const barWidth = 18;
const defaultColumns = 80;
/** Columns that stay free: two for `^C`, one for the cursor. */
const reservedColumns = 3;

/** What a state looks like. */
export interface ProgressLines<State> {
  /** In so many columns at most. */
  readonly line: (state: State, width: number) => string;
  readonly plain: (state: State) => string;
  /** How far it is: a plain line is not written twice for the same. */
  readonly place: (state: State) => number;
}

export function drawProgress<State>(
  { line: lineOf, plain, place }: ProgressLines<State>,
  output: ProgressOutput,
  nowMs: () => number = () => performance.now(),
): Drawing<State> {
  const isTerminal = output.isTTY === true && process.env.TERM !== 'dumb';
  const columns = () => output.columns || defaultColumns;
  let shownColumns = 0;
  let lastMs = Number.NEGATIVE_INFINITY;
  let latest: State | undefined;
  let printedPlace: number | undefined;
  let hasEnded = false;
  const erasing = () => {
    const rowsAbove = Math.max(0, Math.ceil(shownColumns / columns()) - 1);
    return shownColumns === 0 ? '' : `${rowsAbove === 0 ? '' : `\x1b[${rowsAbove}A`}\r\x1b[J`;
  };
  const print = (state: State) => {
    if (isTerminal) {
      const line = lineOf(state, columns() - reservedColumns);
      output.write(`${erasing()}${line}`);
      shownColumns = line.length;
    } else if (place(state) !== printedPlace) {
      output.write(`${plain(state)}\n`);
    }
    printedPlace = place(state);
  };
  return {
    update: (state) => {
      if (hasEnded) return;
      latest = state;
      if (nowMs() - lastMs < (isTerminal ? redrawEveryMs : plainEveryMs)) return;
      lastMs = nowMs();
      print(state);
    },
    say: (line) => {
      output.write(`${erasing()}${line}\n`);
      shownColumns = 0;
      if (isTerminal && latest !== undefined && !hasEnded) print(latest);
    },
    end: () => {
      if (hasEnded) return;
      hasEnded = true;
      if (latest !== undefined) print(latest);
      if (shownColumns > 0) output.write('\n');
      shownColumns = 0;
    },
  };
}

/** The richest line that fits in so many columns; they come from the richest to the poorest. */
export function fitting(lines: readonly string[], width: number): string {
  return (lines.find((line) => line.length <= width) ?? (lines.at(-1) as string)).slice(0, Math.max(1, width));
}

export function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(' · ');
}

export function bar(part: number): string {
  const done = Math.round(barWidth * part);
  return '█'.repeat(done) + '░'.repeat(barWidth - done);
}

/** Three digits, or few more. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) < 5e-5) return '0';
  return Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}

export function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const hours = Math.floor(whole / 3600);
  return hours < 48 ? `${hours} h ${Math.floor((whole % 3600) / 60)} min` : `${(whole / 86400).toFixed(1)} days`;
}

/** One number and its unit. */
export function roughly(seconds: number | undefined): string {
  if (seconds === undefined) return '';
  const units = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min'],
  ] as const;
  const found = units.find(([length]) => seconds >= length);
  return found === undefined ? `${Math.round(seconds)} s` : `${Math.round(seconds / found[0])} ${found[1]}`;
}
