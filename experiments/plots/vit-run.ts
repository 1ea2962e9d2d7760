/** The plots of a run of a vision transformer from its folder alone: `plots/loss.*`, `accuracy.*`, and once it is tested `confusion.*`. */
import { counted } from '../../compiler/command-line/amounts.ts';
import type { VitOptions } from '../options/vit.ts';
import { type RunFolder, scoreName } from '../runs/folder.ts';
import { isVitEvaluation, isVitTest, readMetrics } from '../runs/metrics.ts';
import type { VitRunData } from '../runs/vit-run.ts';
import { chartFiles, renderChart } from './render.ts';
import { accuracyChart, confusionChart, vitLossChart } from './vit-charts.ts';

/** Files that a run's plots are in, as far as they are there. */
export function vitPlotFiles({ plotsPath }: RunFolder): readonly string[] {
  return chartFiles(plotsPath, ['loss', 'accuracy', 'confusion']);
}

export interface VitPlotted {
  readonly options: VitOptions;
  readonly data: Pick<VitRunData, 'name' | 'classes' | 'validation'>;
}

export async function plotVitRun(folder: RunFolder, { options, data }: VitPlotted): Promise<void> {
  const { d_model, n_layer, n_head, patch_size, slot } = options;
  const records = readMetrics(folder.metricsPath);
  const maps = slot === null ? '' : `, ${slot.join(', ')}`;
  const title = `Vision transformer of ${data.name}: ${scoreName({ options })} scores${maps}`;
  const subtitle = `d_model ${d_model}, ${counted(n_layer, 'layer')}, ${counted(n_head, 'head')}, patches of ${patch_size} × ${patch_size}`;
  const { plotsPath } = folder;
  await renderChart(vitLossChart(records, data.classes.length, { title, subtitle }), plotsPath, 'loss');
  if (records.some(isVitEvaluation)) {
    await renderChart(accuracyChart(records, data.validation, { title, subtitle }), plotsPath, 'accuracy');
  }
  const test = records.findLast(isVitTest);
  if (test === undefined) return;
  const told = `${(100 * test.accuracy).toFixed(1)} % of ${test.images} test images, model of step ${test.step}`;
  await renderChart(confusionChart(test, data.classes, { title, subtitle: told }), plotsPath, 'confusion');
}
