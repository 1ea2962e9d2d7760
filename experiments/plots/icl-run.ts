/** The plots of a run of in-context regression from its folder alone: `plots/loss.*` and `plots/error-by-point.*`. */
import { counted } from '../../compiler/command-line/amounts.ts';
import type { ResolvedIcl } from '../options/icl.ts';
import { type RunFolder, scoreName } from '../runs/folder.ts';
import { readSettings, type SettingRecord } from '../runs/icl-run.ts';
import { isIclEvaluation, readMetrics } from '../runs/metrics.ts';
import { settingsOf } from '../tasks/settings.ts';
import { iclTasks } from '../tasks/tasks.ts';
import { contextChart, lossChart, settingsChart } from './icl-charts.ts';
import { chartFiles, renderChart } from './render.ts';

/** Files that a run's plots are in, as far as they are there. */
export function iclPlotFiles({ plotsPath }: RunFolder): readonly string[] {
  return chartFiles(plotsPath, ['loss', 'error-by-point', 'settings']);
}

export function settingsPlotFiles({ plotsPath }: RunFolder): readonly string[] {
  return chartFiles(plotsPath, ['settings']);
}

/** What `mlbtc eval` found, all settings in one picture. */
export async function plotSettings(folder: RunFolder, { options }: Pick<ResolvedIcl, 'options'>): Promise<void> {
  const records = readSettings(folder);
  if (records.length === 0) return;
  const order = settingsOf(options.training_task).map(({ name }) => name);
  const place = ({ setting }: SettingRecord) => order.indexOf(setting);
  const sorted = [...records].sort((a, b) => place(a) - place(b));
  const { title, answers } = iclTasks[options.training_task];
  const heading = {
    title: `${title} in context: ${scoreName({ options })} scores`,
    subtitle: `under every setting, at ${Math.min(...records.map(({ prompts }) => prompts))} prompts each; bands hold 90 % of the bootstrap`,
  };
  await renderChart(settingsChart(sorted, heading, answers), folder.plotsPath, 'settings');
}

export async function plotIclRun(folder: RunFolder, resolved: Pick<ResolvedIcl, 'options'>): Promise<void> {
  const { options } = resolved;
  const records = readMetrics(folder.metricsPath);
  const shape = `${counted(options.n_dims, 'dimension')}, d_model ${options.d_model}, ${counted(options.n_layer, 'layer')}, ${counted(options.n_head, 'head')}`;
  const { title: task, answers } = iclTasks[options.training_task];
  const title = `${task} in context: ${scoreName(resolved)} scores`;
  await renderChart(lossChart(records, { title, subtitle: shape }, answers), folder.plotsPath, 'loss');
  const evaluation = records.filter(isIclEvaluation).at(-1);
  if (evaluation !== undefined) {
    const subtitle = `${shape}; after step ${evaluation.step}, ${evaluation.prompts} held-out prompts`;
    await renderChart(contextChart(evaluation, { title, subtitle }, answers), folder.plotsPath, 'error-by-point');
  }
  await plotSettings(folder, resolved);
}
