/** `mlbtc runs [DIR]`: the runs below a folder, how far and how good they are, and in what they differ. */
import { existsSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { listRuns } from '../runs/list-runs.ts';
import { runsCsv, runsTable } from '../runs/runs-text.ts';

/** Where `mlbtc train` makes them. */
const usualFolder = 'runs';

const help = `
States: running; finished; interrupted, by a signal or without a word; diverged; failed, where the machine or a bug ended it; imported, and
not trained here; damaged, where the folder cannot be read, with the reason. Losses are the best on held-out data and the latest of
training; of a curriculum, those of its latest stage.

Examples
  mlbtc runs
  mlbtc runs sweeps/ranks --csv > ranks.csv
  mlbtc runs --json | jq '.runs[] | select(.state == "diverged") | .message'
`;

export function registerRuns(program: Command): void {
  program
    .command('runs')
    .description('list and compare the runs below a folder')
    .argument('[dir]', `folder of runs, at any depth (default: ${usualFolder})`)
    .addOption(new Option('--json', 'one JSON object').conflicts('csv'))
    .option('--csv', 'a row a run, a column for each option that differs')
    .addHelpText('after', help)
    .action((given: string | undefined, { json, csv }: { readonly json?: boolean; readonly csv?: boolean }) => {
      const folder = given ?? usualFolder;
      const runs = given === undefined && !existsSync(folder) ? [] : listRuns(folder);
      if (json) process.stdout.write(`${JSON.stringify({ runs }, null, 2)}\n`);
      else if (csv) process.stdout.write(runsCsv(runs));
      else if (runs.length === 0) process.stdout.write(`no runs below ${folder}; \`mlbtc train\` makes one\n`);
      else process.stdout.write(`${runsTable(runs).join('\n')}\n`);
    });
}
