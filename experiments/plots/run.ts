/**
 * A run's plots again from its folder alone, whichever training made it: `run.json` says which, and its options and metrics are drawn by
 * what draws them while it trains.
 */
import { existsSync } from 'node:fs';
import { UserError } from '../../compiler/command-line/errors.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import { iclOptions } from '../options/icl.ts';
import { readLayer } from '../options/layer-file.ts';
import { complete } from '../options/parse.ts';
import type { TaskName } from '../options/set.ts';
import { existingRun, type RunFolder } from '../runs/folder.ts';
import { readLmSetting } from '../runs/lm-run.ts';
import { readMetrics } from '../runs/metrics.ts';
import { readTask } from '../runs/provenance.ts';
import { readSeriesSetting } from '../runs/series-run.ts';
import { readVitSetting } from '../runs/vit-run.ts';
import { iclPlotFiles, plotIclRun } from './icl-run.ts';
import { lmLevels, lmPlotFiles, plotLmRun } from './lm-run.ts';
import { plotSeriesRun, seriesPlotFiles } from './series-run.ts';
import { plotVitRun, vitPlotFiles } from './vit-run.ts';

interface Plots {
  readonly draw: (folder: RunFolder) => Promise<void>;
  readonly files: (folder: RunFolder) => readonly string[];
}

/** Of each training that leaves a run. */
const plots: Readonly<Record<TaskName, Plots>> = {
  icl: {
    draw: (folder) =>
      plotIclRun(folder, { options: complete(iclOptions, readLayer(iclOptions, folder.configPath).values) }),
    files: iclPlotFiles,
  },
  lm: {
    draw: (folder) => {
      const { options, data } = readLmSetting(folder.path);
      return plotLmRun(folder, { options, text: data.name, levels: lmLevels(options, data) });
    },
    files: lmPlotFiles,
  },
  series: {
    draw: (folder) => plotSeriesRun(folder, readSeriesSetting(folder.path)),
    files: seriesPlotFiles,
  },
  vit: {
    draw: (folder) => plotVitRun(folder, readVitSetting(folder.path)),
    files: vitPlotFiles,
  },
};

/** Draws them; the files that they are in. Throws UserError where the folder holds no run, or one with nothing to draw. */
export async function plotRun(path: string): Promise<readonly string[]> {
  const folder = existingRun(path, 'mlbtc train');
  const task = readTask(folder.recordPath);
  const known = task === undefined ? undefined : plots[task];
  if (known === undefined) {
    throw new UserError(
      `${path} cannot be drawn: ${folder.recordPath} does not say that ` +
        `${Object.keys(plots)
          .map((name) => `\`mlbtc train ${name}\``)
          .join(' or ')} made it`,
    );
  }
  if (!existsSync(folder.metricsPath) || readMetrics(folder.metricsPath).length === 0) {
    throw new UserError(`${path} has nothing to draw yet: ${folder.metricsPath} holds no step`);
  }
  makeFolder(folder.plotsPath);
  await known.draw(folder);
  return known.files(folder);
}
