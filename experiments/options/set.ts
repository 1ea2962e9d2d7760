/** The options of one kind of training, `mlbtc train NAME`: its table in groups, its short names, what its help begins with. */
import type { OptionTable } from './table.ts';

export const taskNames = ['icl', 'lm', 'series', 'vit'] as const;
export type TaskName = (typeof taskNames)[number];

export interface OptionSet<Table extends OptionTable> {
  readonly name: TaskName;
  /** As help shows them; what stands in a group `Ignored` is read and has no effect. */
  readonly groups: Readonly<Record<string, OptionTable>>;
  /** All groups together. */
  readonly table: Table;
  /** Short names of our own for options that one types often. */
  readonly aliases: Readonly<Record<string, keyof Table & string>>;
  /** Options that are one choice under several names: a source that makes it takes back what others said. */
  readonly alternatives: readonly (readonly string[])[];
  /** What the training does, then `Examples` to copy. */
  readonly intro: readonly string[];
}
