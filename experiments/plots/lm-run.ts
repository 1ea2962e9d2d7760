/** The plot of a language model's run from its folder alone: `plots/loss.*`. */
import { counted } from '../../compiler/command-line/amounts.ts';
import type { LmOptions } from '../options/lm.ts';
import { type RunFolder, scoreName } from '../runs/folder.ts';
import type { RunData } from '../runs/lm-run.ts';
import { readMetrics } from '../runs/metrics.ts';
import { type LmLevels, lmLossChart } from './lm-charts.ts';
import { chartFiles, renderChart } from './render.ts';

/** Files that a run's plots are in, as far as they are there. */
export function lmPlotFiles({ plotsPath }: RunFolder): readonly string[] {
  return chartFiles(plotsPath, ['loss']);
}

export interface LmPlotted {
  readonly options: LmOptions;
  /** Of the text, for the title. */
  readonly text: string;
  readonly levels: LmLevels;
}

/** What the loss is held against, from what `run.json` says of the text. */
export function lmLevels(
  { vocab_size }: Pick<LmOptions, 'vocab_size'>,
  { bigramEntropy, vocabulary }: Pick<RunData, 'bigramEntropy' | 'vocabulary'>,
): LmLevels {
  return { bigrams: bigramEntropy, vocabulary: vocab_size ?? vocabulary };
}

export async function plotLmRun(folder: RunFolder, { options, text, levels }: LmPlotted): Promise<void> {
  const { d_model, n_layer, n_head, block_size } = options;
  const title = {
    title: `Language model of ${text}: ${scoreName({ options })} scores`,
    subtitle: `d_model ${d_model}, ${counted(n_layer, 'layer')}, ${counted(n_head, 'head')}, ${block_size} tokens`,
  };
  await renderChart(lmLossChart(readMetrics(folder.metricsPath), levels, title), folder.plotsPath, 'loss');
}
