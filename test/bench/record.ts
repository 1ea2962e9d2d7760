/**
 * What a bench leaves behind: a file of one JSON object a line, whose first line says where, when and by which command.
 * Kept ones lie in `records/DATE-NAME.jsonl`.
 *
 * The trap: a number without its device and command is no measurement, so nothing is written before that line.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { basename } from 'node:path';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';

export interface RecordHeader {
  readonly date: string;
  readonly device: string;
  readonly command: string;
  readonly node: string;
  readonly cpu: string;
  /** Processes that wanted a core in the last minute before the bench began. */
  readonly load: number;
}

/** `device` is the adapter's name, or `none` where nothing ran on one. */
export function recordHeader(device: string): RecordHeader {
  const words = [
    basename(process.argv[1]),
    ...process.argv.slice(2).map((word) => (/\s/.test(word) ? `'${word}'` : word)),
  ];
  return {
    date: new Date().toISOString().slice(0, 10),
    device,
    command: words.join(' '),
    node: process.version,
    cpu: `${availableParallelism()} × ${cpus()[0].model.trim()}`,
    load: Math.round(loadavg()[0] * 10) / 10,
  };
}

/** Writes header and results; makes the folder where it is missing. */
export function writeRecord(path: string, header: RecordHeader, results: readonly object[]): void {
  writeFileAtomically(path, [[header, ...results].map((line) => `${JSON.stringify(line)}\n`).join('')]);
}
