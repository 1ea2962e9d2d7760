/**
 * `mlbtc train icl|lm|series …`: options to a run folder with a trained model in it. What the kinds of training have in common is here:
 * signals, the device, the folder, the summary; what is trained is in `train-icl.ts`, `train-lm.ts` and `train-series.ts`.
 */
import type { Command } from 'commander';
import { goOnWithoutOutput, UsageError } from '../../compiler/command-line/errors.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { reopenDevice } from '../../runtime/reopen-device.ts';
import type { Score } from '../models/score.ts';
import type { OptionSet } from '../options/set.ts';
import type { OptionTable } from '../options/table.ts';
import { createRunFolder, discardUnstarted, type RunFolder } from '../runs/folder.ts';
import type { EvaluationRecord, TrainRecord } from '../runs/metrics.ts';
import { noteOutcome } from '../runs/outcome.ts';
import { copyNote, newTrainingRun, type ResolvedTraining } from '../runs/training-run.ts';
import { throughDeviceLosses } from '../training/device-losses.ts';
import { look } from '../training/look.ts';
import { train } from '../training/loop.ts';
import { createProgress, durationText } from '../training/progress.ts';
import { listenForSignals } from '../training/signals.ts';
import type { CompiledTask, Phase, Task } from '../training/task.ts';
import { answer, type DryKind } from './dry-kind.ts';
import { iclKind } from './train-icl.ts';
import { lmKind } from './train-lm.ts';
import { seriesKind } from './train-series.ts';

/** A kind of training, from its options on. */
export interface TrainingKind<
  Table extends OptionTable,
  R extends ResolvedTraining,
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
> extends DryKind<Table, R> {
  readonly begin: (resolved: R) => BegunTraining<P, C, T, E>;
}

/** What is known before a device is opened, and what is made on it. */
export interface BegunTraining<
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
> {
  readonly score: Score;
  /** What `run.json` says of it beside what every run says. */
  readonly record: Readonly<Record<string, unknown>>;
  /** What a person should hear first. */
  readonly notes: readonly (string | undefined)[];
  /** What is trained, in a line. */
  readonly title: string;
  readonly task: (opened: OpenedDevice) => Task<P, C, T, E>;
  /** Lines at the end. */
  readonly summary: (evaluation: E, opened: OpenedDevice, folder: RunFolder) => Promise<readonly string[]>;
  readonly files: (folder: RunFolder) => readonly string[];
}

/** The option table reads the words after `icl` itself: commander would not take `_` for `-`, nor `--x=True` for a flag. */
export function registerTrain(program: Command): void {
  const command = program
    .command('train')
    .description(
      'train a model: `mlbtc train icl --preset tiny`, `mlbtc train lm --preset tiny`; `mlbtc train icl --help` tells all',
    )
    .action(() => {
      throw new UsageError('say what to train: mlbtc train icl, mlbtc train lm or mlbtc train series');
    });
  addKind(command, iclKind, (words) => runTraining(iclKind, words));
  addKind(command, lmKind, (words) => runTraining(lmKind, words));
  addKind(command, seriesKind, (words) => runTraining(seriesKind, words));
}

function addKind<Table extends OptionTable>(
  command: Command,
  { set, about }: { readonly set: OptionSet<Table>; readonly about: string },
  run: (words: readonly string[]) => void | Promise<void>,
): void {
  command
    .command(set.name)
    .description(about)
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .argument('[options...]')
    .action((words: string[]) => run(words));
}

export async function runTraining<
  Table extends OptionTable,
  R extends ResolvedTraining,
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
>(kind: TrainingKind<Table, R, P, C, T, E>, words: readonly string[]): Promise<void> {
  const resolved = answer(kind, words);
  if (resolved === undefined) return;
  const { device, debug_nans: debugNans } = resolved.options;
  const progress = createProgress(process.stdout);
  goOnWithoutOutput();
  const signals = listenForSignals({
    onEndAsked: () => {
      progress.end();
      progress.say('ending: a checkpoint is written first; Ctrl-C again leaves at once');
    },
    beforeLeaving: () => progress.end(),
  });
  const looking = look(resolved.options, (line) => {
    progress.end();
    progress.say(line);
  });
  const startMs = performance.now();
  let folder: RunFolder | undefined;
  let opened: OpenedDevice | undefined;
  try {
    const { score, record, notes, title, task, summary, files } = kind.begin(resolved);
    for (const note of [...resolved.notes, copyNote(resolved, score), ...notes]) {
      if (note !== undefined) progress.say(note);
    }
    const options = device === null ? {} : { name: device };
    opened = await openDevice(options);
    folder = createRunFolder(newTrainingRun(kind.set.name, resolved, score, opened, words, record));
    progress.say(`${title} on ${opened.name}`);
    const run = folder;
    const { evaluation } = await throughDeviceLosses(opened, {
      folder,
      from: undefined,
      train: (device, from) =>
        train(task(device), {
          folder: run,
          progress,
          signals,
          from,
          debugNans,
          profiler: looking.profiler(device),
        }),
      reopen: async (lost) => {
        opened = await reopenDevice(lost, options);
        return opened;
      },
      say: (line) => {
        progress.end();
        progress.say(line);
      },
    });
    noteOutcome(folder);
    for (const line of await summary(evaluation, opened, folder)) progress.say(line);
    progress.say(`done in ${durationText((performance.now() - startMs) / 1000)}; the run is in ${folder.path}`);
    for (const file of files(folder)) progress.say(`  ${file}`);
  } catch (error) {
    if (folder !== undefined) {
      noteOutcome(folder, error);
      discardUnstarted(folder);
    }
    throw error;
  } finally {
    looking.end();
    signals.stop();
    opened?.destroy();
  }
}
