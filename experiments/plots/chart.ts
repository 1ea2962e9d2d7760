/**
 * One picture as a Vega-Lite specification: lines over a logarithmic axis, styles and order by series. Data in, plain JSON out;
 * `render.ts` makes pictures of it. What is drawn is in `icl-charts.ts` and `lm-charts.ts`.
 *
 * The trap: a value may be exactly 0. It is put far below the axis and clipped, so that the line is seen to fall out of the picture
 * and not to end in the middle of it.
 */
import type { TopLevelSpec } from 'vega-lite';

export interface SeriesStyle {
  readonly name: string;
  readonly color: string;
  readonly dash: readonly number[];
  readonly width: number;
  /** A dot at every point: a single one would be a line without length. */
  readonly marked?: boolean;
}

/** What every run writes down of itself: the pale line under the strong one. */
export const trainingStyles: readonly SeriesStyle[] = [
  { name: 'training', color: '#9ecae1', dash: [1, 0], width: 1.2 },
  { name: 'training, smoothed', color: '#08519c', dash: [1, 0], width: 2.6 },
];

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  readonly series: string;
}

export interface ChartTitle {
  readonly title: string;
  readonly subtitle: string;
}

export interface Extent {
  readonly min: number;
  readonly max: number;
}

export interface ChartSettings {
  readonly points: readonly ChartPoint[];
  /** In the order of the legend. */
  readonly series: readonly SeriesStyle[];
  readonly axes: { readonly x: string; readonly y: string };
  readonly title: ChartTitle;
  readonly x: Extent;
  readonly y: Extent;
}

const farBelow = 1e-30;
/** More points than a picture has columns only make the file large. */
const mostPoints = 1200;

export function chart({ points, series, axes, title, x, y }: ChartSettings): TopLevelSpec {
  const shown = series.filter(({ name }) => points.some((point) => point.series === name));
  const domain = shown.map(({ name }) => name);
  const scaleOf = <T>(range: readonly T[]) => ({ domain, range: [...range] });
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 760,
    height: 420,
    padding: 20,
    background: 'white',
    title: { text: title.title, subtitle: title.subtitle, anchor: 'start', offset: 14 },
    data: { values: points.map((point) => ({ ...point, y: point.y > 0 ? point.y : farBelow })) },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        scale: { domain: [x.min, Math.max(x.max, x.min + 1)], nice: false },
        axis: { title: axes.x, grid: false, tickCount: 8, format: ',~d', tickMinStep: 1 },
      },
      y: {
        field: 'y',
        type: 'quantitative',
        scale: { type: 'log', domain: [y.min, y.max], nice: false },
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
      ...shown
        .filter(({ marked }) => marked)
        .map(({ name, color }) => ({
          transform: [{ filter: `datum.series === '${name}'` }],
          mark: { type: 'point' as const, filled: true, size: 60, opacity: 1, clip: true, color },
        })),
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

export interface Point {
  readonly x: number;
  readonly y: number;
}

export function named(series: string, points: readonly Point[]): ChartPoint[] {
  return points.map(({ x, y }) => ({ x, y, series }));
}

/** Running geometric mean over about a twenty-fifth of the curve, so that it sits in the middle of a logarithmic axis. */
export function smoothed(points: readonly Point[]): readonly Point[] {
  const half = Math.floor(points.length / 50);
  if (half === 0) return points;
  return points.map(({ x }, i) => {
    const near = points.slice(Math.max(0, i - half), i + half + 1);
    return { x, y: Math.exp(mean(near.map(({ y }) => Math.log(Math.max(y, farBelow))))) };
  });
}

export function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / mostPoints);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
