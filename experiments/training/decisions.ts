/**
 * What the scheduler decided for a run, kept in its checkpoints and pinned when it goes on: a run goes on in the tiles and pieces
 * that it began with, whatever the default rules have become, so that it adds up in the same order. Another device has other
 * problems (`compiler/schedule/choose.ts`), which its own rules decide.
 */
import { z } from 'zod';
import type { Choices } from '../../compiler/schedule/choose.ts';
import type { Plan } from '../../compiler/schedule/plan.ts';

const count = z.number().int().positive();
/** Every part of a family's tunings: one that is left out would be lost on the way through a checkpoint. */
type Parts<Family extends 'contractions' | 'rows' | 'streams'> = Readonly<
  Record<keyof Choices[Family][string], z.ZodType>
>;

const contractionSchema = z.object({
  form: z.enum(['tiled', 'direct', 'subgroup', 'lanes', 'matrix']),
  tileM: count,
  tileN: count,
  tileK: count,
  rows: count,
  columns: count.multipleOf(4),
  buffers: z.union([z.literal(1), z.literal(2)]).optional(),
  slices: count.optional(),
} satisfies Parts<'contractions'>);
const streamSchema = z.object({
  threadRows: count,
  threadColumns: count,
  rowQuads: count,
  depth: count,
  ahead: z.union([z.literal(0), z.literal(1)]).optional(),
  interleave: z.union([z.literal(1), z.literal(2)]).optional(),
  matrices: z.literal(1).optional(),
} satisfies Parts<'streams'>);
const rowSchema = z.object({
  lanes: count,
  workgroupSize: count,
  shuffle: z.boolean(),
  quads: z.boolean().optional(),
} satisfies Parts<'rows'>);

export const decisionsSchema = z.object({
  contractions: z.record(z.string(), contractionSchema),
  rows: z.record(z.string(), rowSchema),
  streams: z.record(z.string(), streamSchema),
  pieces: z.record(z.string(), count),
});

/** Those of all plans of a step, as one table. */
export function decisionsOf(plans: Readonly<Record<string, Pick<Plan, 'choices'>>>): Choices {
  const all = Object.values(plans).map(({ choices }) => choices);
  return {
    contractions: Object.assign({}, ...all.map(({ contractions }) => contractions)),
    rows: Object.assign({}, ...all.map(({ rows }) => rows)),
    streams: Object.assign({}, ...all.map(({ streams }) => streams)),
    pieces: Object.assign({}, ...all.map(({ pieces }) => pieces)),
  };
}
