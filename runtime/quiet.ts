/**
 * One call into native code without what it says on stderr. Dawn writes warnings there that no option and no callback takes
 * away, as two about the limits of lavapipe each time that it looks at it; they tell a person nothing.
 *
 * Node has no dup2. But the lowest free descriptor is what an open gives, so 2 is closed, opened on /dev/null, and afterwards
 * opened again on what it was. The traps: opened again, a terminal, a pipe or a file in append mode is what it was, while any
 * other file would lose its position and a socket cannot be opened: there the warnings stay. And no other thread may open a
 * file meanwhile, so this is for the moment in which a device is looked for, when nothing else runs.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const stderr = 2;

export function quietly<T>(action: () => T): T {
  const kept = openAgain();
  if (kept === undefined) return action();
  redirect('/dev/null', constants.O_WRONLY);
  try {
    return action();
  } finally {
    redirect(`/proc/self/fd/${kept.file}`, kept.flags);
    closeSync(kept.file);
  }
}

function redirect(path: string, flags: number): void {
  closeSync(stderr);
  openSync(path, flags);
}

/** A second descriptor of what stderr is, with the flags that open it; undefined where that would not be the same. */
function openAgain(): { readonly file: number; readonly flags: number } | undefined {
  if (process.platform !== 'linux' || !isMainThread) return undefined;
  const { O_ACCMODE, O_APPEND, O_NOCTTY } = { ...constants, O_ACCMODE: 3 };
  try {
    const status = fstatSync(stderr);
    // With 0 or 1 closed, an open would give that one.
    fstatSync(0);
    fstatSync(1);
    const octal = /^flags:\s*([0-7]+)/m.exec(readFileSync('/proc/self/fdinfo/2', 'latin1'))?.[1] ?? '';
    const now = Number.parseInt(octal, 8);
    if (!Number.isInteger(now) || (status.isFile() && (now & O_APPEND) === 0)) return undefined;
    const flags = (now & (O_ACCMODE | O_APPEND)) | O_NOCTTY;
    const file = openSync('/proc/self/fd/2', flags);
    const again = fstatSync(file);
    if (again.dev === status.dev && again.ino === status.ino) return { file, flags };
    closeSync(file);
    return undefined;
  } catch {
    return undefined;
  }
}
