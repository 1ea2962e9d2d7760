/**
 * The file that TensorBoard reads beside `metrics.jsonl`: the same records as scalars, written as they come. A run that goes on begins
 * a file of its own.
 *
 * The traps: TensorBoard reads the files of a folder in the order of their names, so a new one is called later than all that are there
 * even within a second. And a start at a step takes back that step too, so what is kept of it is written again.
 */
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { MetricsRecord } from '../metrics.ts';
import { type Scalar, scalarsEvent, startEvent, textEvent, versionEvent } from './event.ts';
import { framed } from './framing.ts';

export interface EventFile {
  readonly path: string;
  append(record: MetricsRecord): void;
  close(): void;
}

export interface EventFileStart {
  /** Steps done; what earlier files say of this step and later ones is taken back. */
  readonly step: number;
  /** Records that stand all the same. */
  readonly kept: readonly MetricsRecord[];
  /** The run's options. */
  readonly config: string;
}

/** Makes the folder's next event file. Throws what the file system throws. */
export function openEventFile(folder: string, { step, kept, config }: EventFileStart): EventFile {
  const path = join(folder, nextName(folder));
  const file = openSync(path, 'ax');
  const write = (made: (timeS: number) => Uint8Array) => writeSync(file, framed(made(Date.now() / 1000)));
  const append = (record: MetricsRecord) => {
    const scalars = scalarsOf(record);
    if (scalars.length > 0) write((timeS) => scalarsEvent(timeS, record.step, scalars));
  };
  write(versionEvent);
  write((timeS) => startEvent(timeS, step));
  write((timeS) => textEvent(timeS, step, 'config', indented(config)));
  for (const record of kept) if (record.step >= step) append(record);
  return { path, append, close: () => closeSync(file) };
}

const namePattern = /^events\.out\.tfevents\.(\d{10})\.mlbtc$/;

/** In the order in which they were begun. */
export function eventFileNames(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => namePattern.test(name))
    .sort();
}

function nextName(folder: string): string {
  const earlier = eventFileNames(folder).map((name) => Number(namePattern.exec(name)?.[1]));
  const second = Math.max(Math.floor(Date.now() / 1000), ...earlier.map((found) => found + 1));
  return `events.out.tfevents.${String(second).padStart(10, '0')}.mlbtc`;
}

/** Markdown's form of a text as it stands. */
function indented(text: string): string {
  return text.replaceAll(/^/gm, '    ');
}

const placed = new Set(['kind', 'step', 'timeS']);

/** Every number of a record under its path; of a list, such as the errors by point, its mean and its last. */
export function scalarsOf(record: MetricsRecord): readonly Scalar[] {
  return Object.entries(record).flatMap(([name, value]) =>
    placed.has(name) ? [] : scalarsAt(`${record.kind}/${name}`, value),
  );
}

function scalarsAt(tag: string, value: unknown): readonly Scalar[] {
  if (typeof value === 'number') return [{ tag, value }];
  if (typeof value !== 'object' || value === null) return [];
  if (!Array.isArray(value)) return Object.entries(value).flatMap(([name, part]) => scalarsAt(`${tag}/${name}`, part));
  const numbers = value.filter((part) => typeof part === 'number');
  if (numbers.length === 0) return [];
  const mean = numbers.reduce((sum, part) => sum + part, 0) / numbers.length;
  return [
    { tag: `${tag}/mean`, value: mean },
    { tag: `${tag}/last`, value: numbers[numbers.length - 1] },
  ];
}
