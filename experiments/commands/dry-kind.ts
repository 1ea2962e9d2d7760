/**
 * A kind of training as far as it can be told without a device: its options, its help, and what a step of it is. `train.ts` has what
 * it takes beyond that to train.
 */
import { readTarget } from '../../compiler/commands/target-file.ts';
import { type TensorCores, targetUsing, tensorCoresOfEnvironment } from '../../runtime/tensor-cores.ts';
import { optionsHelp } from '../options/help.ts';
import type { Resolved } from '../options/parse.ts';
import type { OptionSet } from '../options/set.ts';
import type { OptionTable, OptionValues } from '../options/table.ts';
import type { dryRunRows } from '../options/transformer.ts';
import { type DryStep, dryRun } from '../training/dry-run.ts';
import { dryRunLines } from '../training/dry-run-text.ts';

type DryResolved = Resolved<OptionValues<typeof dryRunRows> & { readonly tensor_cores: TensorCores | null }>;

export interface DryKind<Table extends OptionTable, R extends DryResolved> {
  readonly set: OptionSet<Table>;
  readonly about: string;
  /** Throws UsageError or UserError for what cannot be trained. */
  readonly resolve: (words: readonly string[]) => R;
  /** What a step is, and what a person should hear of it. Throws where the score could not be trained. */
  readonly dryStep: (resolved: R) => { readonly step: DryStep; readonly note: string | undefined };
}

/** Prints the help or what a step is where that is asked for; undefined then. Else the options to train with. */
export function answer<Table extends OptionTable, R extends DryResolved>(
  kind: DryKind<Table, R>,
  words: readonly string[],
): R | undefined {
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(optionsHelp(kind.set));
    return undefined;
  }
  const resolved = kind.resolve(words);
  if (!resolved.options.dry_run) return resolved;
  tellStep(kind, resolved);
  return undefined;
}

/** Prints what a step is with these options. Throws where the score could not be trained. */
export function tellStep<R extends DryResolved>(kind: Pick<DryKind<OptionTable, R>, 'dryStep'>, resolved: R): void {
  const { target, json, tensor_cores: tensorCores } = resolved.options;
  const { step, note } = kind.dryStep(resolved);
  const use = tensorCores ?? tensorCoresOfEnvironment();
  const report = dryRun(step, targetUsing(readTarget(target ?? undefined), use));
  const notes = note === undefined ? resolved.notes : [...resolved.notes, note];
  const lines = json ? [JSON.stringify(report)] : [...notes, ...dryRunLines(report)];
  process.stdout.write(`${lines.join('\n')}\n`);
}
