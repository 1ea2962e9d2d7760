/** A file of options: every mistake with its line, and what it says when it says it right. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../../compiler/command-line/errors.ts';
import { iclOptions } from '../../../experiments/options/icl.ts';
import { readLayer } from '../../../experiments/options/layer-file.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const readText = (text: string) =>
  inFolder((folder) => {
    writeFiles(folder, { 'a.yaml': text });
    try {
      return readLayer(iclOptions, join(folder, 'a.yaml'));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return error.message.replaceAll(`${folder}/`, '');
    }
  });

test('every spelling of a name and of a value', async () => {
  const text = `
    # Comments, and names as on the command line.
    n-dims: 4
    steps: 500_000          # a short name
    mlr_rank_list: 16|8|4
    bias: True
    training_num_tasks: none
    structure: ~
    lr: 3e-4
    sizes: {rank: 4, ranks: [1, 2]}
  `;
  expect(await readText(text)).toEqual({
    values: {
      ...{ n_dims: 4, training_train_steps: 500_000, mlr_rank_list: [16, 8, 4], bias: true },
      ...{ training_num_tasks: null, structure: null, training_learning_rate: 3e-4 },
    },
    sizes: { rank: 4, ranks: [1, 2] },
  });
});

test('a list of one, and a list as YAML has it', async () => {
  expect(await readText('mlr_rank_list: 8\n')).toMatchObject({ values: { mlr_rank_list: [8] } });
  expect(await readText('mlr_rank_list: [8, 4]\n')).toMatchObject({ values: { mlr_rank_list: [8, 4] } });
  expect(await readText('mlr_rank_list:\n  - 8\n  - 4\n')).toMatchObject({ values: { mlr_rank_list: [8, 4] } });
});

describe('mistakes', () => {
  test.each([
    ['n_dims: 4\n\nbatchsize: 3\n', "a.yaml:3: unknown option 'batchsize'; did you mean batch_size?"],
    ['size: {r: 1}\n', "a.yaml:1: unknown option 'size'; did you mean sizes?"],
    ['epochs: 3\n', "a.yaml:1: unknown option 'epochs'; `mlbtc train icl --help` lists them"],
    ['n_dims: four\n', 'a.yaml:1: n_dims: four must be a whole number'],
    ['n_dims:\n', 'a.yaml:1: n_dims: none must be a whole number'],
    [
      'link_function: softmx\n',
      'a.yaml:1: link_function: softmx must be one of softmax, identity; did you mean softmax?',
    ],
    [
      '# one\nsteps: 3\nn_dims: 4\ntraining-train-steps: 4\n',
      'a.yaml:4: training-train-steps is training_train_steps again, which line 2 has given',
    ],
    ['n_dims: 3\nn_dims: 4\n', 'a.yaml:2: not YAML: Map keys must be unique'],
    ['n_dims: 4\nsizes: [1, 2]\n', 'a.yaml:2: sizes: numbers or lists of whole numbers are expected'],
    ['n_dims: 4\nd_model: {a: 1}\n', 'a.yaml:2: d_model: {"a":1} must be a whole number'],
    ['n_dims: [1\nd_model: 2\n', /^a\.yaml:\d: not YAML: /],
    ['- n_dims\n', "a.yaml: a map of options is expected, as a run's config.yaml holds it"],
    ['', "a.yaml: a map of options is expected, as a run's config.yaml holds it"],
  ])('%j', async (text, message) => {
    if (typeof message === 'string') expect(await readText(text)).toBe(message);
    else expect(await readText(text)).toMatch(message);
  });

  test('all of them at once', async () => {
    expect(await readText('n_dimz: 4\nd_model: -1\nn_head: 2\nlogs: 3\n')).toBe(
      [
        "a.yaml:1: unknown option 'n_dimz'; did you mean n_dims?",
        'a.yaml:2: d_model: -1 must be at least 1',
        "a.yaml:4: unknown option 'logs'; `mlbtc train icl --help` lists them",
      ].join('\n'),
    );
  });
});
