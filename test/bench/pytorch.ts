/**
 * PyTorch beside a training step: runs a bench script of the reference's models as its own process and takes the fastest of the
 * variants that it prints, one JSON object a line with `attn`, `mode`, `ms` (waiting after every step), `ms_pipelined`, `peak_mib`.
 *
 * The trap: both must have the device to themselves, so this waits until the process has ended.
 */
import { spawnSync } from 'node:child_process';

export interface PytorchVariant {
  readonly attn: string;
  readonly mode: string;
  readonly ms?: number;
  readonly ms_pipelined?: number;
  readonly peak_mib?: number | null;
  /** Why it did not run. */
  readonly skipped?: string;
}

/** A script that fails is one variant that was skipped, so that the other models are still timed. */
export function runPytorch(script: string, words: readonly string[]): readonly PytorchVariant[] {
  const { error, status, stdout, stderr } = spawnSync('python3', [script, ...words], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (error !== undefined || status !== 0) {
    const reason = error?.message ?? stderr.trim().split('\n').at(-1);
    return [{ attn: '-', mode: '-', skipped: `python3 ${[script, ...words].join(' ')}: ${reason}` }];
  }
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as PytorchVariant);
}

/** The variant whose queued steps take least. */
export function fastest(
  variants: readonly PytorchVariant[],
): (PytorchVariant & { readonly ms_pipelined: number }) | undefined {
  return variants
    .flatMap((v) => (v.ms_pipelined === undefined ? [] : [{ ...v, ms_pipelined: v.ms_pipelined }]))
    .reduce<ReturnType<typeof fastest>>(
      (a, b) => (a === undefined || b.ms_pipelined < a.ms_pipelined ? b : a),
      undefined,
    );
}
