/**
 * The charts of a run as Vega-Lite specifications: loss over steps, error over points in context. Data in, plain JSON out;
 * `render.ts` makes pictures of them.
 *
 * The trap: the axes are logarithmic and least squares reaches an error of exactly 0. Such values are put far below the
 * axis and clipped, so that the line is seen to fall out of the picture and not to end in the middle of it.
 */
import type { TopLevelSpec } from 'vega-lite';
import {
  type IclEvaluationRecord,
  isIclEvaluation,
  isIclTrain,
  type MetricsRecord,
  type StageRecord,
} from '../runs/metrics.ts';
import { baselineNames } from '../tasks/baselines.ts';

/** Line colours and dashes by series; the model's own are the strong ones. */
const series = [
  { name: 'training', color: '#9ecae1', dash: [1, 0], width: 1.2 },
  { name: 'training, smoothed', color: '#08519c', dash: [1, 0], width: 2.6 },
  { name: 'held-out prompts', color: '#d94801', dash: [1, 0], width: 2.6 },
  { name: 'least squares', color: '#238b45', dash: [6, 3], width: 2 },
  { name: '3 nearest neighbours', color: '#756bb1', dash: [4, 3], width: 2 },
  { name: 'averaging', color: '#8c6d31', dash: [2, 3], width: 2 },
  { name: 'zero', color: '#636363', dash: [2, 2], width: 1.6 },
] as const;
const heldOut = series[2];
type SeriesName = (typeof series)[number]['name'];

interface ChartPoint {
  readonly x: number;
  readonly y: number;
  readonly series: SeriesName;
}

export interface ChartTitle {
  readonly title: string;
  readonly subtitle: string;
}

const farBelow = 1e-30;
/** More points than a picture has columns only make the file large. */
const mostPoints = 1200;

export function lossChart(records: readonly MetricsRecord[], { title, subtitle }: ChartTitle): TopLevelSpec {
  const train = records.filter(isIclTrain);
  const evaluations = records.filter(isIclEvaluation);
  const stages = records.filter((record): record is StageRecord => record.kind === 'stage');
  const lastStep = Math.max(1, ...records.map(({ step }) => step));
  const losses = train.map(({ step, loss }) => ({ x: step, y: loss }));
  const points: ChartPoint[] = [
    ...named('training', thinned(losses)),
    ...named('training, smoothed', thinned(smoothed(losses))),
    ...named(
      'held-out prompts',
      evaluations.map(({ step, loss }) => ({ x: step, y: loss })),
    ),
  ];
  for (const name of baselineNames) {
    for (const [i, { step, baselines }] of stages.entries()) {
      const until = stages[i + 1]?.step ?? lastStep;
      const y = mean(baselines[name] ?? []);
      if (Number.isFinite(y)) points.push({ x: step, y, series: name }, { x: until, y, series: name });
    }
  }
  const axes = { x: 'training step', y: 'mean squared error over the context' };
  return chart(points, axes, { title, subtitle }, { xMin: 0, xMax: lastStep });
}

export function contextChart(evaluation: IclEvaluationRecord, { title, subtitle }: ChartTitle): TopLevelSpec {
  const curve = (values: readonly number[]) => values.map((y, p) => ({ x: p, y }));
  const points: ChartPoint[] = [
    ...named('held-out prompts', curve(evaluation.pointwise)),
    ...baselineNames.flatMap((name) => named(name, curve(evaluation.baselines[name] ?? []))),
  ];
  const axes = { x: 'points already in the context', y: 'mean squared error of the next prediction' };
  return chart(points, axes, { title, subtitle }, { xMin: 0, xMax: evaluation.points - 1 });
}

interface Extent {
  readonly xMin: number;
  readonly xMax: number;
}

function chart(
  points: readonly ChartPoint[],
  axes: { readonly x: string; readonly y: string },
  { title, subtitle }: ChartTitle,
  { xMin, xMax }: Extent,
): TopLevelSpec {
  const shown = series.filter(({ name }) => points.some((point) => point.series === name));
  const own = points.filter((point) => !isBaseline(point.series) && point.y > 0).map(({ y }) => y);
  const all = points.filter(({ y }) => y > 0).map(({ y }) => y);
  const yMin = Math.min(...(own.length > 0 ? own : [0.01]), 0.3) / 1.6;
  const yMax = Math.max(...all, 1) * 1.25;
  const domain = shown.map(({ name }) => name);
  const scaleOf = <T>(range: readonly T[]) => ({ domain, range: [...range] });
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 760,
    height: 420,
    padding: 20,
    background: 'white',
    title: { text: title, subtitle, anchor: 'start', offset: 14 },
    data: { values: points.map((point) => ({ ...point, y: point.y > 0 ? point.y : farBelow })) },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        scale: { domain: [xMin, Math.max(xMax, xMin + 1)], nice: false },
        axis: { title: axes.x, grid: false, tickCount: 8, format: ',~d', tickMinStep: 1 },
      },
      y: {
        field: 'y',
        type: 'quantitative',
        scale: { type: 'log', domain: [yMin, yMax], nice: false },
        axis: { title: axes.y, gridColor: '#ececec', tickCount: 6, format: '~g' },
      },
    },
    layer: [
      {
        mark: { type: 'line', clip: true },
        encoding: {
          color: {
            field: 'series',
            type: 'nominal',
            scale: scaleOf(shown.map(({ color }) => color)),
            legend: { title: null },
          },
          strokeDash: {
            field: 'series',
            type: 'nominal',
            scale: scaleOf(shown.map(({ dash }) => [...dash])),
            legend: { title: null },
          },
          strokeWidth: {
            condition: shown.map(({ name, width }) => ({ test: `datum.series === '${name}'`, value: width })),
            value: 2,
          },
          detail: { field: 'series', type: 'nominal' },
        },
      },
      // A single evaluation would be a line without length.
      {
        transform: [{ filter: `datum.series === '${heldOut.name}'` }],
        mark: { type: 'point', filled: true, size: 60, opacity: 1, clip: true, color: heldOut.color },
      },
    ],
    config: {
      font: fontFamily,
      title: { fontSize: 20, subtitleFontSize: 14, subtitleColor: '#555', subtitlePadding: 6, fontWeight: 'bold' },
      axis: { labelFontSize: 13, titleFontSize: 14, titlePadding: 10, titleFontWeight: 'normal', domainColor: '#888' },
      legend: { labelFontSize: 13, symbolSize: 400, symbolStrokeWidth: 2.5, labelLimit: 240, rowPadding: 6 },
      view: { stroke: null },
    },
  };
}

/** The first that is there is taken; the bundled one is Open Sans. */
export const fontFamily = 'Open Sans, DejaVu Sans, Helvetica, Arial, sans-serif';

function isBaseline(name: SeriesName): boolean {
  return (baselineNames as readonly string[]).includes(name);
}

function named(name: SeriesName, points: readonly { readonly x: number; readonly y: number }[]): ChartPoint[] {
  return points.map(({ x, y }) => ({ x, y, series: name }));
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** Running geometric mean over about a twenty-fifth of the curve, so that it sits in the middle of a logarithmic axis. */
function smoothed(points: readonly Point[]): readonly Point[] {
  const half = Math.floor(points.length / 50);
  if (half === 0) return points;
  return points.map(({ x }, i) => {
    const near = points.slice(Math.max(0, i - half), i + half + 1);
    return { x, y: Math.exp(mean(near.map(({ y }) => Math.log(Math.max(y, farBelow))))) };
  });
}

function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / mostPoints);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
