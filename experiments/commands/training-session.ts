/**
 * A training as a process: signals, the device, the claim to the run's folder, the summary. Whether the run begins or goes on is the
 * caller's business (`train-new.ts`, `resume-run.ts`).
 */
import { goOnWithoutOutput } from '../../compiler/command-line/errors.ts';
import type { FolderLock } from '../../compiler/command-line/folder-lock.ts';
import { type DeviceOptions, type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { reopenDevice } from '../../runtime/reopen-device.ts';
import type { debugRows } from '../options/transformer.ts';
import type { Checkpoint } from '../runs/checkpoint.ts';
import { discardUnstarted, type RunFolder } from '../runs/folder.ts';
import type { EvaluationRecord, TrainRecord } from '../runs/metrics.ts';
import { noteOutcome } from '../runs/outcome.ts';
import type { ResolvedTraining } from '../runs/training-run.ts';
import { throughDeviceLosses } from '../training/device-losses.ts';
import { look } from '../training/look.ts';
import { train } from '../training/loop.ts';
import { pinChoices } from '../training/plans.ts';
import { createProgress, durationText } from '../training/progress.ts';
import { listenForSignals } from '../training/signals.ts';
import type { CompiledTask, Phase } from '../training/task.ts';
import { differenceOnTensorCores, differenceText } from '../training/tensor-core-check.ts';
import type { BegunTraining } from './training-kind.ts';

/** The folder that a training writes into, and nobody else meanwhile. */
export interface Claim {
  readonly folder: RunFolder;
  readonly lock: FolderLock;
  /** Where the run goes on; undefined where it begins. */
  readonly from: Checkpoint | undefined;
  /** Whether the folder was made for this training, and goes again if nothing is trained. */
  readonly isNew: boolean;
  /** What a person should hear of it. */
  readonly notes: readonly (string | undefined)[];
}

/** `device`: the adapter to use; null: the best one found. `tensor_cores`: null: as the environment says. */
type SessionOptions = Pick<ResolvedTraining['options'], 'device' | 'tensor_cores' | keyof typeof debugRows>;

export interface Session<
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
> {
  readonly begin: () => BegunTraining<P, C, T, E>;
  /** What a person should hear first, beside what the training itself notes. */
  readonly notes: (begun: BegunTraining<P, C, T, E>) => readonly (string | undefined)[];
  readonly options: SessionOptions;
  readonly claim: (opened: OpenedDevice, begun: BegunTraining<P, C, T, E>) => Claim;
}

export async function trainInSession<
  P extends Phase,
  C extends CompiledTask<P>,
  T extends TrainRecord,
  E extends EvaluationRecord,
>({ begin, notes, options, claim }: Session<P, C, T, E>): Promise<void> {
  const { device, tensor_cores: tensorCores, debug_nans: debugNans } = options;
  const progress = createProgress(process.stdout);
  goOnWithoutOutput();
  const signals = listenForSignals({
    onEndAsked: () => {
      progress.end();
      progress.say('ending: a checkpoint is written first; Ctrl-C again leaves at once');
    },
    beforeLeaving: () => progress.end(),
  });
  const say = (lines: readonly (string | undefined)[]) => {
    for (const line of lines) if (line !== undefined) progress.say(line);
  };
  const looking = look(options, (line) => {
    progress.end();
    progress.say(line);
  });
  const startMs = performance.now();
  let claimed: Claim | undefined;
  let opened: OpenedDevice | undefined;
  try {
    const begun = begin();
    say([...notes(begun), ...begun.notes]);
    let wanted: DeviceOptions = {
      ...(device === null ? {} : { name: device }),
      ...(tensorCores === null ? {} : { tensorCores }),
    };
    opened = await openDevice(wanted);
    claimed = claim(opened, begun);
    const { folder, lock, from } = claimed;
    say([...claimed.notes, `${begun.title} on ${opened.name}`]);
    if (from?.decisions !== undefined) pinChoices(opened.target, from.decisions);
    const task = begun.task(opened);
    const difference = await differenceOnTensorCores(task, begun.task);
    if (difference !== undefined) {
      say([differenceText(difference)]);
      opened.destroy();
      wanted = { ...wanted, tensorCores: 'never' };
      opened = await openDevice(wanted);
    }
    const io = { folder, progress, signals, debugNans, checkClaim: lock.check };
    const { evaluation } = await throughDeviceLosses(opened, {
      folder,
      from,
      train: (on, goingOn) =>
        train(on === task.opened ? task : begun.task(on), { ...io, from: goingOn, profiler: looking.profiler(on) }),
      reopen: async (lost) => {
        opened = await reopenDevice(lost, wanted);
        return opened;
      },
      say: (line) => {
        progress.end();
        progress.say(line);
      },
    });
    noteOutcome(folder);
    say(await begun.summary(evaluation, opened, folder));
    say([`done in ${durationText((performance.now() - startMs) / 1000)}; the run is in ${folder.path}`]);
    say(begun.files(folder).map((file) => `  ${file}`));
  } catch (error) {
    if (claimed !== undefined) noteOutcome(claimed.folder, error);
    throw error;
  } finally {
    looking.end();
    claimed?.lock.release();
    if (claimed?.isNew) discardUnstarted(claimed.folder);
    signals.stop();
    opened?.destroy();
  }
}
