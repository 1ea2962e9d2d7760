/** What runs are called in a legend: short, and no two alike. */
import { basename, resolve } from 'node:path';
import { showValue } from '../options/table.ts';

export interface Labelled {
  readonly path: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** By the values of options where some are given, else by their folders. */
export function runLabels(runs: readonly Labelled[], by: readonly string[] = []): readonly string[] {
  const labels = by.length === 0 ? folderNames(runs) : runs.map(({ options }) => optionsText(options, by));
  const isTaken = (label: string) => labels.filter((other) => other === label).length > 1;
  const folders = folderNames(runs);
  return labels.map((label, i) => (isTaken(label) ? `${label} (${folders[i]})` : label));
}

function optionsText(options: Labelled['options'], by: readonly string[]): string {
  return by
    .map((name) => (isTelling(options[name]) ? options[name] : `${name} ${showValue(options[name])}`))
    .join(', ');
}

/** A word says what it is of; a number does not. */
function isTelling(value: unknown): value is string {
  return typeof value === 'string';
}

/** Each folder's name, with as many of the folders above it as tell it from the others. */
function folderNames(runs: readonly Labelled[]): readonly string[] {
  const parts = runs.map(({ path }) => resolve(path).split('/'));
  return parts.map((own, i) => {
    for (let depth = 1; depth < own.length; depth += 1) {
      const name = own.slice(-depth).join('/');
      if (parts.every((other, j) => j === i || other.slice(-depth).join('/') !== name)) return name;
    }
    return `${basename(runs[i].path)} ${i + 1}`;
  });
}
