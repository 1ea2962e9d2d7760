import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { UsageError, UserError } from '../../../compiler/command-line/errors.ts';
import { optionsHelp } from '../../../experiments/options/help.ts';
import { checkTraining, iclOptions, iclTable, resolveIcl } from '../../../experiments/options/icl.ts';
import { configText } from '../../../experiments/runs/config-text.ts';

const size = ['--n_dims=4', '--d_model=16', '--n_head=2'];
const optionsOf = (...words: string[]) => resolveIcl(words).options;

describe('the reference command line', () => {
  const reference = [
    '--n_dims=16',
    '--n_head=8',
    '--d_model=64',
    '--n_layer=6',
    '--token_mixing_struct=bilinear_MLR',
    '--mlr_rank_list=4|2|1|1',
    '--bilinear_mlr_muP_attn_logits_scaling=True',
    '--mha_SP_attn_logits_scaling=False',
    '--manual_disable_flash_att=True',
    '--training_learning_rate=3e-4',
    '--training_train_steps=500001',
    '--training_curriculum_dims_inc=None',
    '--out_dir=out/icl',
    '--wandb_project=icl',
    '--wandb_name=first',
    '--wandb_log_every_steps=20',
  ];

  test('is read whole, its wandb options ignored with a note', () => {
    const { options, notes } = resolveIcl(reference);
    expect(options).toMatchObject({
      n_dims: 16,
      mlr_rank_list: [4, 2, 1, 1],
      bilinear_mlr_muP_attn_logits_scaling: true,
      mha_SP_attn_logits_scaling: false,
      training_learning_rate: 3e-4,
      training_curriculum_dims_inc: null,
      wandb_log_every_steps: 20,
    });
    expect(notes).toEqual(['note: --wandb_project, --wandb_name ignored']);
    expect(() => checkTraining(options)).not.toThrow();
  });

  test('- and _ are equal, and so are the spellings of a flag', () => {
    expect(optionsOf('--n-dims', '4', '--d-model', '16', '--n-head', '2').d_model).toBe(16);
    for (const [words, value] of [
      [['--do-qk-ln'], true],
      [['--do_qk_ln=True'], true],
      [['--do_qk_ln', 'False'], false],
      [['--do_qk_ln=False'], false],
      [['--no-do-qk-ln'], false],
      [['--no_do_qk_ln'], false],
    ] as const) {
      expect(optionsOf(...size, ...words).do_qk_ln).toBe(value);
    }
  });
});

describe('what overrides what', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mlbtc-options-'));

  test('defaults, preset, config, command line', () => {
    const config = join(folder, 'config.yaml');
    writeFileSync(config, 'n_layer: 3\ntraining_train_steps: 7\nout_dir: elsewhere\nsizes: {s: 2}\n');
    const { options, sizes } = resolveIcl([
      '--preset',
      'tiny',
      '--config',
      config,
      '--steps=9',
      '-s',
      'r=[1,2]',
      'q=3',
    ]);
    expect(options.n_layer).toBe(3);
    expect(options.training_train_steps).toBe(9);
    expect(options.n_dims).toBe(resolveIcl(['--preset=tiny']).options.n_dims);
    expect(options.out_dir).toBeNull();
    expect(sizes).toEqual({ s: 2, r: [1, 2], q: 3 });
  });

  test('a structure takes the place of a preset’s mixer, and a mixer that of a config’s structure', () => {
    expect(optionsOf('--preset=tiny', '--structure=mine.mlbtc')).toMatchObject({
      structure: 'mine.mlbtc',
      token_mixing_struct: null,
    });
    const config = join(folder, 'structure.yaml');
    writeFileSync(config, 'structure: mine.mlbtc\ntoken_mixing_struct: null\n');
    expect(optionsOf('--preset=tiny', `--config=${config}`).structure).toBe('mine.mlbtc');
    expect(optionsOf('--preset=tiny', `--config=${config}`, '--token-mixing-struct=low_rank').structure).toBeNull();
  });

  test('resolved options written as YAML resolve to themselves', () => {
    const options = optionsOf('--preset=tiny', '--mlr_rank_list=5|3', '--weight_decay=0.1');
    const config = join(folder, 'again.yaml');
    writeFileSync(config, stringify({ ...options, mlr_rank_list: '5|3' }));
    expect(optionsOf(`--config=${config}`)).toEqual(options);
  });
});

describe('mistakes', () => {
  const messageOf = (...words: string[]): string => {
    try {
      checkTraining(optionsOf(...words));
    } catch (error) {
      expect(error).toBeInstanceOf(UserError);
      return (error as Error).message;
    }
    throw new Error('no error');
  };

  test.each([
    [['--d_modle=3'], /unknown option --d_modle; did you mean --d_model\?/],
    [['--stepz', '3'], /did you mean --steps\?/],
    [['--layers=3'], /unknown option --layers; did you mean --n_layer\?/],
    [['--learning_rate=1'], /did you mean --training_learning_rate\?/],
    [['--lerning_rate=1'], /did you mean --training_learning_rate\?/],
    [['--train_step=1'], /did you mean --training_train_steps\?/],
    [['--optimizer_learning_rate=1'], /did you mean --training_learning_rate\?/],
    [['--model_d_model=1'], /did you mean --d_model\?/],
    [['--epochs=1'], /`mlbtc train icl --help` lists them/],
    [['--token_mixing_struct=bilinear_BTX'], /did you mean bilinear_BTT\?/],
    [['--n_layer=two'], /--n_layer two: must be a whole number/],
    [['--n_layer=0'], /must be at least 1/],
    [['--n_layer'], /--n_layer needs a value/],
    [['--bias=maybe'], /must be True or False/],
    [['--no-bias=True'], /takes no value/],
    [['stray'], /'stray' is not an option; options are written --name VALUE/],
    [['tiny'], /did you mean --preset tiny\?/],
    [['runs/a/config.yaml'], /did you mean --config runs\/a\/config.yaml\?/],
    [['near.mlbtc'], /did you mean --structure near.mlbtc\?/],
    [['--attention', 'near.mlbtc'], /unknown option --attention; did you mean --structure\?/],
    [['--mixer=near.mlbtc'], /did you mean --structure\?/],
    [['--preset=tinny'], /did you mean tiny\?/],
    [['-s', 'rank=x'], /write NAME=VALUE/],
    [['--training_task=decision_trees'], /must be one of linear_regression, sparse/],
    [['--dropout=0.1'], /not there yet/],
    [['--split_qkv=False', '--token_mixing_struct=low_rank'], /no muP rule/],
    [['--token_mixing_struct=multi_level_low_rank', '--mlr_rank_list=none'], /give --mlr_rank_list/],
    [['--token_mixing_struct=low_rank_with_gswa', '--gswa_rank_list=3|4'], /add up to the query and key head/],
    [['--token_mixing_struct=low_rank_with_sequential_gswa', '--n_layer=3'], /names 6 layers, and --n_layer is 3/],
    [
      ['--token_mixing_struct=bilinear_MLR', '--d_model=16', '--mlr_rank_list=5|2'],
      /adds up to 7, not to d_model \/ n_head = 8/,
    ],
    [['--token_mixing_struct=bilinear_MLR'], /give --mlr_rank_list/],
    [['--no-do-qk-ln'], /always on/],
    [['--n_head=3'], /does not split/],
    [['--training_curriculum_points_interval=7'], /must equal/],
    [['--no-training-curriculum-adaptive-inc'], /needs --training_curriculum_dims_inc/],
  ])('%j', (words, message) => {
    expect(messageOf('--preset=tiny', ...words)).toMatch(message);
  });

  test('a missing option names itself and a way out, with exit status 2', () => {
    expect(() => resolveIcl([])).toThrow(UsageError);
    expect(() => resolveIcl([])).toThrow(/missing: --n_dims, --d_model, --n_head; or start from a preset/);
  });

  test('a config with an unknown option names the file and the near one', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'mlbtc-options-')), 'config.yaml');
    writeFileSync(path, 'n_dimz: 4\n');
    expect(() => resolveIcl([`--config=${path}`])).toThrow(
      /config\.yaml:1: unknown option 'n_dimz'; did you mean n_dims\?/,
    );
  });

  test('a config of another kind of training says which', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'mlbtc-options-')), 'config.yaml');
    const origins = {};
    writeFileSync(path, configText({ task: 'lm', options: { block_size: 8 }, origins }));
    expect(() => resolveIcl([`--config=${path}`])).toThrow(
      `${path} has the options of a run of \`mlbtc train lm\`, not of \`mlbtc train icl\``,
    );
    writeFileSync(path, configText({ task: 'icl', options: { n_dims: 8 }, origins }));
    expect(optionsOf(...size.slice(1), `--config=${path}`).n_dims).toBe(8);
  });

  test('a name that is empty, which a script’s unset variable comes to; what is ignored may be', () => {
    expect(() => optionsOf(...size, '--out_dir=')).toThrow("--out_dir '': is empty");
    expect(() => optionsOf(...size, '--structure', '')).toThrow("--structure '': is empty");
    expect(optionsOf(...size, '--wandb_notes=').wandb_notes).toBe('');
  });
});

test('help names every option of the table', () => {
  const help = optionsHelp(iclOptions);
  for (const name of Object.keys(iclTable)) expect(help).toContain(`--${name}`);
});

test('every preset resolves to options that can be trained', async () => {
  const { presetNames } = await import('../../../experiments/library.ts');
  expect(presetNames('icl')).toContain('tiny');
  for (const name of presetNames('icl')) expect(() => checkTraining(optionsOf(`--preset=${name}`))).not.toThrow();
});

test('a config that is a folder, or has no end', () => {
  expect(() => resolveIcl(['--config=test'])).toThrow(expect.objectContaining({ code: 'EISDIR', path: 'test' }));
  if (process.platform !== 'linux') return;
  expect(() => resolveIcl(['--config=/dev/zero'])).toThrow('/dev/zero: is larger than 16 MiB');
});
