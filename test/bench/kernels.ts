/**
 * What the kernel families reach on the device present: GFLOP/s for contractions, GB/s for the others. A part of
 * `npm run bench`, and by itself, with the tile sizes that were tried:
 *
 *   node dist/test/bench/kernels.js [--device NAME] [--small] [--only TEXT] [--tune]
 *
 * Times are medians of the device's own timestamps after a warm-up. One JSON object a line on standard output.
 * The trap: an idle GPU runs at a fraction of its clock, so it is kept busy before anything is timed.
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runCommand } from '../../compiler/command-line/errors.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import { type ScheduleOptions, schedule } from '../../compiler/schedule/schedule.ts';
import type { ContractionTuning } from '../../kernels/families/contraction/tuning.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { createExecutor } from '../../runtime/executor.ts';
import { benchCases, type KernelCase } from './kernel-cases.ts';
import { recordHeader } from './record.ts';

/** An idle H100 runs at 345 MHz; after so long under load it is at its full clock. */
const warmUpMs = 1300;
const repeats = { gpu: 15, cpu: 3 } as const;

export interface KernelResult {
  readonly case: string;
  readonly timeUs: number;
  readonly gflops?: number;
  readonly gbytesPerS?: number;
  /** Family and tuning of each kernel that the case became. */
  readonly kernels: readonly string[];
}

/** Throws MachineError where the device has no timestamps. */
export async function timeKernels(
  opened: OpenedDevice,
  { name, program, multiplyAdds }: KernelCase,
  override?: ScheduleOptions['override'],
): Promise<KernelResult> {
  const plan = schedule(program, { target: opened.target, ...(override ? { override } : {}) });
  const executor = await createExecutor(opened, plan);
  try {
    for (const { name, shape, source } of program.tensors) {
      if (source.kind !== 'input') continue;
      executor.upload(
        name,
        Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i * 12.9898) * 2),
      );
    }
    const begun = performance.now();
    do {
      executor.run();
      await executor.finish();
    } while (performance.now() - begun < (opened.class === 'gpu' ? warmUpMs : 0));
    const timesUs: number[] = [];
    while (timesUs.length < repeats[opened.class]) {
      timesUs.push((await executor.profile()).reduce((total, kernel) => total + kernel.timeUs, 0));
    }
    const timeUs = median(timesUs);
    const bytes = plan.kernels.reduce((total, kernel) => total + kernel.bytes, 0);
    const perNs = (amount: number) => significant(amount / timeUs / 1e3);
    return {
      case: name,
      timeUs: Math.round(timeUs),
      ...(multiplyAdds === undefined ? { gbytesPerS: perNs(bytes) } : { gflops: perNs(2 * multiplyAdds) }),
      kernels: plan.kernels.map(({ family, tuning }) => `${family} ${Object.values(tuning).join('/')}`),
    };
  } finally {
    executor.destroy();
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

function significant(value: number): number {
  return Number(value.toPrecision(3));
}

function tiled(
  tileM: number,
  tileN: number,
  tileK: number,
  rows: number,
  columns: number,
  buffers: 1 | 2 = 1,
): ContractionTuning {
  return { form: 'tiled', tileM, tileN, tileK, rows, columns, buffers };
}

/** What `--tune` tries for each contraction. */
const tunings: readonly ContractionTuning[] = [
  tiled(128, 128, 8, 8, 8),
  tiled(128, 128, 8, 8, 8, 2),
  tiled(128, 128, 16, 8, 8),
  tiled(128, 128, 16, 8, 8, 2),
  tiled(128, 64, 8, 8, 8),
  tiled(128, 64, 8, 8, 8, 2),
  tiled(128, 64, 16, 8, 8),
  tiled(128, 64, 16, 8, 4),
  tiled(128, 64, 16, 8, 4, 2),
  tiled(64, 64, 16, 8, 8),
  tiled(64, 64, 16, 8, 4),
  tiled(64, 64, 16, 8, 4, 2),
  tiled(64, 64, 16, 4, 4),
  tiled(32, 32, 16, 4, 4),
  tiled(128, 32, 16, 8, 4),
  tiled(32, 128, 16, 4, 8),
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      device: { type: 'string' },
      only: { type: 'string', default: '' },
      small: { type: 'boolean', default: false },
      tune: { type: 'boolean', default: false },
    },
  });
  const opened = await openDevice(values.device === undefined ? {} : { name: values.device });
  const say = (line: object) => console.log(JSON.stringify(line));
  try {
    say(recordHeader(opened.name));
    for (const one of benchCases(values.small)) {
      if (!one.name.includes(values.only)) continue;
      say(await timeKernels(opened, one));
      if (!values.tune || one.multiplyAdds === undefined) continue;
      for (const contraction of tunings) {
        const { timeUs, gflops } = await timeKernels(opened, one, { contraction });
        say({ tuning: Object.values(contraction).join('/'), timeUs, gflops });
      }
    }
  } finally {
    opened.destroy();
  }
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) await runCommand(main);
