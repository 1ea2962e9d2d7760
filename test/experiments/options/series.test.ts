import { expect, test } from 'vitest';
import { presetNames } from '../../../experiments/library.ts';
import { optionsHelp } from '../../../experiments/options/help.ts';
import { checkSeries, resolveSeries, seriesOptions, seriesTable } from '../../../experiments/options/series.ts';

const optionsOf = (...words: string[]) => resolveSeries(words).options;

test('the reference’s defaults, and what follows from them', () => {
  expect(optionsOf()).toMatchObject({
    d_model: 768,
    n_head: 12,
    n_layer: 12,
    block_size: 1024,
    channels: null,
    horizon: 96,
  });
  expect(optionsOf('--d_model=96', '--d_head=24', '--n_head=-1').n_head).toBe(4);
  expect(optionsOf('--lr=0.5', '--steps=7')).toMatchObject({ min_lr: 0.05, lr_decay_iters: 7 });
});

test('what cannot be trained is refused, what can is not', () => {
  expect(() => checkSeries(optionsOf())).not.toThrow();
  expect(() => checkSeries(optionsOf('--dropout=0.1'))).toThrow(/only 0/);
  expect(() => checkSeries(optionsOf('--beta2=1'))).toThrow(/below 1/);
  expect(() => optionsOf('--channels=0')).toThrow(/--channels 0/);
});

test('the parts of a table are three shares or three numbers of rows', () => {
  expect(optionsOf().split).toEqual([0.7, 0.1, 0.2]);
  expect(optionsOf('--split=0.6|.2|0.2').split).toEqual([0.6, 0.2, 0.2]);
  expect(optionsOf('--split=8640,2880,2880').split).toEqual([8640, 2880, 2880]);
  for (const split of ['0.7|0.3', '0.5|0.5|0.5', '0.7|2|3', '1.5|2|3', '10|0|5', 'a|b|c']) {
    expect(() => optionsOf(`--split=${split}`)).toThrow(`--split ${split}`);
  }
  expect(optionsOf('--columns=HUFL|7').columns).toEqual(['HUFL', '7']);
});

test('presets are sets of options that can be trained', () => {
  expect(presetNames('series')).toEqual(['etth', 'ettm', 'tiny']);
  for (const name of presetNames('series')) expect(() => checkSeries(optionsOf(`--preset=${name}`))).not.toThrow();
});

test('help lists every option and preset', () => {
  const help = optionsHelp(seriesOptions);
  for (const name of Object.keys(seriesTable)) expect(help).toContain(`--${name}`);
  expect(help).toContain('etth, ettm, tiny');
});
