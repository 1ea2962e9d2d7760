/**
 * Whether the disk has room for all that a run will write, asked before its first step: a run that ends after a week for want of
 * space is a week too late.
 *
 * The trap: a checkpoint is written beside its place before an old one goes, so there is one more than are kept. What a resumed run
 * has on the disk already it need not find room for again.
 */
import { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bytesText } from '../../compiler/command-line/amounts.ts';
import { describeSystemError, hasCode, MachineError } from '../../compiler/command-line/errors.ts';
import type { Arena } from '../training/arena.ts';
import type { CompiledTask, Phase, Task } from '../training/task.ts';
import { checkpointSteps, recentlyKept } from './checkpoint.ts';
import type { RunFolder } from './folder.ts';
import type { EvaluationRecord, TrainRecord } from './metrics.ts';

/** What of a task says how much it writes. */
export type Writing = Pick<
  Task<Phase, CompiledTask<Phase>, TrainRecord, EvaluationRecord>,
  'steps' | 'logEverySteps' | 'evaluateEverySteps' | 'saveEverySteps' | 'keepEverySteps' | 'keepsBest'
>;

export interface DiskNeed {
  readonly checkpointBytes: number;
  /** At most so many at once, the one that is being written among them. */
  readonly checkpoints: number;
  readonly recordBytes: number;
  readonly total: number;
}

/** A line of metrics with its events for TensorBoard; lines are longer only where there are hundreds of points in context. */
const lineBytes = 2 ** 10;
const plotBytes = 2 ** 20;
/** Name, shape, place, for each of the three tensors of a param; a header has to be a little more. */
const headerBytesPerTensor = 256;

export function diskNeed(task: Writing, { slots }: Arena): DiskNeed {
  const { steps, logEverySteps, evaluateEverySteps, saveEverySteps, keepEverySteps, keepsBest } = task;
  const elements = slots.reduce((sum, slot) => sum + slot.elements, 0);
  const checkpointBytes = 3 * (4 * elements + headerBytesPerTensor * slots.length);
  const keptForGood = Number.isFinite(keepEverySteps)
    ? Math.floor(steps / leastCommonMultiple(saveEverySteps, keepEverySteps))
    : 0;
  const saves = 1 + Math.floor(steps / saveEverySteps);
  const checkpoints = keptForGood + Math.min(recentlyKept, saves) + (keepsBest ? 1 : 0) + 1;
  const lines = steps / logEverySteps + steps / evaluateEverySteps;
  const recordBytes = Math.ceil(lines) * lineBytes + plotBytes;
  return { checkpointBytes, checkpoints, recordBytes, total: checkpoints * checkpointBytes + recordBytes };
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

/** Throws MachineError where the disk, or the largest file that may be written, is too small for the run. */
export function refuseWithoutDisk(task: Writing, arena: Arena, { path, checkpointsPath }: RunFolder): void {
  const need = diskNeed(task, arena);
  const { checkpointBytes, checkpoints } = need;
  const limitBytes = fileSizeLimitBytes();
  if (checkpointBytes > limitBytes) {
    throw new MachineError(
      `a checkpoint takes ${bytesText(checkpointBytes)}, files may have ${bytesText(limitBytes)} here\n` +
        '  help: `ulimit -f unlimited` before the command lifts that limit',
    );
  }
  const { bavail, bsize } = statfsSync(path);
  const freeBytes = bavail * bsize + writtenBytes(checkpointsPath);
  if (need.total <= freeBytes) return;
  throw new MachineError(
    `the run will write up to ${bytesText(need.total)} (${checkpoints} checkpoints of ${bytesText(checkpointBytes)} at once, ` +
      `the one being written among them, and ${bytesText(need.recordBytes)} of metrics and plots), ` +
      `${path} has room for ${bytesText(freeBytes)}\n` +
      `  help: another disk with --out_dir${checkpoints > leastCheckpoints ? ', or fewer checkpoints kept for good' : ''}`,
  );
}

/** Both recent ones, the best, and the one being written. */
const leastCheckpoints = 4;

/** What a run that ends for want of its disk says: what is wrong, and that nothing is lost. Any other error as it is. */
export function diskFailure(error: unknown, { path, checkpointsPath }: RunFolder): unknown {
  if (!hasCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS', 'EIO')) return error;
  const last = checkpointSteps(checkpointsPath).at(-1);
  const kept =
    last === undefined
      ? 'there is no checkpoint yet'
      : `its checkpoint of step ${last} is whole; with room again, \`mlbtc resume ${path}\` goes on from there`;
  return new MachineError(`${describeSystemError(error as NodeJS.ErrnoException)}; the run has ended, ${kept}`);
}

function writtenBytes(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

/** `ulimit -f`, as Linux tells it; elsewhere nobody knows. */
function fileSizeLimitBytes(): number {
  try {
    const soft = /^Max file size\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 'unlimited';
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
