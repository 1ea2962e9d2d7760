/**
 * `--target`: `gpu` (or `portable`) and `cpu` keep to the limits that every WebGPU has and differ in the kernels' forms; a file describes one
 * device, as `mlbtc doctor --json` prints it. Limits that a file leaves out are WebGPU's own.
 */
import { z } from 'zod';
import { portableTarget, type Target } from '../../kernels/target.ts';
import { UsageError, UserError } from '../command-line/errors.ts';
import { readText } from '../command-line/input-file.ts';

const limit = z.number().int().positive();
const fields = Object.fromEntries(Object.keys(portableTarget.limits).map((name) => [name, limit.optional()]));
const targetSchema = z.object({
  name: z.string().default('file'),
  class: z.enum(['cpu', 'gpu']).default('gpu'),
  limits: z.object(fields).default({}),
  features: z.array(z.string()).default([]),
  subgroupSize: z.object({ min: limit, max: limit }).optional(),
  subgroupMatrices: z
    .array(z.object({ component: z.string(), result: z.string(), m: limit, n: limit, k: limit }))
    .optional(),
  unrollsLoops: z.boolean().optional(),
});

export function readTarget(wanted: string | undefined): Target {
  if (wanted === undefined || wanted === 'gpu' || wanted === 'portable') return portableTarget;
  if (wanted === 'cpu') return { ...portableTarget, name: 'portable cpu', class: 'cpu' };
  if (!wanted.endsWith('.json')) {
    throw new UsageError(`--target ${JSON.stringify(wanted)} is none of gpu, cpu, portable or a file ending in .json`);
  }
  const parsed = targetSchema.safeParse(targetIn(readJson(wanted)));
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `  ${path.join('.') || 'the whole'}: ${message}`);
    throw new UserError(`${wanted}: this does not describe a target\n${problems.join('\n')}`);
  }
  const { limits, subgroupSize, subgroupMatrices, unrollsLoops, ...rest } = parsed.data;
  return {
    ...rest,
    limits: { ...portableTarget.limits, ...(limits as Partial<Target['limits']>) },
    ...(subgroupSize === undefined ? {} : { subgroupSize }),
    ...(subgroupMatrices === undefined ? {} : { subgroupMatrices }),
    ...(unrollsLoops === undefined ? {} : { unrollsLoops }),
  };
}

function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (problem) {
    throw new UserError(`${path}: is not JSON: ${(problem as Error).message}`);
  }
}

/** A target by itself, or the first device of what `mlbtc doctor --json` prints. */
function targetIn(value: unknown): unknown {
  const devices = (value as { devices?: readonly { target?: unknown }[] } | null)?.devices;
  return devices?.[0]?.target ?? value;
}
