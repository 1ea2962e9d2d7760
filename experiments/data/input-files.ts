/**
 * What is given to `mlbtc data prepare`, as a list of files in a fixed order: folders are walked, names in the order of their
 * characters. Said by a file's name: `.gz` and `.zst` are compressed, `.parquet` is a table, `.jsonl`, `.ndjson` and `.json` are
 * rows of JSON, a line each; everything else is a text.
 *
 * The traps: the output may lie inside an input, and would feed on itself; links may lead round in a circle, or to a file that
 * is there already, which would be counted twice.
 */
import { readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { atPath, UserError } from '../../compiler/command-line/errors.ts';

export type RowFormat = 'text' | 'json-lines' | 'parquet';
export type Compression = 'none' | 'gzip' | 'zstd';

export interface InputFile {
  /** As the command line names it, or below such a folder. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly format: RowFormat;
  readonly compression: Compression;
}

export interface InputFiles {
  readonly files: readonly InputFile[];
  /** Files and folders inside the given folders whose names begin with a dot: they are left out. */
  readonly hidden: number;
}

const compressions: Readonly<Record<string, Compression>> = { '.gz': 'gzip', '.zst': 'zstd' };
const formats: Readonly<Record<string, RowFormat>> = {
  '.jsonl': 'json-lines',
  '.ndjson': 'json-lines',
  '.json': 'json-lines',
  '.parquet': 'parquet',
};

/** What a file's name says of its content. */
export function formatOf(path: string): Pick<InputFile, 'format' | 'compression'> {
  const lower = path.toLowerCase();
  const packed = Object.keys(compressions).find((ending) => lower.endsWith(ending));
  const bare = packed === undefined ? lower : lower.slice(0, -packed.length);
  const known = Object.keys(formats).find((ending) => bare.endsWith(ending));
  return {
    compression: packed === undefined ? 'none' : compressions[packed],
    format: known === undefined ? 'text' : formats[known],
  };
}

/** `without`: paths that are left out wherever they are met. Throws system errors, and UserError where there is nothing to read. */
export function findInputFiles(inputs: readonly string[], without: readonly string[] = []): InputFiles {
  const files: InputFile[] = [];
  const seen = new Map<string, string>();
  const leftOut = new Set(without.map(realOf).filter((path) => path !== undefined));
  let hidden = 0;

  const visit = (path: string, above: readonly string[]) => {
    const real = realOrThrow(path);
    if (leftOut.has(real)) return;
    const stats = statSync(real);
    if (stats.isDirectory()) {
      if (above.includes(real)) throw new UserError(`${path}: its links lead round in a circle`);
      for (const name of readdirSync(real).sort(byCharacters)) {
        if (name.startsWith('.')) hidden += 1;
        else visit(join(path, name), [...above, real]);
      }
      return;
    }
    if (!stats.isFile()) {
      throw new UserError(
        `${path}: is no file; what is prepared must be there to be read again, so save it as a file first`,
      );
    }
    const before = seen.get(real);
    if (before !== undefined) {
      const twice = before === path ? `${path} is given twice` : `${path} is the same file as ${before}`;
      throw new UserError(`${twice}, and its text would count twice; give it once`);
    }
    seen.set(real, path);
    files.push({ path, sizeBytes: stats.size, modifiedMs: stats.mtimeMs, ...formatOf(path) });
  };

  for (const input of inputs) visit(input, []);
  if (files.length === 0) {
    const output = inputs.find((input) => leftOut.has(realOrThrow(input)));
    throw new UserError(
      output === undefined
        ? `no files in ${inputs.join(', ')}`
        : `${output} is where the tokens go, and not read; there is no other input`,
    );
  }
  return { files, hidden };
}

function byCharacters(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function realOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function realOrThrow(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw atPath(error, path);
  }
}
