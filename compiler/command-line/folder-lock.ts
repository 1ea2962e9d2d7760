/**
 * A folder that one process at a time works in: the file `lock` there says which. Its holder renews it while it lives, and a process
 * that is gone keeps nothing, however it went.
 *
 * Whether a holder lives is known where its process numbers are ours: the number must be taken, and by a process that began when the
 * holder did, since numbers are given again. Of another machine or container it is only known that it has been silent for long.
 *
 * The traps: clocks of two machines differ, so both ages are taken from files that the same file system has dated. And between
 * looking at a dead one's lock and taking it away another process may have done so and put its own there: to take one away is
 * work for one process at a time too, and has a lock of its own. And a lock that was copied along with its folder is nobody's.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { atPath, hasCode, UserError } from './errors.ts';

const renewEveryMs = 20_000;
const silentAfterMs = 120_000;

const holderSchema = z.object({
  pid: z.int().positive(),
  host: z.string(),
  since: z.string(),
  /** Where `pid` is a number of: a boot of a machine and a namespace of it. */
  numbers: z.string(),
  /** When the process began, in whatever unit its system tells; empty where it does not. */
  began: z.string(),
  token: z.string(),
  /** The folder, and the lock's own number in its file system: a copy has neither. */
  folder: z.string(),
  inode: z.string(),
});
export type LockHolder = z.infer<typeof holderSchema>;

export interface FolderLock {
  /** Whether a process that is gone had left its lock. */
  readonly wasLeft: boolean;
  /** Throws UserError where another process has taken the folder. */
  check(): void;
  /** What the process has put there stays; calling it again does nothing. */
  release(): void;
}

/** `doing` and `help` are for the message: "process 12 is training there", "choose another --out_dir". */
export interface LockWords {
  readonly doing: string;
  readonly help: string;
}

const lockName = 'lock';

/** Locks a folder that there is. Throws UserError where another process holds it, and system errors. */
export function lockFolder(folder: string, { doing, help }: LockWords): FolderLock {
  const path = join(folder, lockName);
  const token = randomBytes(8).toString('hex');
  const mine = { ...thisProcess(), since: new Date().toISOString(), token, folder: realpathSync(folder) };
  const candidate = join(folder, `.${lockName}.${token}.tmp`);
  let wasLeft = false;
  try {
    writeHolder(candidate, mine);
    wasLeft = take(path, candidate, mine, (found, silentMs) => {
      throw new UserError(`${folder} is in use: ${useText(found.holder, silentMs, { doing, help })}`);
    });
  } catch (error) {
    throw atPath(error, folder);
  } finally {
    rmSync(candidate, { force: true });
  }
  const holds = () => isOf(path, token);
  const renewal = setInterval(() => {
    renew(path, token);
  }, renewEveryMs);
  renewal.unref();
  return {
    wasLeft,
    check: () => {
      if (holds()) return;
      const other = readLock(path)?.holder;
      const who = other === undefined ? 'its lock is gone' : `process ${other.pid} on ${other.host} has taken it`;
      throw new UserError(`${folder} is not this process's any more: ${who}`);
    },
    release: () => {
      clearInterval(renewal);
      if (holds()) rmSync(path, { force: true });
    },
  };
}

/** Who holds a folder now; undefined where nobody does. */
export function lockHolder(folder: string): LockHolder | undefined {
  const found = readLock(join(folder, lockName));
  if (found?.holder === undefined) return undefined;
  return isHeld(found, Date.now() - found.renewedMs) ? found.holder : undefined;
}

type Locking = Omit<LockHolder, 'inode'>;

/**
 * Waits for nobody. Whether a process that is gone had left its lock at `path`.
 *
 * Who takes that away holds another beside it meanwhile, so that what it has found dead is what it removes; nobody else removes
 * a lock that is not its own. A process that goes while it holds that one has left it like any other.
 */
function take(
  path: string,
  candidate: string,
  holder: Locking,
  refuse: (found: FoundLock, silentMs: number) => never,
): boolean {
  let wasLeft = false;
  while (!putInPlace(candidate, path, holder)) {
    const found = readLock(path);
    if (found === undefined) continue;
    const silentMs = statSync(candidate).mtimeMs - found.renewedMs;
    if (isHeld(found, silentMs)) refuse(found, silentMs);
    const next = join(dirname(path), `.${basename(path)}.next.tmp`);
    take(next, candidate, holder, refuse);
    try {
      if (readLock(path)?.text !== found.text) continue;
      rmSync(path);
      wasLeft = true;
    } finally {
      rmSync(next, { force: true });
    }
  }
  return wasLeft;
}

/** Whole from the first moment, where links can be made; false where a lock is there. */
function putInPlace(candidate: string, path: string, holder: Locking): boolean {
  try {
    linkSync(candidate, path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error;
  }
  try {
    writeHolder(path, holder);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** A new file. */
function writeHolder(path: string, holder: Locking): void {
  const file = openSync(path, 'wx');
  try {
    const inode = String(fstatSync(file, { bigint: true }).ino);
    writeFileSync(file, `${JSON.stringify({ ...holder, inode } satisfies LockHolder)}\n`);
  } finally {
    closeSync(file);
  }
}

interface FoundLock {
  readonly path: string;
  readonly inode: string;
  readonly text: string;
  /** Undefined where it does not say: half written, or damaged. */
  readonly holder: LockHolder | undefined;
  readonly renewedMs: number;
}

function readLock(path: string): FoundLock | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
  try {
    const text = readFileSync(file, 'utf8');
    const { ino, mtimeNs } = fstatSync(file, { bigint: true });
    return { path, inode: String(ino), text, holder: holderOf(text), renewedMs: Number(mtimeNs) / 1e6 };
  } finally {
    closeSync(file);
  }
}

const isOf = (path: string, token: string) => readLock(path)?.holder?.token === token;

function holderOf(text: string): LockHolder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function isHeld({ path, inode, holder }: FoundLock, silentMs: number): boolean {
  if (holder === undefined || holder.numbers !== pidNumbers()) return silentMs < silentAfterMs;
  // A copy. Some file systems number their files anew, and some folders have two paths; a copy has both others.
  if (holder.inode !== inode && holder.folder !== realpathSync(dirname(path))) return false;
  if (!isAlive(holder.pid)) return false;
  const began = beginning(holder.pid);
  // Some systems do not show the processes of others.
  return began === holder.began || (began === '' && silentMs < silentAfterMs);
}

/** The same content in place, so that the file system dates it; another's lock stays as it is. */
function renew(path: string, token: string): void {
  try {
    const file = openSync(path, 'r+');
    try {
      const text = readFileSync(file, 'utf8');
      if (holderOf(text)?.token === token) writeSync(file, text, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    // Who needs the folder finds out when it writes there.
  }
}

function useText(holder: LockHolder | undefined, silentMs: number, { doing, help }: LockWords): string {
  const silent = `${Math.max(0, Math.round(silentMs / 1000))} s ago`;
  const wait = `wait ${Math.ceil((silentAfterMs - silentMs) / 1000)} s`;
  if (holder === undefined)
    return `its ${lockName} was written ${silent} and does not say by whom; ${wait}, or ${help}`;
  const { pid, host, since, numbers } = holder;
  if (numbers === pidNumbers()) return `process ${pid} is ${doing} there since ${since}; stop it, or ${help}`;
  return (
    `process ${pid} on ${host} is ${doing} there since ${since}, and gave a sign of life ${silent}; ` +
    `stop it and ${wait}, or ${help}`
  );
}

function thisProcess(): Pick<LockHolder, 'pid' | 'host' | 'numbers' | 'began'> {
  return { pid: process.pid, host: hostname(), numbers: pidNumbers(), began: beginning(process.pid) };
}

function pidNumbers(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

/** Of a process; empty where the system does not tell. A zombie has ended. */
function beginning(pid: number): string {
  try {
    // proc(5): after the name in parentheses comes the state, and the beginning is the 22nd field.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? 'ended' : fields[19];
  } catch {
    if (process.platform === 'linux' || process.platform === 'win32') return '';
  }
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return hasCode(error, 'EPERM');
  }
}
