/** What `mlbtc eval` asks of each kind of training whose runs it can evaluate. */
import { UsageError } from '../../compiler/command-line/errors.ts';

/** The command line, as commander gives it; which of it a kind of run takes is in its `takes`. */
export interface EvalOptions {
  readonly split?: string;
  readonly setting?: string;
  readonly checkpoint?: string;
  readonly data?: string;
  readonly evalIters?: string;
  readonly json?: boolean;
  readonly device?: string;
}

export interface EvalKind {
  /** Options that mean something for such a run; another one is refused. */
  readonly takes: readonly (keyof EvalOptions)[];
  /** Prints what it finds. */
  readonly evaluate: (path: string, options: EvalOptions) => Promise<void>;
}

/** `--eval-iters`. Throws UsageError where it is no number of batches. */
export function batchesOf({ evalIters }: EvalOptions): number | undefined {
  if (evalIters === undefined) return undefined;
  const batches = Number(evalIters);
  if (Number.isInteger(batches) && batches >= 1) return batches;
  throw new UsageError(`--eval-iters ${evalIters}: a whole number from 1 on`);
}
