/**
 * `--trace FILE`: the stages of a run and the kernels of some steps, in the JSON array format of Chrome's tracing, which
 * chrome://tracing and Perfetto show. Times are in microseconds; stages lie on one row, kernels on another.
 *
 * The trap: the device has a clock of its own, so the kernels of a step are laid out from the moment in which the host asked for it.
 */
import type { Stage } from '../../runtime/stages.ts';
import type { ProfiledStep } from './profile.ts';

interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'M';
  readonly pid: number;
  readonly tid: number;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

const pid = 1;
const rows = { host: 1, device: 2 } as const;

/** One event a line, so that the file can be searched. */
export function chromeTrace(stages: readonly Stage[], steps: readonly ProfiledStep[], deviceName: string): string {
  const starts = [...stages.map(({ startMs }) => startMs), ...steps.map(({ startMs }) => startMs)];
  const originMs = Math.min(...starts);
  const microseconds = (ms: number) => Math.round(1000 * (ms - originMs));
  const events: TraceEvent[] = [
    { name: 'process_name', ph: 'M', pid, tid: 0, args: { name: 'mlbtc' } },
    { name: 'thread_name', ph: 'M', pid, tid: rows.host, args: { name: 'stages' } },
    { name: 'thread_name', ph: 'M', pid, tid: rows.device, args: { name: deviceName } },
    ...stages.map(
      ({ name, detail, startMs, endMs }): TraceEvent => ({
        name,
        cat: 'stage',
        ph: 'X',
        pid,
        tid: rows.host,
        ts: microseconds(startMs),
        dur: Math.max(1, Math.round(1000 * (endMs - startMs))),
        args: detail === '' ? {} : { detail },
      }),
    ),
    ...steps.flatMap(({ step, startMs, kernels }) =>
      kernels.map(
        ({ label, family, startUs, timeUs, multiplyAdds, bytes }): TraceEvent => ({
          name: label,
          cat: family,
          ph: 'X',
          pid,
          tid: rows.device,
          ts: microseconds(startMs) + startUs,
          dur: timeUs,
          args: { step, multiplyAdds, bytes },
        }),
      ),
    ),
  ];
  return `[\n${events.map((event) => JSON.stringify(event)).join(',\n')}\n]\n`;
}
