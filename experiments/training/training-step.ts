/**
 * From an analysed model to the programs that training, evaluation and `verify` run: passes, gradients, batch, optimizer.
 * The only place where the settings of the step are put together, so that all three run the same code.
 */
import { input } from '../../compiler/ir/build.ts';
import type { Program, Tensor } from '../../compiler/ir/program.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import { staged } from '../../runtime/stages.ts';
import { differentiateLoss } from './differentiate-loss.ts';
import { paramsOf } from './mup.ts';
import { accumulationStep, assembleStep, gradientArena, type StepProgram, updateStep } from './step.ts';

/** AdamW's ε everywhere (oracle, "muP, optimizer, schedule"). */
export const epsilon = 1e-20;

export interface OptimizerSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly weightDecay: number;
  readonly gradClip: number;
}

export function optimizerSettings(
  options: Readonly<Record<'beta1' | 'beta2' | 'weight_decay' | 'grad_clip', number>>,
): OptimizerSettings {
  const { beta1, beta2, weight_decay: weightDecay, grad_clip: gradClip } = options;
  return { beta1, beta2, weightDecay, gradClip };
}

function adamwSettings(
  { beta1, beta2, weightDecay, gradClip }: OptimizerSettings,
  onlyWhileFinite: string | undefined,
) {
  return { beta1, beta2, epsilon, gradClip, hasDecay: weightDecay > 0, onlyWhileFinite };
}

/** One step of training on a batch that the step draws itself. */
export function trainingStep(
  model: Program,
  batch: readonly Tensor[],
  optimizer: OptimizerSettings,
  outputs: readonly string[],
): StepProgram {
  const hasStep = batch.some(({ name }) => name === 'step');
  return assembleStep(backward(forward(model)), paramsOf(model), {
    batch: hasStep ? batch : [input('step', [], 'i32'), ...batch],
    optimizer: adamwSettings(optimizer, 'loss'),
    outputs,
  });
}

/** A step over several batches, one after the other: what each adds, and the update at the end; output of that: loss. */
export function accumulatedStep(
  model: Program,
  batch: readonly Tensor[],
  optimizer: OptimizerSettings,
  batches: number,
): { readonly accumulate: StepProgram; readonly update: Program } {
  const accumulate = accumulationStep(backward(forward(model)), paramsOf(model), batch);
  return { accumulate, update: updateStep(accumulate.arena, batches, adamwSettings(optimizer, 'loss')) };
}

/** The same step on a batch that is given, with what `verify` wants to see; outputs: the model's own, loss, all gradients. */
export function verifiedStep(model: Program, optimizer: OptimizerSettings, output: string): StepProgram {
  return assembleStep(backward(forward(model)), paramsOf(model), {
    batch: [],
    optimizer: adamwSettings(optimizer, undefined),
    outputs: [output, 'loss', gradientArena],
  });
}

/** Forward only, on a batch that is drawn or given. */
export function evaluationStep(model: Program, batch: readonly Tensor[], outputs: readonly string[]): StepProgram {
  return assembleStep({ program: forward({ ...model, outputs }), gradientOf: new Map() }, paramsOf(model), {
    batch,
    optimizer: undefined,
    outputs,
  });
}

const counted = ({ tensors }: Program) => `${tensors.length} tensors`;

function forward(model: Program): Program {
  return staged('optimise', () => optimise(model), counted);
}

function backward(program: Program) {
  return staged(
    'differentiate',
    () => differentiateLoss(program),
    (made) => counted(made.program),
  );
}
