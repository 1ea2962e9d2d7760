/**
 * The same device again after it was lost. A driver that resets takes a moment, and meanwhile another adapter may be the best there
 * is; a run that began on one device does not go on by itself on another.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MachineError } from '../compiler/command-line/errors.ts';
import { type DeviceOptions, type OpenedDevice, openDevice } from './device.ts';

const waitsMs = [0, 1000, 5000, 15_000];

/** Throws MachineError where it does not come back. */
export async function reopenDevice(lost: OpenedDevice, options: DeviceOptions): Promise<OpenedDevice> {
  lost.destroy();
  let problem: unknown;
  for (const waitMs of waitsMs) {
    await sleep(waitMs);
    try {
      const opened = await openDevice(options);
      if (opened.name === lost.name && opened.rung === lost.rung) return opened;
      opened.destroy();
      problem = new MachineError(`in the place of '${lost.name}' there is now '${opened.name}'`);
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}
