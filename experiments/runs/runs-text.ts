/** A list of runs for a person, for a program (JSON) and for a spreadsheet (CSV, RFC 4180). */
import { durationText, short } from '../progress.ts';
import type { DamagedRun, ListedRun } from './list-runs.ts';
import type { RunSummary } from './run-summary.ts';

const summaryHeads = ['state', 'step', 'held out', 'training', 'steps/s', 'trained'] as const;

type Listed = ListedRun | DamagedRun;

const isWhole = (run: Listed): run is ListedRun => run.state !== 'damaged';

/** Lines of a table, a damaged run told in words in its place; below it what was said where a training did not end well. */
export function runsTable(runs: readonly Listed[]): readonly string[] {
  const heads = ['run', 'trains', ...summaryHeads, 'differs in'];
  const rows = runs.map((run) => (isWhole(run) ? cells(run) : [run.name, '', run.state, oneLine(run.message)]));
  const widths = heads.map((head, i) =>
    Math.max(head.length, ...rows.filter(({ length }) => length === heads.length).map((row) => row[i].length)),
  );
  widths[0] = Math.max(...[heads, ...rows].map(([name]) => name.length));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  const said = runs.filter((run) => isWhole(run) && run.message !== '' && run.state !== 'interrupted');
  const messages = said.map(({ name, message }) => `${name}: ${oneLine(message)}`);
  return [...[heads, ...rows].map(line), ...(messages.length === 0 ? [] : ['', ...messages])];
}

function oneLine(message: string): string {
  return message.replaceAll(/\s*\n\s*/g, ' ');
}

function cells({ name, task, differs, ...summary }: ListedRun): readonly string[] {
  const differing = Object.entries(differs).map(([option, value]) => `${option} ${value}`);
  return [name, task, ...Object.values(summaryCells(summary)), differing.join(', ')];
}

/** A run's figures under their heads. */
export function summaryCells(summary: RunSummary): Readonly<Record<(typeof summaryHeads)[number], string>> {
  const { state, step, steps, bestLoss, trainLoss, stepsPerSecond, timeS } = summary;
  return {
    state,
    step: `${step}/${steps}`,
    'held out': figure(bestLoss),
    training: figure(trainLoss),
    'steps/s': figure(stepsPerSecond),
    trained: timeS === null ? '' : durationText(timeS),
  };
}

function figure(value: number | null): string {
  return value === null ? '' : short(value);
}

const columns = [
  'name',
  'task',
  'state',
  'step',
  'steps',
  'bestLoss',
  'bestStep',
  'trainLoss',
  'stepsPerSecond',
  'tokens',
  'flops',
  'timeS',
  'message',
] as const satisfies readonly (keyof ListedRun)[];

/** A row a run, a column for each option in which any of them differ. */
export function runsCsv(runs: readonly Listed[]): string {
  const options = [...new Set(runs.filter(isWhole).flatMap(({ differs }) => Object.keys(differs)))];
  const valuesOf = (run: Listed): readonly unknown[] => {
    const told: Readonly<Record<string, unknown>> = { ...run };
    return [
      ...columns.map((column) => told[column]),
      ...options.map((option) => (isWhole(run) ? run.differs[option] : undefined)),
    ];
  };
  return [[...columns, ...options], ...runs.map(valuesOf)].map((row) => `${row.map(quoted).join(',')}\r\n`).join('');
}

function quoted(value: unknown): string {
  const text = value === undefined || value === null ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
