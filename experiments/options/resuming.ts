/** What may change where a run that has stopped goes on, and how a command line asks for that (`commands/resume.ts`). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../compiler/command-line/errors.ts';
import type { OptionTable, OptionValues } from './table.ts';
import { debugRows, dryRunRows, placeRows } from './transformer.ts';

/** Of one kind of training. */
export interface Resuming<Table extends OptionTable> {
  /** The run's folder where the options that are given ask for it, as the reference's do. Throws UsageError where it is not clear. */
  runOf(given: Partial<OptionValues<Table>>): string | undefined;
  /** The option with the number of steps, which may become more. */
  readonly steps: keyof Table & string;
  /** A flag under which a run has a length of its own, whatever that option says. */
  readonly shortRun?: keyof Table & string;
  /** Options that may be others than when the run began; any other makes another run. */
  readonly free: readonly (keyof Table & string)[];
  /** What becomes of a run's options with more steps: its schedule goes on as it began. */
  lengthened(options: OptionValues<Table>, steps: number): Partial<OptionValues<Table>>;
}

/** Options of every kind that say how a command runs, and nothing of what is trained. */
export const freeWords = [
  'debug',
  ...(Object.keys(placeRows) as (keyof typeof placeRows)[]),
  ...(Object.keys(dryRunRows) as (keyof typeof dryRunRows)[]),
  ...(Object.keys(debugRows) as (keyof typeof debugRows)[]),
] as const;

/** The folder of a run that is named by itself or below one of these. Throws UsageError where none holds it. */
export function namedRun(name: string, below: readonly string[]): string {
  const places = below.map((folder) => (folder === '.' ? name : join(folder, name)));
  const found = places.find((place) => existsSync(join(place, 'config.yaml')));
  if (found === undefined) throw new UsageError(`there is no run ${name}: looked for ${places.join(' and ')}`);
  return found;
}
