/**
 * From an analysed model to the programs that training, evaluation and `verify` run: passes, gradients, batch, optimizer.
 * The only place where the settings of the step are put together, so that all three run the same code.
 */
import { input } from '../../compiler/ir/build.ts';
import type { Program, Tensor } from '../../compiler/ir/program.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import { differentiateLoss } from './differentiate-loss.ts';
import { paramsOf } from './mup.ts';
import { assembleStep, gradientArena, type StepProgram } from './step.ts';

/** AdamW's ε everywhere (oracle, "muP, optimizer, schedule"). */
export const epsilon = 1e-20;

export interface OptimizerSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly weightDecay: number;
  readonly gradClip: number;
}

/** One step of training on a batch that the step draws itself; outputs: loss, pointwise. */
export function trainingStep(model: Program, batch: readonly Tensor[], optimizer: OptimizerSettings): StepProgram {
  const { beta1, beta2, weightDecay, gradClip } = optimizer;
  const hasStep = batch.some(({ name }) => name === 'step');
  return assembleStep(differentiateLoss(optimise(model)), paramsOf(model), {
    batch: hasStep ? batch : [input('step', [], 'i32'), ...batch],
    optimizer: { beta1, beta2, epsilon, gradClip, hasDecay: weightDecay > 0, onlyWhileFinite: 'loss' },
    outputs: ['loss', 'pointwise'],
  });
}

/** The same step on a batch that is given, with what `verify` wants to see; outputs: pred, loss, all gradients. */
export function verifiedStep(model: Program, { beta1, beta2, weightDecay, gradClip }: OptimizerSettings): StepProgram {
  return assembleStep(differentiateLoss(optimise(model)), paramsOf(model), {
    batch: [],
    optimizer: { beta1, beta2, epsilon, gradClip, hasDecay: weightDecay > 0, onlyWhileFinite: undefined },
    outputs: ['pred', 'loss', gradientArena],
  });
}

/** Forward only, on drawn prompts; outputs: pointwise. */
export function evaluationStep(model: Program, batch: readonly Tensor[]): StepProgram {
  return assembleStep(
    { program: optimise({ ...model, outputs: ['pointwise'] }), gradientOf: new Map() },
    paramsOf(model),
    {
      batch,
      optimizer: undefined,
      outputs: ['pointwise'],
    },
  );
}

/** Forward only with every tensor of the model as an output, not optimised: to find where numbers stop being finite. */
export function inspectionStep(model: Program, batch: readonly Tensor[]): StepProgram {
  const computed = model.tensors.filter(({ source }) => source.kind === 'computed').map(({ name }) => name);
  return assembleStep({ program: { ...model, outputs: computed }, gradientOf: new Map() }, paramsOf(model), {
    batch,
    optimizer: undefined,
    outputs: [...batch.filter(({ source }) => source.kind === 'computed').map(({ name }) => name), ...computed],
  });
}
