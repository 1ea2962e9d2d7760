/**
 * One picture as a Vega-Lite specification: lines over axes that are linear or logarithmic, styles and order by series. Data in, plain
 * JSON out; `render.ts` makes pictures of it. What is drawn is in `icl-charts.ts`, `lm-charts.ts` and `overlay-charts.ts`.
 *
 * It is laid out to be read at 600 pixels: large type, and the legend below, where it takes nothing from the width.
 *
 * The trap: a value may be exactly 0. On a logarithmic axis it is put far below and clipped, so that the line is seen to fall out of the
 * picture and not to end in the middle of it. A value that is not finite is left out.
 */
import type { TopLevelSpec } from 'vega-lite';
import { logTicks } from './log-ticks.ts';
import { textWidth } from './text-width.ts';

export interface SeriesStyle {
  readonly name: string;
  readonly color: string;
  readonly dash: readonly number[];
  readonly width: number;
  /** A dot at every point: a single one would be a line without length. */
  readonly marked?: boolean;
  readonly opacity?: number;
  /** Not in the legend, because it goes with another of its colour. */
  readonly unlisted?: boolean;
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

/** Where a curve's points lie with some certainty. */
export interface ChartBand {
  readonly x: number;
  readonly low: number;
  readonly high: number;
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

export type Scale = 'linear' | 'log';

export interface ChartSettings {
  readonly points: readonly ChartPoint[];
  /** Behind the lines, in their colours. */
  readonly bands?: readonly ChartBand[];
  /** In the order of the legend. */
  readonly series: readonly SeriesStyle[];
  readonly axes: { readonly x: string; readonly y: string };
  readonly title: ChartTitle;
  readonly x: Extent;
  readonly y: Extent;
  readonly scales?: { readonly x: Scale; readonly y: Scale };
  /** Whether x counts something, or measures it. */
  readonly xKind?: 'count' | 'measure';
}

const farBelow = 1e-30;
/** More points than a picture has columns only make the file large. */
const mostPoints = 1200;
const width = 640;
/** A legend's entry beside its text: the line, and what parts it from the next one. */
const legendSymbol = 46;
const legendFont = 15;

export function chart(settings: ChartSettings): TopLevelSpec {
  return { ...frame(settings.title), ...picture(settings, shownOf([settings]), large), config: chartConfig };
}

/** One of several small pictures, whose series and axes are the same. */
export interface Panel extends Pick<ChartSettings, 'points' | 'bands' | 'x' | 'y'> {
  readonly title: string;
}

/** Small pictures side by side over one legend. */
export function panels(
  all: readonly Panel[],
  settings: Omit<ChartSettings, 'points' | 'bands' | 'x' | 'y'>,
): TopLevelSpec {
  const pictures = all.map((panel) => ({ ...settings, ...panel, title: settings.title }));
  const shown = shownOf(pictures);
  return {
    ...frame(settings.title),
    columns: panelColumns,
    spacing: { row: 26, column: 22 },
    concat: pictures.map((one, i) => ({
      title: { text: all[i].title, anchor: 'start' as const, fontSize: 15, offset: 6 },
      ...picture(one, shown, small),
    })),
    config: chartConfig,
  };
}

interface Size {
  readonly width: number;
  readonly height: number;
  /** Of the axes, about. */
  readonly ticks: { readonly x: number; readonly y: number };
  readonly titleFont: number;
  readonly labelFont: number;
}

const panelColumns = 3;
const large: Size = { width, height: 400, ticks: { x: 7, y: 8 }, titleFont: 16, labelFont: 15 };
const small: Size = { width: 230, height: 150, ticks: { x: 5, y: 4 }, titleFont: 13, labelFont: 13 };

function frame(title: ChartTitle) {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    padding: 16,
    background: 'white',
    title: { text: title.title, subtitle: title.subtitle, anchor: 'start' as const, offset: 14 },
  };
}

const usualScales = { x: 'linear', y: 'log' } as const;

function seenPoints({ points, y, scales = usualScales }: ChartSettings): readonly ChartPoint[] {
  const drawn = points.filter((point) => isDrawn(point, scales));
  return drawn.filter((point) => isSeen(point.series, drawn, y));
}

/** The series of which some picture has something to show. */
function shownOf(pictures: readonly ChartSettings[]): readonly SeriesStyle[] {
  const names = new Set(pictures.flatMap((one) => seenPoints(one).map(({ series }) => series)));
  return (pictures[0]?.series ?? []).filter(({ name }) => names.has(name));
}

function picture(settings: ChartSettings, shown: readonly SeriesStyle[], size: Size) {
  const { bands = [], axes, x, y, scales = usualScales, xKind = 'count' } = settings;
  const points = seenPoints(settings);
  const domain = shown.map(({ name }) => name);
  const listed = shown.filter(({ unlisted }) => !unlisted).map(({ name }) => name);
  const longest = Math.max(0, ...listed.map((name) => textWidth(name, legendFont)));
  const columns = Math.max(1, Math.floor(width / (legendSymbol + longest)));
  const legend = { title: null, orient: 'bottom' as const, columns, values: listed };
  const bySeries = <T>(range: readonly T[]) => ({
    field: 'series',
    type: 'nominal' as const,
    scale: { domain, range: [...range] },
    legend,
  });
  const where = (name: string) => `datum.series === ${JSON.stringify(name)}`;
  const cases = (pick: (style: SeriesStyle) => number) =>
    shown.map((style) => ({ test: where(style.name), value: pick(style) }));
  const far = xKind === 'count' ? Math.max(x.max, x.min + 1) : x.max;
  const type = { titleFontSize: size.titleFont, labelFontSize: size.labelFont };
  return {
    width: size.width,
    height: size.height,
    data: {
      values: points.map((point) => ({ ...point, y: scales.y === 'linear' ? point.y : Math.max(point.y, farBelow) })),
    },
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative' as const,
        scale: { type: scales.x, domain: [x.min, far], nice: false },
        axis: {
          title: axes.x,
          gridColor,
          grid: scales.x === 'log',
          ...type,
          ...ticksOf(scales.x, { min: x.min, max: far }, size.ticks.x),
          ...(xKind === 'count' ? { tickMinStep: 1 } : {}),
        },
      },
      y: {
        field: 'y',
        type: 'quantitative' as const,
        scale: { type: scales.y, domain: [y.min, y.max], nice: false },
        axis: { title: axes.y, gridColor, ...type, ...ticksOf(scales.y, y, size.ticks.y) },
      },
    },
    layer: [
      ...bandLayers(bands, shown, y, scales.y),
      {
        mark: { type: 'line' as const, clip: true },
        encoding: {
          color: bySeries(shown.map(({ color }) => color)),
          strokeDash: bySeries(shown.map(({ dash }) => [...dash])),
          strokeWidth: { condition: cases((style) => style.width), value: 2 },
          opacity: { condition: cases(({ opacity }) => opacity ?? 1), value: 1 },
          detail: { field: 'series', type: 'nominal' as const },
        },
      },
      // A single evaluation would be a line without length.
      ...shown
        .filter(({ marked }) => marked)
        .map(({ name, color }) => ({
          transform: [{ filter: `${where(name)} && datum.y >= ${y.min} && datum.y <= ${y.max}` }],
          mark: { type: 'point' as const, filled: true, size: size === large ? 60 : 24, opacity: 1, color },
        })),
    ],
  };
}

const gridColor = '#ececec';

/** `format` is for who cannot see the labels, whose descriptions of points have it. */
function ticksOf(scale: Scale, extent: Extent, most: number): object {
  const ticks = scale === 'log' ? { values: [...logTicks(extent, most)] } : { tickCount: most };
  return { ...ticks, labelExpr: numberLabel, format: '~g' };
}

/** `0.25`, `30,000`, `2e12`: a number of any size in a few letters. */
const numberLabel = [
  "abs(datum.value) >= 1e6 ? replace(format(datum.value, '~e'), '+', '')",
  "abs(datum.value) >= 1000 ? format(datum.value, ',~r')",
  "format(datum.value, '~r')",
].join(' : ');

function isDrawn({ x, y }: ChartPoint, scales: { readonly x: Scale }): boolean {
  return Number.isFinite(x) && Number.isFinite(y) && (scales.x === 'linear' || x > 0);
}

/** A line that lies wholly beyond the picture is left out: clipped to nothing, it makes the drawing of a PNG abort. */
function isSeen(name: string, points: readonly ChartPoint[], { min, max }: Extent): boolean {
  const heights = points.filter(({ series }) => series === name).map(({ y }) => y);
  return heights.some((y) => y <= max) && heights.some((y) => y >= min);
}

/** One layer a series, in its colour by name: a scale of their own would give the legend areas in place of lines. */
function bandLayers(bands: readonly ChartBand[], shown: readonly SeriesStyle[], { min, max }: Extent, scale: Scale) {
  // Just beyond the picture is as good as any place there, and no area becomes too large to be drawn.
  const [lowest, highest] = scale === 'log' ? [min / 10, max * 10] : [2 * min - max, 2 * max - min];
  const near = (y: number) => Math.min(Math.max(y, lowest), highest);
  return shown.flatMap(({ name, color }) => {
    const values = bands
      .filter(({ series }) => series === name)
      .map(({ x, low, high }) => ({ x, low: near(low), high: near(high) }));
    if (values.length === 0) return [];
    return [
      {
        data: { values },
        mark: { type: 'area' as const, clip: true, opacity: 0.15, color },
        encoding: { y: { field: 'low', type: 'quantitative' as const }, y2: { field: 'high' } },
      },
    ];
  });
}

/** The first that is there is taken; the bundled one is Open Sans. */
export const fontFamily = 'Open Sans, DejaVu Sans, Helvetica, Arial, sans-serif';

/** Of every picture. */
export const chartConfig = {
  font: fontFamily,
  title: { fontSize: 19, subtitleFontSize: 15, subtitleColor: '#555', subtitlePadding: 6, fontWeight: 'bold' },
  axis: { labelFontSize: 15, titleFontSize: 16, titlePadding: 10, titleFontWeight: 'normal', domainColor: '#888' },
  legend: {
    labelFontSize: legendFont,
    symbolSize: 400,
    symbolStrokeWidth: 2.5,
    labelLimit: width - legendSymbol,
    rowPadding: 6,
    columnPadding: 18,
    offset: 16,
  },
  view: { stroke: null },
} as const;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export function named(series: string, points: readonly Point[]): ChartPoint[] {
  return points.map(({ x, y }) => ({ x, y, series }));
}

/** How much of a curve is averaged where nobody says. */
export const usualSmoothing = 1 / 25;

/**
 * Running geometric mean over a part of the curve, so that it sits in the middle of a logarithmic axis; 0 leaves the curve as it is. What
 * is not finite is left out.
 */
export function smoothed(points: readonly Point[], part: number = usualSmoothing): readonly Point[] {
  const finite = points.filter(({ y }) => Number.isFinite(y));
  const half = Math.floor((finite.length * part) / 2);
  if (half === 0) return finite;
  const sums = new Float64Array(finite.length + 1);
  for (const [i, { y }] of finite.entries()) sums[i + 1] = sums[i] + Math.log(Math.max(y, farBelow));
  return finite.map(({ x }, i) => {
    const [from, to] = [Math.max(0, i - half), Math.min(finite.length, i + half + 1)];
    return { x, y: Math.exp((sums[to] - sums[from]) / (to - from)) };
  });
}

export function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / mostPoints);
  return points.filter((_, i) => i % every === 0 || i === points.length - 1);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
