/**
 * What a person sees while a run trains: one line that redraws itself on a terminal, plain lines now and then elsewhere. A
 * narrow terminal gets less of it, and what matters longest: the step, the loss, the time that is left.
 *
 * The traps: a line that does not fit wraps, and drawing it again leaves a copy above; the terminal itself writes `^C` behind it
 * when the key is pressed, and may have become narrower since. And after the end nothing is drawn, whoever still reports.
 */

export interface ProgressState {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  /** What else shows how far the training is, in a few words: `last point 0.31 (least squares 0.12)`. */
  readonly detail: string;
  readonly stepsPerSecond: number;
}

export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Progress {
  update(state: ProgressState): void;
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

export function createProgress(output: ProgressOutput, nowMs: () => number = () => performance.now()): Progress {
  const isTerminal = output.isTTY === true && process.env.TERM !== 'dumb';
  const columns = () => output.columns || defaultColumns;
  let shownColumns = 0;
  let lastMs = Number.NEGATIVE_INFINITY;
  let latest: ProgressState | undefined;
  let printedStep = -1;
  let hasEnded = false;
  const erasing = () => {
    const rowsAbove = Math.max(0, Math.ceil(shownColumns / columns()) - 1);
    return shownColumns === 0 ? '' : `${rowsAbove === 0 ? '' : `\x1b[${rowsAbove}A`}\r\x1b[J`;
  };
  const print = (state: ProgressState) => {
    if (isTerminal) {
      const line = progressLine(state, columns() - reservedColumns);
      output.write(`${erasing()}${line}`);
      shownColumns = line.length;
    } else if (state.step !== printedStep) {
      output.write(`${plainLine(state)}\n`);
    }
    printedStep = state.step;
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

/** The richest line that fits in so many columns. */
export function progressLine(state: ProgressState, width: number): string {
  const lines = layouts.map((layout) => layout(state));
  return (lines.find((line) => line.length <= width) ?? (lines.at(-1) as string)).slice(0, Math.max(1, width));
}

export function plainLine(state: ProgressState): string {
  return joined(stepText(state), lossText(state), state.detail, speedText(state), leftText(state));
}

/** From all that there is to what matters most. */
const layouts: readonly ((state: ProgressState) => string)[] = [
  (state) => `${barText(state)} ${plainLine(state)}`,
  plainLine,
  (state) => joined(stepText(state), lossText(state), state.detail, leftText(state)),
  (state) => joined(stepText(state), lossText(state), state.detail.replace(/ \(.*\)$/, ''), leftText(state)),
  (state) => joined(stepText(state), lossText(state), leftText(state)),
  (state) => joined(stepText(state), lossText(state), roughlyLeftText(state)),
  (state) => joined(countText(state), lossText(state), roughlyLeftText(state)),
  (state) => `${countText(state)} ${short(state.loss)} ${roughly(secondsLeft(state))}`.trimEnd(),
  (state) => `${percentText(state)} ${short(state.loss)} ${roughly(secondsLeft(state))}`.trimEnd(),
  (state) => `${percentText(state)} ${short(state.loss)}`,
];

function joined(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(' · ');
}

function barText({ step, steps }: ProgressState): string {
  const done = Math.round((barWidth * step) / steps);
  return '█'.repeat(done) + '░'.repeat(barWidth - done);
}

function countText({ step, steps }: ProgressState): string {
  return `${step}/${steps}`;
}

function stepText(state: ProgressState): string {
  return `step ${countText(state)}`;
}

function percentText({ step, steps }: ProgressState): string {
  return `${Math.floor((100 * step) / steps)}%`;
}

function lossText({ loss }: ProgressState): string {
  return `loss ${short(loss)}`;
}

function speedText({ stepsPerSecond }: ProgressState): string {
  return `${short(stepsPerSecond)} steps/s`;
}

/** Undefined where no speed is known yet. */
function secondsLeft({ step, steps, stepsPerSecond }: ProgressState): number | undefined {
  return stepsPerSecond > 0 ? (steps - step) / stepsPerSecond : undefined;
}

function leftText(state: ProgressState): string {
  const seconds = secondsLeft(state);
  return seconds === undefined ? '' : `${durationText(seconds)} left`;
}

function roughlyLeftText(state: ProgressState): string {
  const text = roughly(secondsLeft(state));
  return text === '' ? '' : `${text} left`;
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
function roughly(seconds: number | undefined): string {
  if (seconds === undefined) return '';
  const units = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min'],
  ] as const;
  const found = units.find(([length]) => seconds >= length);
  return found === undefined ? `${Math.round(seconds)} s` : `${Math.round(seconds / found[0])} ${found[1]}`;
}
