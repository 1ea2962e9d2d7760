/**
 * Charts of several runs: losses over a chosen axis, error over points in context, loss against compute. A run has one colour and dash in
 * all of them; the colours are those of Okabe and Ito, which people with any colour vision tell apart.
 */
import type { TopLevelSpec } from 'vega-lite';
import type { IclEvaluationRecord } from '../runs/metrics.ts';
import {
  type ChartPoint,
  chart,
  type Extent,
  named,
  type Point,
  type Scale,
  type SeriesStyle,
  smoothed,
  thinned,
} from './chart.ts';
import type { Abscissa, RunCurves } from './curves.ts';
import type { Measure } from './measure.ts';

const colors = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'] as const;
const dashes = [
  [1, 0],
  [8, 3],
  [2, 2],
  [8, 3, 2, 3],
] as const;

/** After the colours come the dashes. */
function runStyle(index: number): Pick<SeriesStyle, 'color' | 'dash'> {
  const dash = dashes[Math.floor(index / colors.length) % dashes.length];
  return { color: colors[index % colors.length], dash };
}

export interface Drawing {
  /** Part of a curve that is averaged; 0 for none. */
  readonly smoothing: number;
  readonly scales: { readonly x: Scale; readonly y: Scale };
}

export interface LabelledCurves {
  readonly label: string;
  readonly curves: RunCurves;
}

/** Training as thin lines, held-out data as strong ones with dots. */
export function learningCurves(
  runs: readonly LabelledCurves[],
  abscissa: Abscissa,
  { title, loss }: Pick<Measure, 'title' | 'loss'>,
  { smoothing, scales }: Drawing,
): TopLevelSpec {
  const most = runs
    .flatMap(({ curves }) => [...curves.training, ...curves.heldOut])
    .reduce((far, { x }) => Math.max(far, x), 0);
  const unit = unitOf(abscissa, most);
  const scaled = (points: readonly Point[]) => points.map(({ x, y }) => ({ x: x / unit.size, y }));
  const drawn = runs.map(({ label, curves }, i) => {
    const style = runStyle(i);
    const hasHeldOut = curves.heldOut.length > 0;
    const names = { raw: `${label}: each step`, training: hasHeldOut ? `${label}: training` : label, heldOut: label };
    const training = scaled(curves.training);
    const styles: readonly SeriesStyle[] = [
      { ...style, name: names.raw, width: 1, opacity: 0.25, unlisted: true },
      { ...style, name: names.training, width: 1.4, opacity: 0.75, unlisted: hasHeldOut },
      { ...style, name: names.heldOut, width: 2.8, marked: true },
    ];
    const points = [
      ...(curves.training.length * smoothing >= 2 ? named(names.raw, thinned(training)) : []),
      ...named(names.training, thinned(smoothed(training, smoothing))),
      ...named(names.heldOut, scaled(curves.heldOut)),
    ];
    return { styles: hasHeldOut ? styles : styles.slice(0, 2), points };
  });
  const points = drawn.flatMap((run) => run.points);
  const isAveraged = runs.some(({ curves }) => curves.training.length * smoothing >= 2);
  const average = isAveraged ? `, averaged over ${Number((100 * smoothing).toPrecision(2))} % of a run` : '';
  return chart({
    points,
    series: drawn.flatMap(({ styles }) => styles),
    axes: { x: unit.title, y: loss },
    title: { title, subtitle: `thin: training${average}; dots: held-out data` },
    x: extentOf(
      points.map(({ x }) => x),
      scales.x,
      1,
    ),
    y: extentOf(
      points.map(({ y }) => y),
      scales.y,
      1.1,
    ),
    scales,
    xKind: abscissa === 'step' ? 'count' : 'measure',
  });
}

export interface LabelledErrors {
  readonly label: string;
  readonly evaluation: IclEvaluationRecord;
}

/** The last evaluations' errors; baselines in grey where all runs were held against the same. */
export function errorsByPoint(runs: readonly LabelledErrors[], error: string, scale: Scale): TopLevelSpec {
  const shared = sharedBaselines(runs);
  const own = runs.map(({ label }, i): SeriesStyle => ({ ...runStyle(i), name: label, width: 2.6, marked: true }));
  const others = Object.keys(shared).map(
    (name, i): SeriesStyle => ({ name, color: '#767676', dash: baselineDashes[i % baselineDashes.length], width: 1.8 }),
  );
  const curve = (values: readonly number[]) => values.map((y, x) => ({ x, y }));
  const points: ChartPoint[] = [
    ...Object.entries(shared).flatMap(([name, errors]) => named(name, curve(errors))),
    ...runs.flatMap(({ label, evaluation }) => named(label, curve(evaluation.pointwise))),
  ];
  const bands = runs.flatMap(({ label, evaluation }) => {
    const { low, high } = evaluation.intervals?.model ?? { low: [], high: [] };
    return low.map((value, x) => ({ x, low: value, high: high[x], series: label }));
  });
  const ownValues = runs.flatMap(({ evaluation }) => evaluation.pointwise);
  const all = extentOf(
    points.map(({ y }) => y),
    scale,
    1.25,
  );
  // A baseline may fall out of the picture below: least squares is exact where there is no noise.
  const y = scale === 'log' ? { min: extentOf(ownValues, scale, 1.6).min, max: all.max } : all;
  const banded = bands.length > 0 ? '; bands hold 90 % of the bootstrap' : '';
  const differ = Object.keys(shared).length === 0 && runs.length > 1 ? '; their baselines differ' : '';
  return chart({
    points,
    bands,
    series: [...own, ...others],
    axes: { x: 'points already in the context', y: error },
    title: {
      title: 'Error by point in context',
      subtitle: `held-out prompts, the last evaluation of each run${banded}${differ}`,
    },
    x: { min: 0, max: Math.max(...runs.map(({ evaluation }) => evaluation.points - 1)) },
    y,
    scales: { x: 'linear', y: scale },
  });
}

const baselineDashes = [
  [6, 3],
  [4, 3],
  [2, 3],
  [1, 2],
  [8, 2, 2, 2],
] as const;

function sharedBaselines(runs: readonly LabelledErrors[]): IclEvaluationRecord['baselines'] {
  const [first, ...rest] = runs.map(({ evaluation }) => evaluation.baselines);
  return rest.every((other) => JSON.stringify(other) === JSON.stringify(first)) ? first : {};
}

export interface ComputePoint extends Point {
  /** What was trained: runs of one score are one line. */
  readonly score: string;
}

/** The best held-out loss over the operations of the whole training, a dot a run. */
export function lossByCompute(runs: readonly ComputePoint[], loss: string, scales: Drawing['scales']): TopLevelSpec {
  const scores = [...new Set(runs.map(({ score }) => score))];
  return chart({
    points: runs.map(({ x, y, score }) => ({ x, y, series: score })),
    series: scores.map((name, i) => ({ ...runStyle(i), name, width: 2, marked: true })),
    axes: { x: 'floating-point operations of the training', y: loss },
    title: { title: 'Loss against compute', subtitle: 'best loss on held-out data; a dot is a run' },
    x: extentOf(
      runs.map(({ x }) => x),
      scales.x,
      scales.x === 'log' ? 1.5 : 1.05,
    ),
    y: extentOf(
      runs.map(({ y }) => y),
      scales.y,
      1.1,
    ),
    scales,
    xKind: 'measure',
  });
}

/** A linear axis begins at 0; a logarithmic one leaves a little room by factors. */
function extentOf(values: readonly number[], scale: Scale, room: number): Extent {
  const drawn = values.filter((value) => Number.isFinite(value) && (scale === 'linear' || value > 0));
  if (drawn.length === 0) return { min: scale === 'log' ? 0.1 : 0, max: 1 };
  const [min, max] = [Math.min(...drawn), Math.max(...drawn)];
  return scale === 'linear' ? { min: Math.min(0, min), max: max * room } : { min: min / room, max: max * room };
}

interface Unit {
  readonly title: string;
  readonly size: number;
}

/** Seconds as what a person would say; large numbers of tokens in millions. */
function unitOf(abscissa: Abscissa, most: number): Unit {
  const fitting = (units: readonly Unit[]) => units.findLast(({ size }) => most >= 2 * size) ?? units[0];
  switch (abscissa) {
    case 'step':
      return { title: 'training step', size: 1 };
    case 'time':
      return fitting([
        { title: 'time of training, seconds', size: 1 },
        { title: 'time of training, minutes', size: 60 },
        { title: 'time of training, hours', size: 3600 },
        { title: 'time of training, days', size: 86_400 },
      ]);
    case 'tokens':
      return fitting([
        { title: 'tokens', size: 1 },
        { title: 'tokens, thousands', size: 1e3 },
        { title: 'tokens, millions', size: 1e6 },
        { title: 'tokens, billions', size: 1e9 },
      ]);
    case 'flops':
      return { title: 'floating-point operations of the model', size: 1 };
    default:
      return abscissa satisfies never;
  }
}
