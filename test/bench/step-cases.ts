/**
 * The six training steps that are compared with PyTorch: 6 layers, 8 heads, f32, each one program with forward, backward and AdamW.
 * A row says the same model twice: as the words of `mlbtc train`, and as those of a PyTorch bench that takes the options of the
 * reference (`--pytorch` of steps.ts).
 *
 * The trap: kernels are timed on values of a run in full swing. Zeros and equal tokens would let a device do less, so params are
 * spread, tokens differ, and every window begins elsewhere.
 */
import type { Program } from '../../compiler/ir/program.ts';
import type { Plan } from '../../compiler/schedule/plan.ts';
import { inContextProgram } from '../../experiments/models/model.ts';
import { scoreOf } from '../../experiments/models/score.ts';
import { resolveIcl } from '../../experiments/options/icl.ts';
import { resolveLm } from '../../experiments/options/lm.ts';
import { dimsInput, drawnPrompts, streams } from '../../experiments/tasks/prompts.ts';
import { taskFileOf } from '../../experiments/tasks/tasks.ts';
import { drawnWindows } from '../../experiments/tasks/windows.ts';
import { lmProgram } from '../../experiments/training/lm-task.ts';
import { optimizerSettings, trainingStep } from '../../experiments/training/training-step.ts';
import type { HostArray } from '../../runtime/executor.ts';

export interface StepCase {
  readonly name: string;
  /** The whole step, optimised and differentiated; with 6 layers unless said. */
  readonly program: (layers?: number) => Program;
  /** A value for an input of its plan. */
  readonly input: (name: string, tensor: Plan['tensors'][string]) => HostArray;
  /** The same step's options for PyTorch. */
  readonly pytorch: readonly string[];
}

const shared = { n_layer: '6', n_head: '8' };
const vocabulary = 96;
/** Words of the text that a language model's windows are cut from. */
const textWords = 2 ** 18;
const bytesPerWord = 4;

function words(options: Readonly<Record<string, string>>): string[] {
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

function inContext(struct: string, nDims: number, dModel: number, ranks?: string): StepCase {
  const model = { ...shared, n_dims: `${nDims}`, d_model: `${dModel}` };
  const batch = 64;
  return {
    name: `icl ${struct} ${nDims} ${dModel}`,
    program: (layers = 6) => {
      const { options } = resolveIcl(
        words({
          ...model,
          n_layer: `${layers}`,
          token_mixing_struct: struct,
          ...(ranks === undefined ? {} : { mlr_rank_list: ranks }),
          training_batch_size: `${batch}`,
          out_dir: 'none',
        }),
      );
      const shape = { batch, points: 2 * nDims };
      const prompts = drawnPrompts({ ...shape, nDims }, streams.train, taskFileOf(options));
      const program = inContextProgram(options, scoreOf(options, {}), shape);
      return trainingStep(program, prompts, optimizerSettings(options), ['loss', 'pointwise']).program;
    },
    input: (name, tensor) => (name === 'dims' ? dimsInput(nDims) : inputOf(name, tensor)),
    pytorch: words({ task: 'icl', struct, ...model, batch: `${batch}`, ...(ranks === undefined ? {} : { ranks }) }),
  };
}

function language(struct: string, dModel: number, ranks?: string): StepCase {
  const [batch, length] = [8, 1024];
  const model = { ...shared, d_model: `${dModel}` };
  return {
    name: `lm ${struct} ${length} ${dModel}`,
    program: (layers = 6) => {
      const { options } = resolveLm(
        words({
          ...model,
          n_layer: `${layers}`,
          token_mixing_struct: struct,
          ...(ranks === undefined ? {} : { mlr_rank_list: ranks }),
          block_size: `${length}`,
          batch_size: `${batch}`,
          gradient_accumulation_steps: '1',
          vocab_size: `${vocabulary}`,
          out_dir: 'none',
        }),
      );
      const shape = { batch, length };
      const program = lmProgram(options, scoreOf(options, {}), shape, vocabulary);
      return trainingStep(program, drawnWindows(shape, textWords, 1), optimizerSettings(options), ['loss']).program;
    },
    input: (name, tensor) => {
      if (name === 'text') return text();
      if (name === 'start') return Int32Array.from({ length: batch }, (_, n) => n * 4099);
      return inputOf(name, tensor);
    },
    pytorch: words({
      task: 'lm',
      struct,
      ...model,
      block: `${length}`,
      batch: `${batch}`,
      vocab: `${vocabulary}`,
      ...(ranks === undefined ? {} : { ranks }),
    }),
  };
}

export const stepCases: readonly StepCase[] = [
  inContext('bilinear_BTT', 16, 64),
  inContext('low_rank', 16, 256),
  inContext('bilinear_BTT', 64, 256),
  inContext('bilinear_MLR', 64, 256, '16|8|4|4'),
  language('low_rank', 512),
  language('multi_level_low_rank', 512, '32|8|6|4|4|4|4|2'),
];

/** Tokens in some order, a byte each. */
function text(): Int32Array {
  const bytes = Uint8Array.from({ length: textWords * bytesPerWord }, (_, i) => (i * 2654435761) % vocabulary);
  return new Int32Array(bytes.buffer);
}

function inputOf(name: string, { dtype, shape }: Plan['tensors'][string]): HostArray {
  const length = shape.reduce((n, extent) => n * extent, 1);
  if (dtype === 'i32') return new Int32Array(length).fill(name === 'diverged' ? 0 : 2);
  if (name === 'params') return Float32Array.from({ length }, (_, i) => Math.sin(i * 7.1) * 0.05);
  return new Float32Array(length).fill(constants[name] ?? 0);
}

/** Small steps, bias corrections of a run that is on its way; moments and all else begin at 0. */
const constants: Readonly<Record<string, number>> = { rate: 1e-5, hyper: 1 };
