/**
 * Time of one training step for the six models that are compared with PyTorch (step-cases.ts), on the device present.
 *
 *   node dist/test/bench/steps.js --only "icl bilinear_BTT" --steps 100 --profile 20 --pytorch ../bench.py
 *
 * `stepMs` is the mean over queued steps as training runs them, `waitedMs` the median with a wait after every step; steps
 * whose loss or gradients are not finite are an error. With `--pytorch` the script runs beside each (pytorch.ts), and `ratio`
 * is ours over its fastest, of queued steps.
 *
 * The trap: one run's numbers stand beside those of the same run only; two cards of one name differ by more than most changes do.
 */
import { Command } from 'commander';
import { DivergedError, runCommand } from '../../compiler/command-line/errors.ts';
import type { Override } from '../../compiler/schedule/choose.ts';
import { type Plan, planBytes, planMultiplyAdds } from '../../compiler/schedule/plan.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import type { Streaming } from '../../compiler/schedule/streams/spaces.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { createExecutor, type Executor } from '../../runtime/executor.ts';
import { fastest, runPytorch } from './pytorch.ts';
import { recordHeader, writeRecord } from './record.ts';
import { type StepCase, stepCases } from './step-cases.ts';
import { round, time, warmUpMs } from './timing.ts';

interface Flags {
  readonly device?: string;
  readonly only: string;
  readonly steps: string;
  readonly profile: string;
  readonly streaming: Streaming;
  readonly residents: 'auto' | 'never';
  readonly tuning?: string;
  readonly memory?: string;
  readonly json?: string;
  readonly pytorch?: string;
  readonly pytorchOptions: string;
}

const command = new Command('steps')
  .description('Times one training step of each of the models that are compared with PyTorch. One JSON object a line.')
  .option('--device <name>', 'auto, gpu, cpu, lavapipe, swiftshader or a part of a device’s name')
  .option('--only <text>', 'only models whose name contains it', '')
  .option('--steps <n>', 'steps that are timed', '40')
  .option('--profile <n>', 'print the n kernels that take most of the device’s time', '0')
  .option('--tuning <json>', 'a tuning for all kernels of a family, as tests force it: {"stream":{"threadRows":16,…}}')
  .option('--memory <MiB>', 'all buffers together take no more: what would is computed again')
  .option('--streaming <how>', 'auto, always, reading (products are stored, tiles of them read) or never', 'auto')
  .option('--residents <how>', 'auto or never', 'auto')
  .option('--json <file>', 'keep the results in a file as well')
  .option('--pytorch <script>', 'run this bench of the reference’s models in PyTorch beside each')
  .option(
    '--pytorch-options <words>',
    'what it runs',
    '--attn sdpa --modes eager-fp32,compile-fp32 --compile_mode reduce-overhead',
  )
  .addHelpText('after', `\nmodels:\n${stepCases.map(({ name }) => `  ${name}\n`).join('')}`)
  .exitOverride()
  .action(bench);

async function bench(flags: Flags): Promise<void> {
  const opened = await openDevice(flags.device === undefined ? {} : { name: flags.device });
  const header = recordHeader(opened.name);
  const lines: object[] = [];
  const say = (line: object) => {
    process.stdout.write(`${JSON.stringify(line)}\n`);
    lines.push(line);
  };
  process.stdout.write(`${JSON.stringify(header)}\n`);
  try {
    for (const one of stepCases.filter(({ name }) => name.includes(flags.only))) {
      const { stepMs, kernels, ...rest } = await timeStep(
        opened,
        one,
        Number(flags.steps),
        Number(flags.profile),
        flags,
      );
      say({ case: one.name, stepMs, ...rest });
      for (const kernel of kernels) say(kernel);
      if (flags.pytorch === undefined) continue;
      const variants = runPytorch(flags.pytorch, [...one.pytorch, ...flags.pytorchOptions.split(/\s+/)]);
      for (const { attn, mode, ms, ms_pipelined, peak_mib, skipped } of variants) {
        say({
          case: one.name,
          pytorch: `${attn} ${mode}`,
          stepMs: ms_pipelined,
          waitedMs: ms,
          mebibytes: peak_mib,
          skipped,
        });
      }
      const best = fastest(variants);
      if (best !== undefined) say({ case: one.name, best: best.mode, ratio: round(stepMs / best.ms_pipelined) });
    }
  } finally {
    opened.destroy();
  }
  if (flags.json !== undefined) writeRecord(flags.json, header, lines);
}

async function timeStep(
  opened: OpenedDevice,
  { name, program, input }: StepCase,
  steps: number,
  most: number,
  { streaming, residents, tuning, memory }: Pick<Flags, 'streaming' | 'residents' | 'tuning' | 'memory'>,
) {
  const begun = performance.now();
  const plan = schedule(program(), {
    target: opened.target,
    streaming,
    residents,
    ...(memory === undefined ? {} : { memoryBytes: Number(memory) * 2 ** 20 }),
    ...(tuning === undefined ? {} : { override: JSON.parse(tuning) as Override }),
  });
  const compileMs = performance.now() - begun;
  const executor = await createExecutor(opened, plan);
  const pipelinesMs = performance.now() - begun - compileMs;
  try {
    for (const one of plan.inputs) executor.upload(one, input(one, plan.tensors[one]));
    const { stepMs, waitedMs } = await time(executor, steps, opened.class === 'gpu' ? warmUpMs : 0);
    await assertTrained(executor, name);
    return {
      stepMs: round(stepMs),
      waitedMs: round(waitedMs),
      tflops: round((2 * planMultiplyAdds(plan)) / stepMs / 1e9),
      dispatches: plan.kernels.length,
      pipelines: new Set(plan.kernels.map(({ key }) => key)).size,
      mebibytes: Math.round(planBytes(plan) / 2 ** 20),
      recomputed: plan.recomputed.tensors.length,
      recomputedShare: round(plan.recomputed.multiplyAdds / planMultiplyAdds(plan)),
      compileMs: Math.round(compileMs),
      pipelinesMs: Math.round(pipelinesMs),
      kernels: most > 0 ? await profile(executor, plan, most) : [],
    };
  } finally {
    executor.destroy();
  }
}

/** Throws where loss or gradients were not finite: from then on nothing is updated, and what was timed is no training. */
async function assertTrained(executor: Executor, name: string): Promise<void> {
  const { diverged } = Object.fromEntries(await executor.download('diverged'));
  if (diverged[0] !== 0)
    throw new DivergedError(`${name}: loss or gradients are not finite: what was timed is no training step`);
}

/** Kernels of one key together, the dearest first. */
async function profile(executor: Executor, plan: Plan, most: number): Promise<object[]> {
  await executor.profile();
  const rows = new Map<string, { timeUs: number; count: number; multiplyAdds: number; bytes: number; label: string }>();
  for (const [i, { timeUs }] of (await executor.profile()).entries()) {
    const kernel = plan.kernels[i];
    const tuning = Object.values(kernel.tuning).join('/');
    const label = `${kernel.label} (${kernel.family} ${tuning})`;
    const row = rows.get(kernel.key) ?? { timeUs: 0, count: 0, multiplyAdds: 0, bytes: 0, label };
    rows.set(kernel.key, {
      ...row,
      timeUs: row.timeUs + timeUs,
      count: row.count + 1,
      multiplyAdds: row.multiplyAdds + kernel.multiplyAdds,
      bytes: row.bytes + kernel.bytes,
    });
  }
  const dearest = [...rows.values()].sort((a, b) => b.timeUs - a.timeUs).slice(0, most);
  return dearest.map(({ label, count, timeUs, multiplyAdds, bytes }) => ({
    kernel: label,
    count,
    timeUs: Math.round(timeUs),
    tflops: round((2 * multiplyAdds) / timeUs / 1e6),
    gbytesPerS: Math.round(bytes / timeUs / 1e3),
  }));
}

await runCommand(async (argv) => {
  await command.parseAsync([...argv]);
});
