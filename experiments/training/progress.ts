/**
 * What a person sees while a run trains: one line that redraws itself on a terminal, plain lines now and then elsewhere.
 *
 * The trap: a line that is longer than the terminal is wide does not redraw, it scrolls; so it is cut.
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

export function createProgress(output: ProgressOutput, nowMs: () => number = () => performance.now()): Progress {
  const terminal = output.isTTY === true;
  let shown = '';
  let lastMs = Number.NEGATIVE_INFINITY;
  let latest: ProgressState | undefined;
  let printedStep = -1;
  const clear = () => {
    if (shown !== '') output.write(`\r${' '.repeat(shown.length)}\r`);
    shown = '';
  };
  const print = (state: ProgressState) => {
    if (terminal) {
      const line = progressLine(state).slice(0, Math.max(20, (output.columns ?? 100) - 1));
      output.write(`\r${line.padEnd(shown.length)}`);
      shown = line;
    } else if (state.step !== printedStep) {
      output.write(`${plainLine(state)}\n`);
    }
    printedStep = state.step;
  };
  return {
    update: (state) => {
      latest = state;
      if (nowMs() - lastMs < (terminal ? redrawEveryMs : plainEveryMs)) return;
      lastMs = nowMs();
      print(state);
    },
    say: (line) => {
      clear();
      output.write(`${line}\n`);
      if (terminal && latest !== undefined) print(latest);
    },
    end: () => {
      if (latest !== undefined) print(latest);
      if (terminal && shown !== '') output.write('\n');
      shown = '';
    },
  };
}

export function progressLine(state: ProgressState): string {
  const done = Math.round((barWidth * state.step) / state.steps);
  const bar = '█'.repeat(done) + '░'.repeat(barWidth - done);
  return `${bar} ${plainLine(state)}`;
}

export function plainLine(state: ProgressState): string {
  const { step, steps, loss, detail, stepsPerSecond } = state;
  const left = stepsPerSecond > 0 ? ` · ${durationText((steps - step) / stepsPerSecond)} left` : '';
  return `step ${step}/${steps} · loss ${short(loss)} · ${detail} · ${short(stepsPerSecond)} steps/s${left}`;
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
