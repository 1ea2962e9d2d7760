/**
 * A run's losses over what they are held against: steps, time, tokens, floating-point operations.
 *
 * The traps: an evaluation says its step alone, so where it lies on another axis is read off the training lines around it. And the time of
 * a run that was interrupted may begin anew where it went on.
 */
import type { MetricsRecord, TrainRecord } from '../runs/metrics.ts';
import { isEvaluation, isTrain } from '../runs/run-summary.ts';
import type { Point } from './chart.ts';

export const abscissae = ['step', 'time', 'tokens', 'flops'] as const;
export type Abscissa = (typeof abscissae)[number];

export interface RunCurves {
  readonly training: readonly Point[];
  readonly heldOut: readonly Point[];
}

/** Undefined where the run does not say it: one of an earlier version, or of a model whose operations are not known. */
export function curvesOver(records: readonly MetricsRecord[], abscissa: Abscissa): RunCurves | undefined {
  const train = records.filter(isTrain);
  const places = placesOf(train, abscissa);
  if (places.length === 0) return undefined;
  const placeOf = (step: number) => between(places, step);
  const curve = (of: readonly { readonly step: number; readonly loss: number }[]) =>
    of.map(({ step, loss }) => ({ x: placeOf(step), y: loss }));
  return { training: curve(train), heldOut: curve(records.filter(isEvaluation)) };
}

/** Steps (x) and where they lie (y), ascending in both. */
function placesOf(train: readonly TrainRecord[], abscissa: Abscissa): readonly Point[] {
  switch (abscissa) {
    case 'step':
      return [{ x: 0, y: 0 }, ...train.map(({ step }) => ({ x: step, y: step }))];
    case 'time':
      return [{ x: 0, y: 0 }, ...goingOn(train)];
    case 'tokens':
    case 'flops': {
      const known = train.flatMap(({ step, [abscissa]: y }) => (typeof y === 'number' ? [{ x: step, y }] : []));
      return known.length === 0 ? [] : [{ x: 0, y: 0 }, ...known];
    }
    default:
      return abscissa satisfies never;
  }
}

/** Seconds of training; where the clock begins anew, from where it stood. */
function goingOn(train: readonly TrainRecord[]): readonly Point[] {
  let before = 0;
  let last = 0;
  return train.map(({ step, timeS }) => {
    if (timeS < last) before += last;
    last = timeS;
    return { x: step, y: before + timeS };
  });
}

/** Linear between neighbours; beyond the last one as far as it. */
function between(places: readonly Point[], step: number): number {
  let low = 0;
  let high = places.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (places[middle].x <= step) low = middle;
    else high = middle;
  }
  const [from, to] = [places[low], places[high]];
  const part = to.x > from.x ? Math.min(1, (step - from.x) / (to.x - from.x)) : 0;
  return from.y + part * (to.y - from.y);
}
