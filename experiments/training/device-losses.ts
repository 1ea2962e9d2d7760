/**
 * A training that outlives its device: a driver that resets, a GPU that falls off the bus. The device is opened again and the run goes
 * on from its last checkpoint, as if it had been resumed, so its record and params are, bit for bit, those of a run that lost nothing.
 *
 * The trap: what a lost device is asked for fails with errors of many kinds, or not at all; so whatever error comes up, the device is
 * asked first. And a device that is lost again before the next checkpoint would be lost for ever.
 */
import { describeError, MachineError } from '../../compiler/command-line/errors.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { type Checkpoint, lastGoodCheckpoint } from '../runs/checkpoint.ts';
import type { RunFolder } from '../runs/folder.ts';

export interface LosableTraining<T> {
  readonly folder: RunFolder;
  /** Where it begins. */
  readonly from: Checkpoint | undefined;
  readonly train: (opened: OpenedDevice, from: Checkpoint | undefined) => Promise<T>;
  /** Opens the device again; throws MachineError where that cannot be done. */
  readonly reopen: (lost: OpenedDevice) => Promise<OpenedDevice>;
  readonly say: (line: string) => void;
}

/** So many losses without a new checkpoint between them end a run. */
const lossesAllowed = 3;

/** Throws what the training throws, and MachineError where the device does not stay. */
export async function throughDeviceLosses<T>(device: OpenedDevice, training: LosableTraining<T>): Promise<T> {
  const { folder, train, reopen, say } = training;
  let opened = device;
  let { from } = training;
  let losses = 0;
  for (;;) {
    try {
      return await train(opened, from);
    } catch (error) {
      const loss = await opened.lossBehind(error);
      if (loss === undefined) throw error;
      const { checkpoint, refused } = lastGoodCheckpoint(folder.checkpointsPath);
      for (const { path, reason } of refused) say(`warning: ${path} is not used: ${reason}`);
      losses = (checkpoint?.step ?? 0) > (from?.step ?? 0) ? 1 : losses + 1;
      const where = checkpoint === undefined ? 'the beginning' : `its checkpoint of step ${checkpoint.step}`;
      if (losses >= lossesAllowed) {
        throw new MachineError(
          `${loss.message}; that was the loss number ${losses} since ${where}, so the run ends here\n` +
            `  help: \`mlbtc resume ${folder.path}\` goes on from there once the device is well`,
        );
      }
      say(`${loss.message}; it is opened again, and the run goes on from ${where}`);
      from = checkpoint;
      opened = await reopen(opened).catch((problem: unknown) => {
        throw new MachineError(
          `${loss.message}, and cannot be opened again: ${describeError(problem).message}\n` +
            `  help: \`mlbtc resume ${folder.path}\` goes on from ${where}`,
        );
      });
    }
  }
}
