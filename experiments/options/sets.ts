/** The option set of each kind of training, for whoever reads a run of any kind. */
import { iclOptions } from './icl.ts';
import { lmOptions } from './lm.ts';
import { seriesOptions } from './series.ts';
import type { OptionSet, TaskName } from './set.ts';
import type { OptionTable } from './table.ts';
import { vitOptions } from './vit.ts';

export const optionSets: Readonly<Record<TaskName, OptionSet<OptionTable>>> = {
  icl: iclOptions,
  lm: lmOptions,
  series: seriesOptions,
  vit: vitOptions,
};
