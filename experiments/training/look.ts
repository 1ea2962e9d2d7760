/**
 * How closely a run is looked at (options/transformer.ts, `debugRows`): `-v` says each stage and at the end where the time went,
 * `--profile` what the kernels of a step take, `--trace FILE` draws both.
 */
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { MachineError } from '../../compiler/command-line/errors.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { peakFlopsPerSecond } from '../../runtime/device-peaks.ts';
import { listenToStages, type Stage } from '../../runtime/stages.ts';
import { chromeTrace } from './chrome-trace.ts';
import { type ProfiledStep, type Profiler, profileLines } from './profile.ts';

export interface LookOptions {
  readonly verbose: boolean;
  readonly trace: string | null;
  readonly profile: boolean;
}

export interface Look {
  /** Undefined where no kernel is to be timed. Throws MachineError where that is asked for and the device cannot. */
  readonly profiler: (opened: OpenedDevice) => Profiler | undefined;
  /** Says what was found and writes the trace, however the run has ended. */
  readonly end: () => void;
}

/** A trace of a run of weeks must not grow for weeks: these are its first hours. */
const tracedStages = 20_000;

interface Total {
  readonly count: number;
  readonly ms: number;
}

/** Profiled are steps of which the first ones are past: caches are warm then. */
const profiledSteps = { after: 2, count: 3 } as const;

/** Listens from now on. */
export function look({ verbose, trace, profile }: LookOptions, say: (line: string) => void): Look {
  // What cannot be written is known now and not after a week.
  if (trace !== null) writeFileAtomically(trace, ['[]\n']);
  const startMs = performance.now();
  const stages: Stage[] = [];
  const totals = new Map<string, Total>();
  const steps: ProfiledStep[] = [];
  let device: OpenedDevice | undefined;
  const stop = listenToStages((stage) => {
    if (trace !== null && stages.length < tracedStages) stages.push(stage);
    if (!verbose) return;
    const { name, detail, startMs, endMs } = stage;
    const { count, ms } = totals.get(name) ?? { count: 0, ms: 0 };
    totals.set(name, { count: count + 1, ms: ms + endMs - startMs });
    // What has something to tell tells it every time; what comes at every checkpoint is said once.
    if (detail !== '' || count === 0) say(stageLine(stage));
  });
  let begin: number | undefined;
  return {
    profiler: (opened) => {
      device = opened;
      if (!profile && trace === null) return undefined;
      if (!opened.features.includes('timestamp-query')) {
        if (profile) throw new MachineError(`--profile: the device '${opened.name}' has no clock for kernels`);
        return undefined;
      }
      return {
        wants: (step) => {
          begin ??= step;
          return steps.length < profiledSteps.count && step >= begin + profiledSteps.after;
        },
        take: (step) => steps.push(step),
      };
    },
    end: () => {
      stop();
      if (profile && device !== undefined) {
        const { name, adapterInfo } = device;
        for (const line of profileLines(steps, peakFlopsPerSecond(`${name} ${adapterInfo.device}`))) say(line);
      }
      if (verbose) for (const line of totalLines(totals, performance.now() - startMs)) say(line);
      if (trace === null) return;
      writeFileAtomically(trace, [chromeTrace(stages, steps, device?.name ?? 'device')]);
      say(`trace: ${trace}`);
    },
  };
}

function stageLine({ name, detail, startMs, endMs }: Stage): string {
  return `${name.padEnd(nameWidth)}${milliseconds(endMs - startMs)}${detail === '' ? '' : `  ${detail}`}`;
}

/** Where the time went, by stage; what is no stage is the steps and their waits. */
function totalLines(totals: ReadonlyMap<string, Total>, wholeMs: number): readonly string[] {
  const rows = [...totals].sort(([, a], [, b]) => b.ms - a.ms);
  return [
    `where the time went, of ${milliseconds(wholeMs).trim()}`,
    ...rows.map(
      ([name, { count, ms }]) =>
        `  ${name.padEnd(nameWidth)}${milliseconds(ms)} ${((100 * ms) / wholeMs).toFixed(1).padStart(6)} %${count > 1 ? `  ${count} times` : ''}`,
    ),
  ];
}

const nameWidth = 20;

function milliseconds(ms: number): string {
  return `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`.padStart(11);
}
