/** `mlbtc plot RUN...`: one run's own plots again, or several runs over one another, from their folders alone. */
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../compiler/command-line/errors.ts';
import { usualSmoothing } from '../plots/chart.ts';
import { type Abscissa, abscissae } from '../plots/curves.ts';
import { plotRuns } from '../plots/overlay.ts';
import type { Drawing } from '../plots/overlay-charts.ts';
import { plotRun } from '../plots/run.ts';
import { runFolder } from '../runs/folder.ts';

const help = `
One RUN without options: its own plots again, into RUN/plots. Several, or any option: learning-curves, error-by-point (of icl) and
loss-by-compute of all of them, as SVG and PNG, into --out.

Examples
  mlbtc plot runs/icl-tiny
  mlbtc plot runs/*
  mlbtc plot runs/a runs/b --x flops --log both --label token_mixing_struct,d_model
  mlbtc plot runs/* --html compare.html
`;

interface PlotWords {
  readonly out?: string;
  readonly x?: Abscissa;
  readonly smooth?: number;
  readonly log?: keyof typeof scalesOf;
  readonly label?: readonly string[];
  readonly html?: string;
}

const scalesOf = {
  x: { x: 'log', y: 'linear' },
  y: { x: 'linear', y: 'log' },
  both: { x: 'log', y: 'log' },
  none: { x: 'linear', y: 'linear' },
} as const satisfies Readonly<Record<string, Drawing['scales']>>;

export function registerPlot(program: Command): void {
  program
    .command('plot')
    .description("draw a run's plots, or several runs over one another")
    .argument('<run...>', 'folders of runs of `mlbtc train`')
    .option('-o, --out <dir>', 'folder of the pictures (default: plots, of a single run RUN/plots)')
    .addOption(new Option('--x <axis>', 'what curves are drawn over (default: step)').choices([...abscissae]))
    .option('--smooth <part>', `part of a curve that is averaged, 0 for none (default: ${usualSmoothing})`, partOf)
    .addOption(
      new Option('--log <axes>', 'logarithmic axes (default: y; both against compute)').choices(Object.keys(scalesOf)),
    )
    .option('--label <options>', 'call runs by these of their options, not by their folders', (words: string) =>
      words.split(',').map((word) => word.replaceAll('-', '_')),
    )
    .option('--html <file>', 'also one page with everything in it, for any browser')
    .addHelpText('after', help)
    .action((paths: readonly string[], words: PlotWords) => draw(paths, words));
}

async function draw(paths: readonly string[], words: PlotWords): Promise<void> {
  const twice = paths.find((path, at) => paths.findIndex((other) => resolve(other) === resolve(path)) < at);
  if (twice !== undefined) throw new UsageError(`${twice} is given twice; its curves would lie over one another`);
  const isAlone = paths.length === 1;
  const print = (lines: readonly string[]) => process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  if (isAlone && Object.keys(words).every((name) => name === 'debug')) {
    print(await plotRun(paths[0]));
    return;
  }
  const { files, notes } = await plotRuns(paths, {
    out: words.out ?? (isAlone ? runFolder(paths[0]).plotsPath : 'plots'),
    abscissa: words.x ?? 'step',
    smoothing: words.smooth ?? usualSmoothing,
    scales: words.log === undefined ? undefined : scalesOf[words.log],
    label: words.label ?? [],
    html: words.html,
  });
  print([...notes, ...files]);
}

function partOf(word: string): number {
  const part = Number(word);
  if (word.trim() === '' || !(part >= 0 && part <= 1)) {
    throw new InvalidArgumentError('a part of the curve is expected, from 0 to 1, such as 0.1.');
  }
  return part;
}
