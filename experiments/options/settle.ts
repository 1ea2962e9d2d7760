/** What follows from other options, alike in language models, time series and images: the heads from their size, the ends of the decay. */
import { type optimizerRows, type SettledRates, settledRates } from './optimizer.ts';
import type { OptionValues } from './table.ts';
import { headsOf, type ModelOptions } from './transformer.ts';

/** As given on the command line or in a file. */
type Unsettled = OptionValues<typeof optimizerRows> &
  Omit<ModelOptions, 'n_head'> & { readonly n_head: number | null; readonly max_iters: number };

export type Settled<Words> = Omit<Words, 'n_head' | keyof SettledRates> & Pick<ModelOptions, 'n_head'> & SettledRates;

/** Throws UsageError where options contradict each other. */
export function settle<Words extends Unsettled>(options: Words): Settled<Words> {
  return { ...options, n_head: headsOf(options), ...settledRates(options) };
}
