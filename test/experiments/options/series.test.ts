import { expect, test } from 'vitest';
import { optionsHelp } from '../../../experiments/options/help.ts';
import { checkSeries, resolveSeries, seriesOptions, seriesTable } from '../../../experiments/options/series.ts';

const optionsOf = (...words: string[]) => resolveSeries(words).options;

test('the reference’s defaults, and what follows from them', () => {
  expect(optionsOf()).toMatchObject({ d_model: 768, n_head: 12, n_layer: 12, block_size: 1024, channels: 1 });
  expect(optionsOf('--d_model=96', '--d_head=24', '--n_head=-1').n_head).toBe(4);
  expect(optionsOf('--lr=0.5', '--steps=7')).toMatchObject({ min_lr: 0.05, lr_decay_iters: 7 });
});

test('what cannot be trained is refused, what can is not', () => {
  expect(() => checkSeries(optionsOf())).not.toThrow();
  expect(() => checkSeries(optionsOf('--dropout=0.1'))).toThrow(/only 0/);
  expect(() => checkSeries(optionsOf('--beta2=1'))).toThrow(/below 1/);
  expect(() => optionsOf('--channels=0')).toThrow(/--channels 0/);
});

test('help lists every option, and no preset where there is none', () => {
  const help = optionsHelp(seriesOptions);
  for (const name of Object.keys(seriesTable)) expect(help).toContain(`--${name}`);
  expect(help).not.toContain('preset');
});
