/** `mlbtc train icl …`: options to a run folder with a trained model in it. */
import type { Command } from 'commander';
import { goOnWithoutOutput, UsageError } from '../../compiler/command-line/errors.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { checkCausal } from '../models/causal.ts';
import { scoreOf } from '../models/score.ts';
import { optionsHelp } from '../options/help.ts';
import { checkTraining, iclOptions, type ResolvedIcl, resolveIcl } from '../options/icl.ts';

import { plotFiles } from '../plots/icl-run.ts';
import { createRunFolder, discardUnstarted, type RunFolder, scoreName } from '../runs/folder.ts';
import { copyNote, newIclRun } from '../runs/icl-run.ts';
import type { IclEvaluationRecord } from '../runs/metrics.ts';
import { iclTask, stagesOf } from '../training/icl-task.ts';
import { train } from '../training/loop.ts';
import { createProgress, durationText, short } from '../training/progress.ts';
import { listenForSignals } from '../training/signals.ts';

/** The option table reads the words after `icl` itself: commander would not take `_` for `-`, nor `--x=True` for a flag. */
export function registerTrain(program: Command): void {
  const command = program
    .command('train')
    .description('train a model: `mlbtc train icl --preset tiny`; `mlbtc train icl --help` tells all')
    .action(() => {
      throw new UsageError('say what to train: mlbtc train icl');
    });
  command
    .command('icl')
    .description('regression in context')
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .argument('[options...]')
    .action((words: string[]) => trainIcl(words));
}

export async function trainIcl(words: readonly string[]): Promise<void> {
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(optionsHelp(iclOptions));
    return;
  }
  const resolved = resolveIcl(words);
  const { options, notes } = resolved;
  checkTraining(options);
  const progress = createProgress(process.stdout);
  goOnWithoutOutput();
  let folder: RunFolder | undefined;
  const signals = listenForSignals({
    onEndAsked: () => {
      progress.end();
      progress.say('ending: a checkpoint is written first; Ctrl-C again leaves at once');
    },
    beforeLeaving: () => {
      progress.end();
      if (folder !== undefined) discardUnstarted(folder);
    },
  });
  const startMs = performance.now();
  let opened: OpenedDevice | undefined;
  try {
    const score = scoreOf(options, resolved.sizes, resolved.copies);
    const points = stagesOf(options).map((stage) => stage.points);
    const warnings = [copyNote(resolved, score), checkCausal(options, score, points)];
    for (const note of [...notes, ...warnings]) if (note !== undefined) progress.say(note);
    opened = await openDevice(options.device === null ? {} : { name: options.device });
    folder = createRunFolder(newIclRun(resolved, score, opened, words));
    progress.say(`${describe(resolved)} on ${opened.name}`);
    const result = await train(iclTask(resolved, opened, score), { folder, progress, signals });
    for (const line of summary(result.evaluation)) progress.say(line);
    progress.say(`done in ${durationText((performance.now() - startMs) / 1000)}; the run is in ${folder.path}`);
    for (const file of plotFiles(folder)) progress.say(`  ${file}`);
  } catch (error) {
    if (folder !== undefined) discardUnstarted(folder);
    throw error;
  } finally {
    signals.stop();
    opened?.destroy();
  }
}

function describe(resolved: ResolvedIcl): string {
  const { n_dims, d_model, n_layer, n_head, training_train_steps: steps, test_run } = resolved.options;
  const length = test_run ? 'a test run' : `${steps} steps`;
  return (
    `training: ${scoreName(resolved)} scores, ${n_dims} dimensions, d_model ${d_model}, ` +
    `${n_layer} layers, ${n_head} heads, ${length}`
  );
}

/** The last point's error beside those of the baselines, which is what a run is judged by. */
function summary({ pointwise, baselines, prompts, points }: IclEvaluationRecord): readonly string[] {
  const last = points - 1;
  const others = Object.entries(baselines).map(([name, errors]) => `${name} ${short(errors[last])}`);
  return [
    `error with ${last} points in context, ${prompts} held-out prompts: ${short(pointwise[last])} (${others.join(', ')})`,
  ];
}
