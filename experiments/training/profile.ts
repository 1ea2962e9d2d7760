/**
 * Where the time of a step goes on the device: some steps, soon after the beginning, run with a pass and two timestamps a kernel. They
 * are steps like any other, with the same results.
 *
 * The trap: passes of their own keep kernels from overlapping, so these times add up to more than a step takes.
 */
import type { PlanKernel } from '../../compiler/schedule/plan.ts';
import type { KernelTiming } from '../../runtime/executor.ts';
import { durationText } from '../progress.ts';

/** What a plan says of a kernel, and when it ran. */
export interface ProfiledKernel extends Pick<PlanKernel, 'label' | 'key' | 'family' | 'multiplyAdds' | 'bytes'> {
  /** From the first kernel of the step. */
  readonly startUs: number;
  readonly timeUs: number;
}

export interface ProfiledStep {
  readonly step: number;
  /** When the host asked for it, on the clock of `performance.now()`. */
  readonly startMs: number;
  readonly kernels: readonly ProfiledKernel[];
}

export interface Profiler {
  /** Whether a step, counted from 0, is to be profiled. */
  readonly wants: (step: number) => boolean;
  readonly take: (step: ProfiledStep) => void;
}

export function profiledKernels(kernels: readonly PlanKernel[], timings: readonly KernelTiming[]): ProfiledKernel[] {
  return kernels.map(({ label, key, family, multiplyAdds, bytes }, i) => {
    const { startUs, timeUs } = timings[i];
    return { label, key, family, multiplyAdds, bytes, startUs, timeUs };
  });
}

/** A run's kernels behind those of the runs before it. */
export function following(
  before: readonly ProfiledKernel[],
  kernels: readonly ProfiledKernel[],
): readonly ProfiledKernel[] {
  const last = before.at(-1);
  const endUs = last === undefined ? 0 : last.startUs + last.timeUs;
  return kernels.map((kernel) => ({ ...kernel, startUs: endUs + kernel.startUs }));
}

interface Row {
  readonly label: string;
  readonly count: number;
  readonly timeUs: number;
  readonly multiplyAdds: number;
  readonly bytes: number;
}

/** Kernels with the same code, such as those of all layers, are a row; the slowest first. */
export function profileLines(steps: readonly ProfiledStep[], peakFlopsPerSecond: number | undefined): string[] {
  if (steps.length === 0) return ['profile: the run was too short, no step was profiled'];
  const alike = steps.filter((step) => isAlike(step, steps[steps.length - 1]));
  const rows = profileRows(alike);
  const totalUs = sum(rows, (row) => row.timeUs);
  const flops = 2 * sum(rows, (row) => row.multiplyAdds);
  const share =
    peakFlopsPerSecond === undefined
      ? ''
      : `, ${percent((1e6 * flops) / totalUs / peakFlopsPerSecond)} of its f32 peak`;
  const shown = rows.slice(0, rowsShown);
  const rest = rows.slice(rowsShown);
  const others = {
    label: `${rest.length} others`,
    count: sum(rest, (row) => row.count),
    timeUs: sum(rest, (row) => row.timeUs),
    multiplyAdds: sum(rest, (row) => row.multiplyAdds),
    bytes: sum(rest, (row) => row.bytes),
  };
  return [
    `kernels of a step, mean of ${alike.length}: ${timeText(totalUs)} in ${Math.round(sum(rows, (row) => row.count))} dispatches, ` +
      `${teraflops(flops / 2, totalUs)} TFLOP/s${share}`,
    '      time   share  TFLOP/s     GB/s  kernel',
    ...[...shown, ...(rest.length === 0 ? [] : [others])].map((row) => rowText(row, totalUs)),
  ];
}

const rowsShown = 30;

/** Of one shape: a stage of a curriculum may have begun in between. */
function isAlike(a: ProfiledStep, b: ProfiledStep): boolean {
  return a.kernels.length === b.kernels.length && a.kernels.every(({ key }, i) => key === b.kernels[i].key);
}

function profileRows(steps: readonly ProfiledStep[]): readonly Row[] {
  const rows = new Map<string, Row>();
  for (const { kernels } of steps) {
    for (const { key, label, family, timeUs, multiplyAdds, bytes } of kernels) {
      const row = rows.get(key) ?? { label: `${family} ${label}`, count: 0, timeUs: 0, multiplyAdds: 0, bytes: 0 };
      const share = 1 / steps.length;
      rows.set(key, {
        label: row.label,
        count: row.count + share,
        timeUs: row.timeUs + share * timeUs,
        multiplyAdds: row.multiplyAdds + share * multiplyAdds,
        bytes: row.bytes + share * bytes,
      });
    }
  }
  return [...rows.values()].sort((a, b) => b.timeUs - a.timeUs);
}

function rowText({ label, count, timeUs, multiplyAdds, bytes }: Row, totalUs: number): string {
  const times = Math.round(count) > 1 ? ` (${Math.round(count)} times)` : '';
  const columns = [
    timeText(timeUs).padStart(10),
    percent(timeUs / totalUs).padStart(8),
    teraflops(multiplyAdds, timeUs).padStart(9),
    rateText(bytes / timeUs / 1000).padStart(9),
  ];
  return `${columns.join('')}  ${label}${times}`;
}

function sum(rows: readonly Row[], of: (row: Row) => number): number {
  return rows.reduce((total, row) => total + of(row), 0);
}

function teraflops(multiplyAdds: number, timeUs: number): string {
  return rateText((2 * multiplyAdds) / timeUs / 1e6);
}

/** In three digits; what is too little to be told, and what took no time that the clock could tell, as such. */
function rateText(rate: number): string {
  if (!Number.isFinite(rate)) return '';
  return rate >= 0.001 ? String(Number(rate.toPrecision(3))) : rate === 0 ? '0' : '< 0.001';
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function timeText(timeUs: number): string {
  return timeUs >= 1e6
    ? durationText(timeUs / 1e6)
    : timeUs >= 1000
      ? `${(timeUs / 1000).toFixed(2)} ms`
      : `${timeUs.toFixed(1)} µs`;
}
