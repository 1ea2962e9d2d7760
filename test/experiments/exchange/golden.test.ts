import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { printProgram } from '../../../compiler/ir/print.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import { type ModelSetup, setupOf, setupOfRun } from '../../../experiments/exchange/model-setup.ts';
import { type ExportFormat, readParameters, writeParameters } from '../../../experiments/exchange/parameter-files.ts';
import { importedRun, trainedParameters } from '../../../experiments/exchange/run.ts';
import type { TaskName } from '../../../experiments/options/set.ts';
import { chosenCheckpoint, readLmRun } from '../../../experiments/runs/lm-run.ts';
import { readSeriesRun } from '../../../experiments/runs/series-run.ts';
import { paramsOf } from '../../../experiments/training/mup.ts';
import { readSafetensors, type StoredTensor, writeSafetensors } from '../../../runtime/safetensors.ts';
import { inFolder } from '../../support/folder.ts';
import { goldenFolder } from '../verify/check.ts';

const tasks: Readonly<Record<string, TaskName>> = { icl: 'icl', lm: 'lm', ts: 'series' };
const cases = readdirSync('test/golden').filter((name) => name.split('_')[0] in tasks);

interface Golden {
  readonly task: TaskName;
  readonly words: readonly string[];
  readonly config: Readonly<Record<string, unknown>>;
  /** The reference's parameters under its names. */
  readonly parameters: ReadonlyMap<string, StoredTensor>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** A case, its config as the words that say it on a command line. */
function golden(name: string): Golden {
  const folder = goldenFolder(name);
  const { config } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8'));
  const { tensors } = readSafetensors(join(folder, 'tensors.safetensors'));
  const given = (option: string) => [`--${option}=${config[option]}`];
  const kind = name.split('_')[0];
  const omitted = ['kind', ...(kind === 'icl' ? ['block_size'] : ['n_dims']), ...(kind === 'lm' ? [] : ['vocab_size'])];
  const parameters = [...tensors].filter(([tensor]) => tensor.startsWith('param.'));
  return {
    task: tasks[kind],
    words: [
      ...(kind === 'ts' ? ['--horizon=1', '--channels=1'] : []),
      ...Object.keys(config)
        .filter((option) => !omitted.includes(option))
        .flatMap(given),
    ],
    config,
    parameters: new Map(parameters.map(([tensor, value]) => [tensor.slice('param.'.length), value])),
    tensors,
  };
}

/** Import, export and import again, in a folder of its own. */
const imported = <T>(
  { task, words, parameters }: Golden,
  action: (run: string, setup: ModelSetup, folder: string) => T,
  file = 'weights.safetensors',
): Promise<T> =>
  inFolder((folder) => {
    const path = join(folder, file);
    writeSafetensors(path, parameters);
    const all = [...words, `--out_dir=${join(folder, 'run')}`];
    const setup = setupOf(task, all);
    const run = importedRun(setup, readParameters(path, setup), [file, ...all]);
    return action(run.path, setup, folder);
  });

describe('the reference’s parameters in and out', () => {
  test.each(cases)('%s: what is exported is what was imported, in each format', (name) => {
    const given = golden(name);
    return imported(given, (run, setup, folder) => {
      const found = setupOfRun(run);
      expect(printProgram(found.program)).toBe(printProgram(setup.program));
      const parameters = trainedParameters(chosenCheckpoint(found.folder, 'best'), found);
      const reference = join(folder, 'reference.safetensors');
      writeParameters(reference, found, parameters, 'reference');
      const { tensors, metadata } = readSafetensors(reference);
      // What nothing reads is not kept.
      const kept = [...given.parameters].map(([tensor, value]) =>
        given.task === 'series' && tensor === '_backbone.wpe.weight'
          ? ([tensor, { ...value, data: new Float32Array(value.data.length) }] as const)
          : ([tensor, value] as const),
      );
      expect(Object.fromEntries(tensors)).toEqual(Object.fromEntries(kept));
      // Whatever the case says of the model, the file says too, so that the reference builds the same one.
      const { config } = given;
      expect({ ...config, ...JSON.parse(metadata.config) }).toMatchObject(config);
      for (const format of ['safetensors', 'npz', 'reference'] satisfies ExportFormat[]) {
        const path = join(folder, `again.${format === 'npz' ? 'npz' : 'safetensors'}`);
        writeParameters(path, found, parameters, format);
        expect(readParameters(path, found)).toEqual(parameters);
      }
    });
  });

  test.each(['icl_low_rank_identity', 'lm_low_rank_bias', 'lm_mlr_blocks_leveldiv', 'lm_bilinear_btt'])(
    '%s: the run that is imported gives the case’s outputs',
    (name) => {
      const given = golden(name);
      return imported(given, (run) => {
        const setup = setupOfRun(run);
        const parameters = trainedParameters(chosenCheckpoint(setup.folder, 'last'), setup);
        const output = given.task === 'icl' ? 'pred' : 'logits';
        const [first] = given.task === 'icl' ? ['xs'] : ['tokens'];
        const expected = given.tensors.get(output) as StoredTensor;
        const shape = given.tensors.get(first)?.shape as readonly number[];
        // The exported program is of one sequence of the greatest length; of a case of that length the first is asked.
        const own = setup.program.tensors.find((tensor) => tensor.name === first)?.shape as readonly number[];
        expect(shape[1]).toBe(own[1]);
        const inputs = new Map(
          setup.program.tensors.flatMap(({ name: tensor, shape: extents, source }) => {
            if (source.kind === 'param')
              return [[tensor, ndarray(extents, parameters.get(tensor) as Float32Array)] as const];
            if (source.kind !== 'input') return [];
            const { data } = given.tensors.get(tensor) as StoredTensor;
            const count = extents.reduce((product, extent) => product * extent, 1);
            return [[tensor, ndarray(extents, Float64Array.from((data as Float32Array).subarray(0, count)))] as const];
          }),
        );
        const found = [...(interpret(setup.program, inputs).get(output)?.data ?? [])];
        expect(found.length).toBeGreaterThan(0);
        const wanted = [...(expected.data as Float32Array)].slice(0, found.length);
        expect(Math.max(...found.map((value, i) => Math.abs(value - wanted[i])))).toBeLessThan(
          2e-6 * Math.max(1, ...wanted),
        );
      });
    },
  );

  test('prefixes of compiled and parallel training, and masks among the parameters, are no obstacle', () => {
    const given = golden('lm_low_rank_bias');
    const mask: StoredTensor = { dtype: 'F32', shape: [1], data: Float32Array.of(1) };
    const prefixed = [...given.parameters].map(([name, tensor]) => [`_orig_mod.module.${name}`, tensor] as const);
    const parameters = new Map([...prefixed, ['_orig_mod.module.transformer.h.0.attn.bias', mask] as const]);
    return imported({ ...given, parameters }, (run) => expect(existsSync(join(run, 'config.yaml'))).toBe(true));
  });

  test('another model’s parameters are refused by name, with what is near', async () => {
    const given = golden('icl_bilinear_mlr_mup');
    const misspelt = new Map(
      [...given.parameters].map(([name, tensor]) => [name.replace('_read_in', '_raed_in'), tensor] as const),
    );
    await expect(imported({ ...given, parameters: misspelt }, () => undefined)).rejects.toThrow(
      /missing: _read_in.weight\n {2}not of it: _raed_in.weight\n {2}is _raed_in.weight what should be _read_in.weight\?/,
    );
    await expect(imported({ ...given, words: [...given.words, '--n_layer=1'] }, () => undefined)).rejects.toThrow(
      /not of it: (_backbone\.h\.1\.[a-z_0-9.]+, )+_backbone\.h\.1\.[a-z_0-9.]+ and \d+ more/i,
    );
    await expect(imported({ ...given, words: [...given.words, '--n_dims=5'] }, () => undefined)).rejects.toThrow(
      /_read_in.weight has shape \(16, 4\), the model wants \(16, 5\)\n {2}help: the sizes among the options/,
    );
  });

  test('a checkpoint of PyTorch’s own is told from an npz', () =>
    inFolder((folder) => {
      const path = join(folder, 'ckpt.pt');
      writeFileSync(path, Buffer.from('PK\x03\x04 …', 'latin1'));
      expect(() =>
        readParameters(
          path,
          setupOf('icl', ['--n_dims=2', '--d_model=8', '--n_head=2', '--token_mixing_struct=low_rank']),
        ),
      ).toThrow(/ckpt\.pt: a zip that is not called \.npz.*\n {2}help: in Python, safetensors\.torch\.save_file/);
    }));

  test('a series model that foresees more than the reference’s has no name there either', () =>
    inFolder((folder) => {
      const small = ['--d_model=8', '--n_head=2', '--n_layer=1', '--block_size=8', '--channels=1'];
      const setup = setupOf('series', [...small, '--horizon=4', `--out_dir=${join(folder, 'run')}`]);
      expect(() => writeParameters(join(folder, 'x'), setup, new Map(), 'reference')).toThrow(
        /the reference has no such model: .* not 1 and 4 times ahead/,
      );
    }));

  test.each(['lm', 'vit'] as const)('a model of %s with structured maps goes out and in under its own names', (task) =>
    inFolder((folder) => {
      const small = ['--d_model=8', '--n_head=2', '--n_layer=1', '--slot=linear=btt'];
      const words = [...small, task === 'lm' ? '--block_size=8' : '--patch_size=2', `--out_dir=${join(folder, 'run')}`];
      const setup = setupOf(task, words);
      const parameters = new Map(
        paramsOf(setup.program).map(({ name, shape, position }) => {
          const values = Float32Array.from({ length: elementCount(shape) }, (_, i) => position + i / 8);
          return [name, values] as const;
        }),
      );
      const path = join(folder, 'model.safetensors');
      writeParameters(path, setup, parameters, 'safetensors');
      expect(readParameters(path, setup)).toEqual(parameters);
      const run = setupOfRun(importedRun(setup, parameters, words).path);
      expect(trainedParameters(chosenCheckpoint(run.folder, 'last'), run)).toEqual(parameters);
      expect(() => writeParameters(join(folder, 'x'), run, parameters, 'reference')).toThrow(
        task === 'lm' ? /the reference's maps are dense/ : /the reference has no such model: it has none of images/,
      );
    }),
  );

  test('a run with a structure of its own is read from wherever one stands', () =>
    inFolder((folder) => {
      const words = ['--d_model=8', '--n_head=2', '--n_layer=1', '--block_size=8', '--structure=docs/near.mlbtc'];
      const [lm, series] = (['lm', 'series'] as const).map((task) => {
        const setup = setupOf(task, [...words, `--out_dir=${join(folder, task)}`]);
        const zeros = paramsOf(setup.program).map(
          ({ name, shape }) => [name, new Float32Array(elementCount(shape))] as const,
        );
        return importedRun(setup, new Map(zeros), words).path;
      });
      expect(readLmRun(lm).score.source.file).toMatch(/structure\/near\.mlbtc$/);
      expect(readSeriesRun(series).score.source.file).toMatch(/structure\/near\.mlbtc$/);
    }));

  test('a score of one’s own has no name in the reference', () =>
    inFolder((folder) => {
      const words = [
        '--n_dims=2',
        '--d_model=8',
        '--n_head=2',
        '--n_layer=1',
        '--structure=docs/near.mlbtc',
        `--out_dir=${join(folder, 'run')}`,
      ];
      const setup = setupOf('icl', words);
      const parameters = new Map(
        setup.program.tensors.flatMap(({ name, shape, source }) =>
          source.kind === 'param'
            ? [[name, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i / 8)] as const]
            : [],
        ),
      );
      const run = setupOfRun(importedRun(setup, parameters, words).path);
      expect(trainedParameters(chosenCheckpoint(run.folder, 'best'), run)).toEqual(parameters);
      expect(() => writeParameters(join(folder, 'x'), run, parameters, 'reference')).toThrow(
        /the reference has no score like .*near\.mlbtc.*\n {2}help: --to safetensors or --to npz/,
      );
      writeParameters(join(folder, 'x.npz'), run, parameters, 'npz');
      expect(readParameters(join(folder, 'x.npz'), run)).toEqual(parameters);
    }));
});
