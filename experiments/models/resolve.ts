/**
 * How imports are answered for the experiments: the library by bare name, files relative to the one that imports them, and the
 * two names behind which the score of a model lies (score.ts).
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { Source } from '../../compiler/syntax/diagnostic.ts';
import { modelPath, structurePath } from '../library.ts';
import { adapterFile, adapterImport, scoreImport } from './score.ts';

export type Resolve = (path: string, fromFile: string) => Source | undefined;

export function fileSource(path: string): Source | undefined {
  return existsSync(path) ? { file: path, text: readFileSync(path, 'utf8') } : undefined;
}

export const resolveFile: Resolve = (path, fromFile) => {
  if (!path.endsWith('.mlbtc') && !/[\\/]/.test(path)) return fileSource(structurePath(path));
  return fileSource(isAbsolute(path) ? path : join(dirname(fromFile), path));
};

/** `model` imports the adapter, the adapter the score. */
export function resolveScore(model: string, adapter: Source, score: Source): Resolve {
  return (path, fromFile) => {
    if (path === adapterImport && fromFile === modelPath(model)) return adapter;
    if (path === scoreImport && fromFile === adapterFile) return score;
    return resolveFile(path, fromFile);
  };
}
