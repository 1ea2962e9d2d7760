/** The optimizer's options under the names of the reference's `train.py`: of all trainings but those in context. */
import { choice, flag, integer, type OptionValues, optionalInteger, optionalReal, real } from './table.ts';

const unit = { min: 0, max: 1 };

export const optimizerRows = {
  opt_name: choice(['AdamW'], 'AdamW', 'the optimizer'),
  init_lr: real(3e-3, 'peak learning rate, before muP scales it for each param', { min: 0 }),
  warmup_iters: integer(2000, 'steps of linear warm-up', { min: 0 }),
  decay_lr: flag(false, 'cosine decay after warm-up, from init_lr to min_lr at lr_decay_iters'),
  lr_decay_iters: optionalInteger('step at which the decay ends (default: max_iters)', { min: 1 }),
  min_lr: optionalReal('rate at the end of the decay (default: init_lr / 10)', { min: 0 }),
  weight_decay: real(0, 'decay of matrices, decoupled', { min: 0 }),
  beta1: real(0.9, 'memory of the first moment', unit),
  beta2: real(0.95, 'memory of the second moment', unit),
  grad_clip: real(1, 'largest norm of all gradients together, 0 for none', { min: 0 }),
} as const;

export interface SettledRates {
  readonly lr_decay_iters: number;
  readonly min_lr: number;
}

/** With the ends of the decay settled. */
export type OptimizerOptions = Omit<OptionValues<typeof optimizerRows>, keyof SettledRates> & SettledRates;

/** The ends of the decay, which follow from other options where they are not given. */
export function settledRates(
  options: OptionValues<typeof optimizerRows> & { readonly max_iters: number },
): SettledRates {
  return {
    lr_decay_iters: options.lr_decay_iters ?? options.max_iters,
    min_lr: options.min_lr ?? options.init_lr / 10,
  };
}

/** What becomes of them with more steps: the decay ends where it did. */
export function lengthenedRates(
  {
    max_iters,
    lr_decay_iters,
  }: Pick<OptionValues<typeof optimizerRows>, 'lr_decay_iters'> & { readonly max_iters: number },
  steps: number,
): { readonly max_iters: number; readonly lr_decay_iters: number } {
  return { max_iters: steps, lr_decay_iters: lr_decay_iters ?? max_iters };
}
