/**
 * Folders on the way to a file.
 *
 * The trap: Node's own `recursive` never ends where the system answers ENOENT to the making of a folder whose parent is there,
 * as /proc does.
 */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemError } from './errors.ts';

/** Makes a folder and those above it where they are missing. Throws system errors. */
export function makeFolder(path: string): void {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) throw systemError('EEXIST', 'mkdir', path);
    return;
  }
  makeFolder(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!existsSync(path) || !statSync(path).isDirectory()) throw error;
  }
}
