/**
 * A golden model case: the options of its `config`, its parameters and batch through the step that training compiles; outputs,
 * loss, gradients, and parameters after 1 and 3 steps under the reference's names (oracle, "Files of a case").
 *
 * The trap: a loss belongs to the parameters before the update of its run. The loss after step k is therefore that of run k + 1,
 * and the last of these runs has a multiplier of 0.
 */

import { UserError } from '../../compiler/command-line/errors.ts';
import type { StoredTensor } from '../../runtime/safetensors.ts';
import { inContextProgram, referenceParameters, scoreOf } from '../models/in-context.ts';
import { iclOptions } from '../options/icl.ts';
import type { ParameterMapping } from '../options/model.ts';
import { optionsFromRecord } from '../options/parse.ts';
import { checkModel } from '../options/transformer.ts';
import { type Arena, optimizerTables, packArena, unpackArena } from '../training/arena.ts';
import { biasCorrections } from '../training/learning-rate.ts';
import type { MakeRunner, Runner } from '../training/runner.ts';
import { verifiedStep } from '../training/training-step.ts';
import { floats, type ModelCase } from './case.ts';

type Tensors = ReadonlyMap<string, StoredTensor>;

/** Steps after which a case wants the parameters. */
const reportedSteps: readonly number[] = [1, 3];
const noOptimizer = { lr: 0, beta1: 0.9, beta2: 0.95, weight_decay: 0, grad_clip: 0, lr_mults: [] as number[] };

export async function verifyModel(golden: ModelCase, tensors: Tensors, makeRunner: MakeRunner): Promise<Tensors> {
  const { config, optimizer = noOptimizer, id } = golden;
  if (config.kind !== 'icl') {
    throw new UserError(`${id}: models of kind '${String(config.kind)}' are not there yet; for now icl and matrices`);
  }
  const options = optionsFromRecord(iclOptions, config, id);
  checkModel(options);
  const [xs, ys] = [floats(tensors, 'xs'), floats(tensors, 'ys')];
  const [batch, points] = xs.shape;
  const positions = typeof config.block_size === 'number' ? config.block_size : 4 * options.n_dims;
  const model = inContextProgram(options, scoreOf(options, {}), { batch, points, positions });
  const { beta1, beta2 } = optimizer;
  const step = verifiedStep(model, {
    beta1,
    beta2,
    weightDecay: optimizer.weight_decay,
    gradClip: optimizer.grad_clip,
  });
  const mappings = referenceParameters(options);
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
    runner.upload('xs', xs.data);
    runner.upload('ys', ys.data);
    return await runSteps(runner, { arena, mappings, tensors, beta1, beta2, multipliers: optimizer.lr_mults });
  } finally {
    runner.destroy();
  }
}

interface Steps {
  readonly arena: Arena;
  readonly mappings: readonly ParameterMapping[];
  readonly tensors: Tensors;
  readonly beta1: number;
  readonly beta2: number;
  readonly multipliers: readonly number[];
}

async function runSteps(runner: Runner, steps: Steps): Promise<Tensors> {
  const { arena, mappings, tensors, beta1, beta2, multipliers } = steps;
  const result = new Map<string, StoredTensor>();
  const give = (name: string, shape: readonly number[], data: ArrayLike<number>) =>
    result.set(name, { dtype: 'F32', shape, data: Float32Array.from(data) });
  const giveParameters = (prefix: string, packed: ArrayLike<number>) => {
    const ours = unpackArena(arena, Float32Array.from(packed));
    for (const { reference, ours: names } of mappings) {
      const { shape } = floats(tensors, `param.${reference}`);
      give(
        `${prefix}.${reference}`,
        shape,
        names.flatMap((name) => [...(ours.get(name) as Float32Array)]),
      );
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
      give('pred', floats(tensors, 'ys').shape, await take(runner, 'pred'));
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

/** The case's parameters as our tensors: one of the reference's may hold several of ours, one after the other. */
function ourParameters(
  mappings: readonly ParameterMapping[],
  arena: Arena,
  tensors: Tensors,
): Map<string, Float32Array> {
  const elements = new Map(arena.slots.map((slot) => [slot.param.name, slot.elements]));
  const values = new Map<string, Float32Array>();
  for (const { reference, ours } of mappings) {
    const { data } = floats(tensors, `param.${reference}`);
    let offset = 0;
    for (const name of ours) {
      const count = elements.get(name);
      if (count === undefined) throw new Error(`the model has no param ${name} for ${reference}`);
      values.set(name, data.slice(offset, offset + count));
      offset += count;
    }
    if (offset !== data.length)
      throw new UserError(`param.${reference} has ${data.length} elements, the model ${offset}`);
  }
  const missing = [...elements.keys()].filter((name) => !values.has(name));
  if (missing.length > 0) throw new Error(`no parameter of the reference for ${missing.join(', ')}`);
  return values;
}
