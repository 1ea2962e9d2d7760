/**
 * The charts of a model of time series: loss over steps, error over times ahead, baselines in both, and what its forecasts look like.
 */
import type { TopLevelSpec } from 'vega-lite';
import { isSeriesEvaluation, isSeriesTrain, type MetricsRecord, type SeriesTestRecord } from '../runs/metrics.ts';
import { type BaselineName, seriesBaselineNames } from '../tasks/series-errors.ts';
import {
  type ChartTitle,
  chart,
  chartConfig,
  type Extent,
  named,
  type SeriesStyle,
  smoothed,
  thinned,
  trainingStyles,
} from './chart.ts';

const baselineStyles: Readonly<Record<BaselineName, Omit<SeriesStyle, 'name'>>> = {
  'last value': { color: '#8c6d31', dash: [2, 3], width: 2 },
  'last season': { color: '#756bb1', dash: [4, 3], width: 2 },
  mean: { color: '#636363', dash: [2, 2], width: 1.6 },
  'best possible': { color: '#238b45', dash: [6, 3], width: 2 },
};
const baselineSeries = seriesBaselineNames.map((name): SeriesStyle => ({ name, ...baselineStyles[name] }));
const ownColor = '#d94801';

/** Mean squared error of each baseline. */
export type BaselineLevels = Readonly<Partial<Record<BaselineName, number>>>;

export function seriesLossChart(
  records: readonly MetricsRecord[],
  levels: BaselineLevels,
  title: ChartTitle,
): TopLevelSpec {
  const train = records.filter(isSeriesTrain).map(({ step, loss }) => ({ x: step, y: loss }));
  const evaluations = records.filter(isSeriesEvaluation).map(({ step, loss }) => ({ x: step, y: loss }));
  const last = Math.max(1, ...records.map(({ step }) => step));
  const own = [
    ...named('training, every place', thinned(train)),
    ...named('training, smoothed', thinned(smoothed(train))),
    ...named('validation', evaluations),
  ];
  const points = [
    ...own,
    ...seriesBaselineNames.flatMap((name) => {
      const y = levels[name];
      return y === undefined
        ? []
        : named(
            name,
            [0, last].map((x) => ({ x, y })),
          );
    }),
  ];
  const [pale, strong] = trainingStyles;
  const series = [
    { ...pale, name: 'training, every place' },
    strong,
    { name: 'validation', color: ownColor, dash: [1, 0], width: 2.6, marked: true },
    ...baselineSeries,
  ];
  const axes = { x: 'training step', y: 'mean squared error, standardised' };
  return chart({ points, series, axes, title, x: { min: 0, max: last }, y: extentOf(points.map(({ y }) => y)) });
}

export function aheadChart({ ahead, baselines }: SeriesTestRecord, title: ChartTitle): TopLevelSpec {
  const curve = (values: readonly number[]) => values.map((y, a) => ({ x: a + 1, y }));
  const points = [
    ...named('forecast', curve(ahead)),
    ...seriesBaselineNames.flatMap((name) => named(name, curve(baselines[name]?.ahead ?? []))),
  ];
  const series = [{ name: 'forecast', color: ownColor, dash: [1, 0], width: 2.6 }, ...baselineSeries];
  const axes = { x: 'times ahead', y: 'mean squared error, standardised' };
  return chart({
    points,
    series,
    axes,
    title,
    x: { min: 1, max: ahead.length },
    y: extentOf(points.map(({ y }) => y)),
  });
}

function extentOf(values: readonly number[]): Extent {
  const above = values.filter((value) => value > 0);
  return { min: Math.min(...above) / 1.2, max: Math.max(...above) * 1.2 };
}

const known = { domain: ['known', 'what followed', 'forecast'], range: ['#969696', '#08519c', ownColor] };

/** One picture above the other, each of a column: the end of what was known, what followed, and the forecast. */
export function forecastChart({ examples }: Pick<SeriesTestRecord, 'examples'>, title: ChartTitle): TopLevelSpec {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    padding: 20,
    background: 'white',
    title: { text: title.title, subtitle: title.subtitle, anchor: 'start', offset: 14 },
    vconcat: examples.map(({ column, row, context, truth, forecast }, i) => {
      const from = (line: string, values: readonly number[], first: number) =>
        values.map((y, t) => ({ line, y, x: first + t }));
      // The forecast begins where the known ends, so that the lines are seen to part.
      const lastKnown = context.slice(-1);
      const values = [
        ...from('known', context, row - context.length),
        ...from('what followed', [...lastKnown, ...truth], row - 1),
        ...from('forecast', [...lastKnown, ...forecast], row - 1),
      ];
      return {
        width: 600,
        height: 110,
        data: { values },
        mark: { type: 'line' as const, strokeWidth: 2 },
        encoding: {
          x: {
            field: 'x',
            type: 'quantitative' as const,
            scale: { zero: false, nice: false },
            axis: { title: i === examples.length - 1 ? 'row' : null, grid: false, format: ',~d', tickMinStep: 1 },
          },
          y: {
            field: 'y',
            type: 'quantitative' as const,
            scale: { zero: false },
            axis: { title: column, gridColor: '#ececec', tickCount: 4 },
          },
          color: {
            field: 'line',
            type: 'nominal' as const,
            scale: known,
            legend: { title: null, orient: 'bottom' as const },
          },
        },
      };
    }),
    config: chartConfig,
  };
}
