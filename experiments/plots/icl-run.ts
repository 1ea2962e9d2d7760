/** The plots of a run of in-context regression from its folder alone: `plots/loss.*` and `plots/error-by-point.*`. */
import type { ResolvedIcl } from '../options/icl.ts';
import { type RunFolder, scoreName } from '../runs/folder.ts';
import { isIclEvaluation, readMetrics } from '../runs/metrics.ts';
import { iclTasks } from '../tasks/tasks.ts';
import { contextChart, lossChart } from './icl-charts.ts';
import { chartFiles, renderChart } from './render.ts';

/** Files that a run's plots are in, as far as they are there. */
export function iclPlotFiles({ plotsPath }: RunFolder): readonly string[] {
  return chartFiles(plotsPath, ['loss', 'error-by-point']);
}

export async function plotIclRun(folder: RunFolder, resolved: Pick<ResolvedIcl, 'options'>): Promise<void> {
  const { options } = resolved;
  const records = readMetrics(folder.metricsPath);
  const shape = `${options.n_dims} dimensions, d_model ${options.d_model}, ${options.n_layer} layers, ${options.n_head} heads`;
  const { title: task, answers } = iclTasks[options.training_task];
  const title = `${task} in context: ${scoreName(resolved)} scores`;
  await renderChart(lossChart(records, { title, subtitle: shape }, answers), folder.plotsPath, 'loss');
  const evaluation = records.filter(isIclEvaluation).at(-1);
  if (evaluation !== undefined) {
    const subtitle = `${shape}; after step ${evaluation.step}, ${evaluation.prompts} held-out prompts`;
    await renderChart(contextChart(evaluation, { title, subtitle }, answers), folder.plotsPath, 'error-by-point');
  }
}
