/** One process at a time trains in a run's folder. */
import { type FolderLock, lockFolder } from '../../compiler/command-line/folder-lock.ts';

/** Throws UserError where another process trains there. */
export function lockRun(path: string): FolderLock {
  return lockFolder(path, { doing: 'training', help: 'train in another --out_dir' });
}
