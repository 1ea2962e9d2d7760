/** What a command may touch of its process: output, standard input, exit status. Tests give their own, so that none is spawned. */
import { readStdin } from './input-file.ts';

export interface CommandIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly readStdin: () => Uint8Array;
  /** Set for a result that is no error of its own, as `fmt --check` that found something; the largest one stays. */
  exitCode: number;
}

export function processIo(): CommandIo {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    readStdin,
    exitCode: 0,
  };
}
