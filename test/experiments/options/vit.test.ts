import { expect, test } from 'vitest';
import { presetNames } from '../../../experiments/library.ts';
import { optionsHelp } from '../../../experiments/options/help.ts';
import { checkPatches, checkVit, resolveVit, vitOptions, vitTable } from '../../../experiments/options/vit.ts';

const optionsOf = (...words: string[]) => resolveVit(words).options;

test('defaults, and what follows from them', () => {
  expect(optionsOf()).toMatchObject({ d_model: 384, n_head: 6, patch_size: 4, pool: 'class', causal: false });
  expect(optionsOf('--lr=0.5', '--steps=7')).toMatchObject({ min_lr: 0.05, lr_decay_iters: 7 });
});

test('what cannot be trained is refused, what can is not', () => {
  expect(() => checkVit(optionsOf())).not.toThrow();
  expect(() => checkVit(optionsOf('--dropout=0.1'))).toThrow(/only 0/);
  for (const part of ['0', '1', '-0.1']) expect(() => optionsOf(`--val_fraction=${part}`)).toThrow(/--val_fraction/);
  const images = { name: 'made', height: 28, width: 28 };
  expect(() => checkPatches(optionsOf('--patch_size=7'), images)).not.toThrow();
  expect(() => checkPatches(optionsOf('--patch_size=8'), images)).toThrow(
    '--patch_size 8: patches of 8 × 8 pixels do not fill the 28 × 28 of made; 1, 2, 4, 7, 14, 28 do',
  );
});

test('presets are sets of options that can be trained', () => {
  expect(presetNames('vit')).toEqual(['cifar10_btt', 'mnist', 'tiny']);
  for (const name of presetNames('vit')) expect(() => checkVit(optionsOf(`--preset=${name}`))).not.toThrow();
});

test('help lists every option and preset', () => {
  const help = optionsHelp(vitOptions);
  for (const name of Object.keys(vitTable)) expect(help).toContain(`--${name}`);
  expect(help).toContain('cifar10_btt, mnist, tiny');
});
