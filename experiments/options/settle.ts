/** What follows from other options, alike in language models, time series and images: the heads from their size, the ends of the decay. */
import { type optimizerRows, type SettledRates, settledRates } from './optimizer.ts';
import type { Resolved } from './parse.ts';
import type { OptionValues } from './table.ts';
import { headsOf, type ModelOptions } from './transformer.ts';

/** As given on the command line or in a file. */
type Unsettled = OptionValues<typeof optimizerRows> &
  Omit<ModelOptions, 'n_head'> & { readonly n_head: number | null; readonly max_iters: number };

export type Settled<Words> = Omit<Words, 'n_head' | keyof SettledRates> & Pick<ModelOptions, 'n_head'> & SettledRates;

/** Other names of options that these three kinds have. */
export const modelAliases = { steps: 'max_iters', lr: 'init_lr', learning_rate: 'init_lr', n_embd: 'd_model' } as const;

/** Throws UsageError where options contradict each other. */
export function settled<Words extends Unsettled>(resolved: Resolved<Words>): Resolved<Settled<Words>> {
  const { options } = resolved;
  return { ...resolved, options: { ...options, n_head: headsOf(options), ...settledRates(options) } };
}
