/**
 * Where mlbtc keeps what it can make again: the unpacked software device and the tuner's answers.
 *
 * The trap: on a shared or locked-down machine neither place may be writable; callers must be able to do without.
 */

import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** `$XDG_CACHE_HOME/mlbtc`, or `~/.cache/mlbtc`; a relative XDG_CACHE_HOME is ignored, as its specification asks. */
export function cacheFolder(): string {
  const configured = process.env.XDG_CACHE_HOME;
  return join(configured !== undefined && isAbsolute(configured) ? configured : join(homedir(), '.cache'), 'mlbtc');
}
