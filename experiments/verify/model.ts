/**
 * A golden model case: the options of its `config`, its parameters and batch through the step that training compiles; outputs,
 * loss, gradients, and parameters after 1 and 3 steps under the reference's names (oracle, "Files of a case"), or under ours where the
 * reference has no such model.
 *
 * The trap: a loss belongs to the parameters before the update of its run. The loss after step k is therefore that of run k + 1,
 * and the last of these runs has a multiplier of 0.
 */

import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { StoredTensor } from '../../runtime/safetensors.ts';
import {
  inContextProgram,
  languageModelProgram,
  type ReferenceModel,
  seriesProgram,
  visionProgram,
} from '../models/model.ts';
import { joined, type ParameterMapping, parted, referenceParameters } from '../models/parameters.ts';
import { type Score, scoreOf } from '../models/score.ts';
import { checkModel } from '../options/transformer.ts';
import { type Arena, optimizerTables, packArena, unpackArena } from '../training/arena.ts';
import { biasCorrections } from '../training/learning-rate.ts';
import type { Param } from '../training/mup.ts';
import type { MakeRunner, Runner } from '../training/runner.ts';
import { verifiedStep } from '../training/training-step.ts';
import { floats, integers, type ModelCase } from './case.ts';
import { type ConfigOptions, optionsOfConfig, sizesOfConfig } from './config.ts';

type Tensors = ReadonlyMap<string, StoredTensor>;

/** Steps after which a case wants the parameters. */
const reportedSteps: readonly number[] = [1, 3];
const noOptimizer = { lr: 0, beta1: 0.9, beta2: 0.95, weight_decay: 0, grad_clip: 0, lr_mults: [] as number[] };

interface ModelKind {
  /** Whose parameters a case names; undefined: they have our names. */
  readonly reference: ReferenceModel | undefined;
  readonly inputs: readonly string[];
  /** What the model gives, under this name in the case and in the program. */
  readonly output: string;
  readonly program: (options: ConfigOptions, score: Score, tensors: Tensors) => Program;
}

/** The reference's three models and the vision transformer, by the `kind` of a case's config. */
const kinds: Readonly<Record<string, ModelKind>> = {
  icl: {
    reference: 'in-context',
    inputs: ['xs', 'ys'],
    output: 'pred',
    program: (options, score, tensors) => {
      const [batch = 0, points = 0, dims = 0] = floats(tensors, 'xs').shape;
      return inContextProgram({ ...options, n_dims: dims }, score, { batch, points, positions: options.block_size });
    },
  },
  lm: {
    reference: 'language-model',
    inputs: ['tokens', 'targets'],
    output: 'logits',
    program: (options, score, tensors) => {
      const [batch = 0, tokens = 0] = integers(tensors, 'tokens').shape;
      const shape = { batch, tokens, vocabulary: options.vocab_size, positions: options.block_size };
      return languageModelProgram(options, score, shape);
    },
  },
  ts: {
    reference: 'series',
    inputs: ['x', 'y'],
    output: 'pred',
    program: (options, score, tensors) => {
      const [batch = 0, tokens = 0, channels = 0] = floats(tensors, 'x').shape;
      return seriesProgram(options, score, { batch, tokens, channels, horizon: 1, positions: options.block_size });
    },
  },
  vit: {
    reference: undefined,
    inputs: ['image', 'label'],
    output: 'logits',
    program: (options, score, tensors) => {
      const [batch = 0, channels = 0, height = 0, width = 0] = floats(tensors, 'image').shape;
      const [classes = 0] = floats(tensors, 'param.read_out').shape;
      return visionProgram(options, score, { batch, channels, height, width, classes });
    },
  },
};

export async function verifyModel(golden: ModelCase, tensors: Tensors, makeRunner: MakeRunner): Promise<Tensors> {
  const { config, optimizer = noOptimizer, id } = golden;
  const kind = kinds[String(config.kind)];
  if (kind === undefined) {
    throw new UserError(
      `${id}: no model is of kind '${String(config.kind)}'; there are ${Object.keys(kinds).join(', ')}`,
    );
  }
  const options = optionsOfConfig(config, id);
  checkModel(options);
  const program = kind.program(options, scoreOf(options, sizesOfConfig(config, id)), tensors);
  const { beta1, beta2 } = optimizer;
  const settings = { beta1, beta2, weightDecay: optimizer.weight_decay, gradClip: optimizer.grad_clip };
  const step = verifiedStep(program, settings, kind.output);
  const mappings = kind.reference === undefined ? ownNames(step.params) : referenceParameters(kind.reference, options);
  const { arena } = step;
  const runner = await makeRunner(step.program);
  try {
    const tables = optimizerTables(arena, optimizer.lr, optimizer.weight_decay, step.untouched);
    runner.upload('rate', tables.rate);
    if (optimizer.weight_decay > 0) runner.upload('decay', tables.decay);
    const start = ourParameters(mappings, arena, tensors);
    runner.upload(
      'params',
      packArena(arena, ({ name }) => start.get(name) as Float32Array),
    );
    for (const name of kind.inputs) {
      const isInteger = tensors.get(name)?.dtype === 'I32';
      runner.upload(name, (isInteger ? integers(tensors, name) : floats(tensors, name)).data);
    }
    const { output } = kind;
    return await runSteps(runner, {
      arena,
      mappings,
      tensors,
      output: { name: output, shape: program.tensors.find(({ name }) => name === output)?.shape ?? [] },
      beta1,
      beta2,
      multipliers: optimizer.lr_mults,
    });
  } finally {
    runner.destroy();
  }
}

interface Steps {
  readonly arena: Arena;
  readonly mappings: readonly ParameterMapping[];
  readonly tensors: Tensors;
  readonly output: { readonly name: string; readonly shape: readonly number[] };
  readonly beta1: number;
  readonly beta2: number;
  readonly multipliers: readonly number[];
}

async function runSteps(runner: Runner, steps: Steps): Promise<Tensors> {
  const { arena, mappings, tensors, output, beta1, beta2, multipliers } = steps;
  const result = new Map<string, StoredTensor>();
  const give = (name: string, shape: readonly number[], data: ArrayLike<number>) =>
    result.set(name, { dtype: 'F32', shape, data: Float32Array.from(data) });
  const giveParameters = (prefix: string, packed: ArrayLike<number>) => {
    const ours = unpackArena(arena, Float32Array.from(packed));
    for (const mapping of mappings) {
      const { shape, data } = floats(tensors, `param.${mapping.reference}`);
      // What takes no part has no gradient and stays as it is.
      const untouched = prefix === 'grad' ? new Float32Array(data.length) : data;
      give(`${prefix}.${mapping.reference}`, shape, mapping.ours.length === 0 ? untouched : joined(mapping, ours));
    }
  };
  const last = Math.max(0, ...reportedSteps.filter((step) => step <= multipliers.length));
  for (let done = 0; done <= last; done += 1) {
    const { first, rootSecond } = biasCorrections(done + 1, beta1, beta2);
    const multiplier = done === last ? 0 : multipliers[done];
    if (reportedSteps.includes(done)) giveParameters(`step${done}`, await take(runner, 'params'));
    runner.upload('hyper', new Float32Array([multiplier, first, rootSecond]));
    runner.run();
    const loss = await take(runner, 'loss');
    if (done === 0) {
      give(output.name, output.shape, await take(runner, output.name));
      give('loss', [1], loss);
      giveParameters('grad', await take(runner, 'grads'));
    } else if (reportedSteps.includes(done)) {
      give(`step${done}.loss`, [1], loss);
    }
  }
  return result;
}

async function take(runner: Runner, name: string): Promise<ArrayLike<number>> {
  return (await runner.download(name)).get(name) as ArrayLike<number>;
}

function ownNames(params: readonly Param[]): readonly ParameterMapping[] {
  return params.map(({ name }) => ({ reference: name, ours: [name] }));
}

/** The case's parameters as our tensors. */
function ourParameters(
  mappings: readonly ParameterMapping[],
  arena: Arena,
  tensors: Tensors,
): Map<string, Float32Array> {
  const elements = new Map(arena.slots.map((slot) => [slot.param.name, slot.elements]));
  const countOf = (name: string): number => {
    const count = elements.get(name);
    if (count === undefined) throw new Error(`the model has no param ${name}`);
    return count;
  };
  const values = new Map(
    mappings.flatMap((mapping) => [...parted(mapping, floats(tensors, `param.${mapping.reference}`).data, countOf)]),
  );
  const missing = [...elements.keys()].filter((name) => !values.has(name));
  if (missing.length > 0) throw new Error(`no parameter of the reference for ${missing.join(', ')}`);
  return values;
}
