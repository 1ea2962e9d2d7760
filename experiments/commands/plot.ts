/** `mlbtc plot RUN`: draws a run's plots again, from its folder alone. */
import type { Command } from 'commander';
import { iclOptions } from '../options/icl.ts';
import { complete, readLayer } from '../options/parse.ts';
import { plotFiles, plotRun } from '../plots/icl-run.ts';
import { runFolder } from '../runs/folder.ts';

export function registerPlot(program: Command): void {
  program
    .command('plot')
    .description("draw a run's plots from its metrics")
    .argument('<run>', 'folder of the run')
    .action(async (path: string) => {
      const folder = runFolder(path);
      const options = complete(iclOptions, readLayer(iclOptions, folder.configPath).values);
      await plotRun(folder, { options });
      process.stdout.write(
        plotFiles(folder)
          .map((file) => `${file}\n`)
          .join(''),
      );
    });
}
