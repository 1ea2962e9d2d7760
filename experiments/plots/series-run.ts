/** The plots of a run of a time series model from its folder alone: `plots/loss.*`, and once it is tested `error-by-time.*` and `forecast.*`. */
import { counted } from '../../compiler/command-line/amounts.ts';
import type { SeriesOptions } from '../options/series.ts';
import { type RunFolder, scoreName } from '../runs/folder.ts';
import { isSeriesTest, readMetrics } from '../runs/metrics.ts';
import type { SeriesRunData } from '../runs/series-run.ts';
import { seriesBaselineNames } from '../tasks/series-errors.ts';
import { chartFiles, renderChart } from './render.ts';
import { aheadChart, forecastChart, seriesLossChart } from './series-charts.ts';

/** Files that a run's plots are in, as far as they are there. */
export function seriesPlotFiles({ plotsPath }: RunFolder): readonly string[] {
  return chartFiles(plotsPath, ['loss', 'error-by-time', 'forecast']);
}

export interface SeriesPlotted {
  readonly options: SeriesOptions;
  readonly data: Pick<SeriesRunData, 'name' | 'columns' | 'validation'>;
}

export async function plotSeriesRun(folder: RunFolder, { options, data }: SeriesPlotted): Promise<void> {
  const { d_model, n_layer, n_head, block_size, horizon } = options;
  const records = readMetrics(folder.metricsPath);
  const title = `Forecasts of ${data.name}: ${scoreName({ options })} scores`;
  const shape = `d_model ${d_model}, ${counted(n_layer, 'layer')}, ${counted(n_head, 'head')}, ${horizon} times ahead from ${block_size}`;
  const levels = Object.fromEntries(seriesBaselineNames.map((name) => [name, data.validation[name]?.mse]));
  await renderChart(seriesLossChart(records, levels, { title, subtitle: shape }), folder.plotsPath, 'loss');
  const test = records.findLast(isSeriesTest);
  if (test === undefined) return;
  const subtitle = `${shape}; test part, ${test.windows} windows, model of step ${test.step}`;
  await renderChart(aheadChart(test, { title, subtitle }), folder.plotsPath, 'error-by-time');
  await renderChart(forecastChart(test, { title, subtitle }), folder.plotsPath, 'forecast');
}
