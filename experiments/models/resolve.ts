/** How imports are answered for the experiments: the library by bare name, files relative to the one that imports them. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { structurePath } from '../library.ts';

export type Resolve = (path: string, fromFile: string) => Source | undefined;

export function fileSource(path: string): Source | undefined {
  return existsSync(path) ? { file: path, text: readFileSync(path, 'utf8') } : undefined;
}

/** Throws UserError where there is no such file. */
export function readSource(path: string): Source {
  const source = fileSource(path);
  if (source === undefined) throw new UserError(`${path}: no such file`);
  return source;
}

export const resolveFile: Resolve = (path, fromFile) => {
  if (!path.endsWith('.mlbtc') && !/[\\/]/.test(path)) return fileSource(structurePath(path));
  return fileSource(isAbsolute(path) ? path : join(dirname(fromFile), path));
};
