/**
 * In what runs differ: the options that not all of them have alike, among runs of one kind of training. Where a run is written to, and
 * what has no effect on what is trained, is no difference.
 */
import { optionSets } from '../options/sets.ts';
import { showValue } from '../options/table.ts';
import type { StoredRun } from './stored-run.ts';

type Compared = Pick<StoredRun, 'task' | 'options' | 'structureDigest'>;

const withoutEffect = new Set(['out_dir', 'debug']);

/** For each run, values of the options that differ, as they are written on a command line; `none` where a run lacks a size. */
export function differingOptions(runs: readonly Compared[]): readonly Readonly<Record<string, string>>[] {
  const written = runs.map(writtenOptions);
  return runs.map(({ task }, i) => {
    const alike = written.filter((_, j) => runs[j].task === task);
    const names = new Set(alike.flatMap((options) => Object.keys(options)));
    const differing = [...names].filter((name) => new Set(alike.map((options) => options[name] ?? 'none')).size > 1);
    return Object.fromEntries(differing.map((name) => [name, written[i][name] ?? 'none']));
  });
}

function writtenOptions(run: Compared, _: number, runs: readonly Compared[]): Readonly<Record<string, string>> {
  const { task, options, structureDigest } = run;
  const { groups } = optionSets[task];
  const apart = { ...groups.Ignored, ...groups['Dry run'], ...groups.Debugging };
  const told = Object.entries(options).filter(([name]) => !(name in apart) && !withoutEffect.has(name));
  const values = Object.fromEntries(told.map(([name, value]) => [name, showValue(value)]));
  const namesakes = runs.filter((other) => other.task === task && scoreOf(other) === scoreOf(run));
  const isAmbiguous = namesakes.some((other) => other.structureDigest !== structureDigest);
  return isAmbiguous ? { ...values, structure_text: structureDigest } : values;
}

function scoreOf({ options }: Compared): string {
  return `${showValue(options.structure)} ${showValue(options.token_mixing_struct)}`;
}
