import { describe, expect, test } from 'vitest';
import { presetNames } from '../../../experiments/library.ts';
import { optionsHelp } from '../../../experiments/options/help.ts';
import { checkLm, lmOptions, lmResuming, lmTable, resolveLm } from '../../../experiments/options/lm.ts';

const optionsOf = (...words: string[]) => resolveLm(words).options;

describe('the reference’s command line', () => {
  // README of the reference, "Training Scripts", with the values of its submission script.
  const words = [
    '--preset=train_struct_gpt2',
    '--d_model=768',
    '--block_size=1024',
    '--token_mixing_struct=multi_level_low_rank',
    '--mlr_rank_list=32|8|6|4|4|4|4|2',
    '--mlr_divide_by_num_levels=False',
    '--mlr_block_divide_by_num_levels=True',
    '--mha_SP_attn_logits_scaling=False',
    '--batch_size=4',
    '--init_lr=1.65e-2',
    '--d_qk_head=-1',
    '--link_function=softmax',
    '--bilinear_mlr_muP_attn_logits_scaling=False',
    '--sliding_block_size=128',
    '--gswa_rank_list=32|32',
    '--init_from=scratch',
    '--out_dir=out',
  ];

  test('is read whole', () => {
    expect(optionsOf(...words)).toMatchObject({
      d_model: 768,
      n_head: 12,
      d_qk_head: null,
      block_size: 1024,
      mlr_rank_list: [32, 8, 6, 4, 4, 4, 4, 2],
      mlr_block_size_list: null,
      init_lr: 1.65e-2,
      min_lr: 3e-4,
      dataset: 'openwebtext_small',
      sequential_GSWA_layer_list: ['MHA', 'SWA', 'SWA', 'MHA', 'SWA', 'SWA'],
    });
  });

  test('a list for another mixer may hold a 0', () => {
    expect(optionsOf('--mlr_rank_list=64|0').mlr_rank_list).toEqual([64, 0]);
  });
});

test('heads follow from their size, or their size from the heads', () => {
  expect(optionsOf().n_head).toBe(12);
  expect(optionsOf('--d_model=512').n_head).toBe(8);
  expect(optionsOf('--d_model=96', '--d_head=24', '--n_head=-1').n_head).toBe(4);
  expect(optionsOf('--d_model=384', '--n_head=6').n_head).toBe(6);
  expect(() => optionsOf('--d_model=96')).toThrow('--d_model 96 does not split into heads of --d_head 64');
  expect(() => checkLm(optionsOf('--d_model=96', '--n_head=2', '--d_head=24'))).toThrow(/is 48, not --d_model 96/);
});

test('what follows from other options', () => {
  expect(optionsOf('--init_lr=0.5')).toMatchObject({ min_lr: 0.05, lr_decay_iters: 100_000 });
  expect(optionsOf('--lr=0.5', '--steps=7', '--n_embd=128')).toMatchObject({
    init_lr: 0.5,
    lr_decay_iters: 7,
    d_model: 128,
  });
});

test('ignored options are noted', () => {
  expect(resolveLm(['--wandb_log=True', '--dtype=bfloat16', '--compile=False']).notes).toEqual([
    'note: --wandb_log, --dtype, --compile ignored',
  ]);
});

test('refusals say what would do', () => {
  expect(() => checkLm(optionsOf('--data=a', '--data_dir=b'))).toThrow(/give one/);
  expect(() => lmResuming.runOf({ init_from: 'resume' })).toThrow(/say which run, --out_dir RUN/);
  expect(() => checkLm(optionsOf('--split_qkv=False'))).toThrow(/no muP rule/);
});

test('help lists every option', () => {
  const help = optionsHelp(lmOptions);
  for (const name of Object.keys(lmTable)) expect(help).toContain(`--${name}`);
});

test('presets are sets of options that can be trained', () => {
  expect(presetNames('lm')).toEqual(expect.arrayContaining(['train_shakespeare_char', 'train_struct_gpt2']));
  for (const name of presetNames('lm')) expect(() => checkLm(optionsOf(`--preset=${name}`))).not.toThrow();
});
