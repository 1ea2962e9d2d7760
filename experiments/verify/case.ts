/**
 * Golden cases on disk: `case.json` says what a case is, `tensors.safetensors` holds its tensors (oracle, "Files of a case").
 * Only what is needed to compute is read from either; expected values stay for the checker.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../compiler/command-line/errors.ts';
import { readText } from '../../compiler/command-line/input-file.ts';
import { readSafetensors, type StoredTensor } from '../../runtime/safetensors.ts';

const optimizerSchema = z.object({
  lr: z.number(),
  beta1: z.number(),
  beta2: z.number(),
  eps: z.number(),
  weight_decay: z.number(),
  grad_clip: z.number(),
  lr_mults: z.array(z.number()),
});

const modelSchema = z.object({
  type: z.literal('model'),
  id: z.string(),
  config: z.record(z.string(), z.unknown()),
  optimizer: optimizerSchema.optional(),
});

const matrixSchema = z.object({
  type: z.literal('matrix'),
  id: z.string(),
  structure: z.string(),
  cores: z.record(z.string(), z.array(z.int().min(1))),
});

/** Of the tables what is asked; what they answer is let be. */
const tablesSchema = z.object({
  type: z.literal('tables'),
  id: z.string(),
  tables: z.object({
    btt_factor: z.record(z.string(), z.unknown()),
    lr_mult: z.array(
      z.object({
        init_lr: z.number(),
        min_lr: z.number(),
        warmup: z.number(),
        decay_iters: z.number(),
        at: z.record(z.string(), z.unknown()),
      }),
    ),
    curriculum: z.array(z.object({ n_dims: z.number(), train_steps: z.number(), interval: z.number() })),
    models: z.array(z.object({ config: z.record(z.string(), z.unknown()) })),
  }),
});

const caseSchema = z.discriminatedUnion('type', [modelSchema, matrixSchema, tablesSchema]);

export type ModelCase = z.infer<typeof modelSchema>;
export type MatrixCase = z.infer<typeof matrixSchema>;
export type TablesCase = z.infer<typeof tablesSchema>;
export type GoldenCase = z.infer<typeof caseSchema>;

const descriptionName = 'case.json';
const tensorsName = 'tensors.safetensors';

/** The files that a case is read from. */
export function caseFiles(folder: string): readonly string[] {
  return [descriptionName, tensorsName].map((name) => join(folder, name));
}

/** Throws UserError where the folder holds no case. */
export function readCase(folder: string): GoldenCase {
  const path = join(folder, descriptionName);
  let content: unknown;
  try {
    content = JSON.parse(readText(path));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UserError(`${path}: not JSON`);
  }
  const result = caseSchema.safeParse(content);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${path}: not a golden case: ${issue.path.join('.') || 'type'}: ${issue.message}`);
}

export function readCaseTensors(folder: string): ReadonlyMap<string, StoredTensor> {
  return readSafetensors(join(folder, tensorsName)).tensors;
}

/** An integer tensor of a case. Throws UserError where it is missing. */
export function integers(
  tensors: ReadonlyMap<string, StoredTensor>,
  name: string,
): StoredTensor & { data: Int32Array } {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new UserError(`tensors.safetensors holds no ${name}`);
  if (!(tensor.data instanceof Int32Array)) throw new UserError(`${name} is ${tensor.dtype}, I32 is expected`);
  return tensor as StoredTensor & { data: Int32Array };
}

/** A float tensor of a case. Throws UserError where it is missing. */
export function floats(
  tensors: ReadonlyMap<string, StoredTensor>,
  name: string,
): StoredTensor & { data: Float32Array } {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new UserError(`tensors.safetensors holds no ${name}`);
  if (!(tensor.data instanceof Float32Array)) throw new UserError(`${name} is ${tensor.dtype}, F32 is expected`);
  return tensor as StoredTensor & { data: Float32Array };
}
