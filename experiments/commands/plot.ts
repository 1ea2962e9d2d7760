/** `mlbtc plot RUN`: draws a run's plots again, from its folder alone. */
import type { Command } from 'commander';
import { plotRun } from '../plots/run.ts';

export function registerPlot(program: Command): void {
  program
    .command('plot')
    .description("draw a run's plots from its metrics")
    .argument('<run>', 'folder of a run of `mlbtc train icl` or `mlbtc train lm`')
    .action(async (path: string) => {
      const files = await plotRun(path);
      process.stdout.write(files.map((file) => `${file}\n`).join(''));
    });
}
