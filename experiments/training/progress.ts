/**
 * What a person sees while a run trains. A narrow terminal gets less of it, and what matters longest: the step, the loss, the time
 * that is left.
 */
import {
  bar,
  type Drawing,
  drawProgress,
  durationText,
  fitting,
  joined,
  type ProgressOutput,
  roughly,
  short,
} from '../progress.ts';

export { durationText, type ProgressOutput, short } from '../progress.ts';

export interface ProgressState {
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  /** What else shows how far the training is, in a few words: `last point 0.31 (least squares 0.12)`. */
  readonly detail: string;
  readonly stepsPerSecond: number;
}

export type Progress = Drawing<ProgressState>;

export function createProgress(output: ProgressOutput, nowMs: () => number = () => performance.now()): Progress {
  return drawProgress({ line: progressLine, plain: plainLine, place: ({ step }) => step }, output, nowMs);
}

/** The richest line that fits in so many columns. */
export function progressLine(state: ProgressState, width: number): string {
  return fitting(
    layouts.map((layout) => layout(state)),
    width,
  );
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

function barText({ step, steps }: ProgressState): string {
  return bar(step / steps);
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
