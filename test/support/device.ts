/**
 * The device that all tests of a process share, so that pipelines compile once: opened at the first call, kept on the global
 * object because the test runner may load this module once a file. Importing this file (or runtime/device.ts) puts a test
 * into vitest's `device` project: see vitest.config.ts. Which device it is, MLBTC_DEVICE decides as everywhere else.
 */

import { type OpenedDevice, openDevice } from '../../runtime/device.ts';

const key = Symbol.for('mlbtc.testDevice');
const holder = globalThis as { [key]?: Promise<OpenedDevice> };

/** The shared device; never destroy it. A test that needs one of its own calls `openDevice`. */
export function testDevice(): Promise<OpenedDevice> {
  holder[key] ??= openDevice();
  return holder[key];
}
