/** What `mlbtc eval` asks of each kind of training whose runs it can evaluate. */
import { UsageError } from '../../compiler/command-line/errors.ts';

/** The command line, as commander gives it; which of it a kind of run takes is in its `takes`. */
export interface EvalOptions {
  readonly split?: string;
  readonly setting?: string;
  readonly checkpoint?: string;
  readonly data?: string;
  readonly eval_iters?: string;
  readonly json?: boolean;
  readonly device?: string;
}

export interface EvalKind {
  /** Options that mean something for such a run; another one is refused. */
  readonly takes: readonly (keyof EvalOptions)[];
  /** Prints what it finds. */
  readonly evaluate: (path: string, options: EvalOptions) => Promise<void>;
}

/** `--eval_iters`. Throws UsageError where it is no number of batches. */
export function batchesOf({ eval_iters }: EvalOptions): number | undefined {
  if (eval_iters === undefined) return undefined;
  const batches = Number(eval_iters);
  if (Number.isInteger(batches) && batches >= 1) return batches;
  throw new UsageError(`--eval_iters ${eval_iters}: a whole number from 1 on`);
}
