/** What a dry run found, for people: what a step does, what memory it takes and for what, and which tensors those are. */
import { bytesText } from '../../compiler/command-line/amounts.ts';
import { table } from '../../compiler/command-line/table.ts';
import type { DryRunReport, TensorsRow } from './dry-run.ts';

const residentsShown = 10;
const othersShown = 5;

export function dryRunLines(report: DryRunReport): readonly string[] {
  const { dispatches, tensorCoreDispatches, pipelines, multiplyAdds, recomputed, flopsPerToken, stages } = report;
  return [
    `a step${stages.length > 1 ? ' of the last stage' : ''}`,
    row('dispatches', count(dispatches)),
    ...(tensorCoreDispatches > 0 ? [row('  on tensor cores', count(tensorCoreDispatches))] : []),
    row('pipelines', count(pipelines)),
    row('multiply-adds', count(multiplyAdds)),
    ...(recomputed.tensors === 0 ? [] : [row('computed again', recomputedText(report))]),
    row('forward, a token', `${count(flopsPerToken.actual)} multiply-adds`),
    row(
      '',
      flopsPerToken.reference === null
        ? 'unknown to the reference'
        : `${count(flopsPerToken.reference)} as the reference counts`,
    ),
    ...(stages.length > 1 ? ['stages', ...stages.map(stageLine)] : []),
    ...memoryLines(report),
    ...residentLines(report),
    ...remadeLines(report),
    ...unstoredLines(report),
  ];
}

const count = (value: number): string => Math.round(value).toLocaleString('en');
const row = (name: string, value: string): string => `  ${name.padEnd(18)}${value}`;

/** `48 tensors, 1.2 GiB that need not be kept, by 75,161,927,680 of the multiply-adds (12 %)`. */
function recomputedText({ recomputed, multiplyAdds }: DryRunReport): string {
  return (
    `${recomputed.tensors} tensors, ${bytesText(recomputed.bytes)} that need not be kept, ` +
    `by ${count(recomputed.multiplyAdds)} of the multiply-adds (${percent(recomputed.multiplyAdds / multiplyAdds)})`
  );
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;

function memoryLines({ bytes }: DryRunReport): readonly string[] {
  const { peak, evaluation } = bytes;
  const part = (name: string, size: number, what: string) => [name, bytesText(size), percent(size / peak), what];
  const rows = [
    part('params', bytes.params, ''),
    part('optimizer', bytes.optimizer, 'moments'),
    part('gradients', bytes.gradients, ''),
    part('kept', bytes.kept, 'made in the forward pass, read in the backward pass'),
    part('temporary', bytes.temporary, 'live beside that at the peak'),
    part('gaps', bytes.gaps, 'in workspaces, between tensors that are live at different times'),
    part('data', bytes.data, 'inputs and outputs'),
    ['all together', bytesText(peak)],
    ['evaluation', bytesText(evaluation), '', 'more, from the first evaluation on'],
  ];
  return ['memory', ...table(rows, [1, 2]), `  ${adviceText(bytes)}`];
}

/** Which option helps most. */
function adviceText({ params, optimizer, gradients, kept, temporary, peak }: DryRunReport['bytes']): string {
  if (params + optimizer + gradients > peak / 2)
    return 'half of it and more goes with the size of the model: fewer or narrower layers take less';
  const less = 'a smaller batch or shorter sequences take less';
  return kept > temporary ? `${less}; --memory computes again what is kept` : less;
}

function residentLines({ memory: { peak, residents } }: DryRunReport): readonly string[] {
  if (residents.length === 0) return [];
  const { kernel, kernels, makes } = peak;
  return [
    `peak: dispatch ${kernel} of ${kernels}, ${listed(makes)}; live there`,
    ...largest(residents, residentsShown, ['use', 'dispatches'], ({ use, first, last }) => [use, `${first}–${last}`]),
  ];
}

function remadeLines({ memory: { remade } }: DryRunReport): readonly string[] {
  if (remade.length === 0) return [];
  return ['computed again for the backward pass', ...largest(remade, othersShown, [], () => [])];
}

function unstoredLines({ memory: { unstored } }: DryRunReport): readonly string[] {
  if (unstored.length === 0) return [];
  return [
    'in no memory: what kernels make and use up in tiles and registers would take',
    ...largest(unstored, othersShown, ['place'], ({ place }) => [place]),
  ];
}

/** The first rows of a report, and what all others take together. */
function largest<R extends TensorsRow>(
  rows: readonly R[],
  most: number,
  heads: readonly string[],
  cells: (row: R) => readonly string[],
): readonly string[] {
  const others = rows.slice(most);
  const total = (of: (row: R) => number) => others.reduce((sum, row) => sum + of(row), 0);
  const rest = [bytesText(total(({ bytes }) => bytes)), count(total(({ tensors }) => tensors)), 'others'];
  const shown = rows
    .slice(0, most)
    .map((row) => [
      bytesText(row.bytes),
      row.tensors === 1 ? '' : `${row.tensors} ×`,
      row.shape.join('×'),
      row.name,
      ...cells(row),
    ]);
  return table([['size', '', 'shape', 'tensor', ...heads], ...shown, ...(others.length === 0 ? [] : [rest])], [0, 1]);
}

function listed(makes: readonly string[]): string {
  const [first, second, ...others] = makes;
  if (others.length > 0) return `which makes ${first} and ${others.length + 1} others`;
  return `which makes ${first}${second === undefined ? '' : ` and ${second}`}`;
}

function stageLine(stage: Readonly<Record<string, number>>): string {
  const what = Object.entries(stage).map(([name, value]) => `${name} ${value}`);
  return `  ${what.join(', ')}`;
}
