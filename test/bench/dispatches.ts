/**
 * The dispatches of a training step one by one, with what each waits for: where a small step spends its latency.
 *
 *   node dist/test/bench/dispatches.js --only "icl bilinear_BTT 16"               planned for WebGPU's limits; opens no device
 *   node dist/test/bench/dispatches.js --only "icl bilinear_BTT 16" --device gpu  planned for that device, and timed on it
 *   node dist/test/bench/dispatches.js --target target.json                       planned for a target that `--device` wrote
 *
 * A line is `number [µs] workgroups family: makes ← dispatches whose work it reads, * the one just before`.
 * The trap: each dispatch is timed in a pass of its own, so that what overlaps in a step is counted twice here.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { runCommand } from '../../compiler/command-line/errors.ts';
import type { Plan, PlanKernel } from '../../compiler/schedule/plan.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import { portableTarget, type Target } from '../../kernels/target.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { createExecutor } from '../../runtime/executor.ts';
import { type StepCase, stepCases } from './step-cases.ts';
import { time, warmUpMs } from './timing.ts';

interface Flags {
  readonly device?: string;
  readonly target?: string;
  readonly only: string;
}

/** Each dispatch is timed so often; the median counts. */
const profiles = 9;

const command = new Command('dispatches')
  .description('Lists the dispatches of the training steps that are compared with PyTorch, with what each waits for.')
  .option('--device <name>', 'plan for this device and time the dispatches on it')
  .option('--target <file>', 'plan for the target in this file of JSON')
  .option('--only <text>', 'only models whose name contains it', '')
  .exitOverride()
  .action(list);

async function list({ device, target, only }: Flags): Promise<void> {
  const chosen = stepCases.filter(({ name }) => name.includes(only));
  if (device === undefined) {
    const planned = target === undefined ? portableTarget : (JSON.parse(readFileSync(target, 'utf8')) as Target);
    for (const one of chosen) say(one, schedule(one.program(), { target: planned }));
    return;
  }
  const opened = await openDevice({ name: device });
  try {
    process.stdout.write(`${JSON.stringify(opened.target)}\n`);
    for (const one of chosen) {
      const plan = schedule(one.program(), { target: opened.target });
      say(one, plan, await timesUs(opened, one, plan));
    }
  } finally {
    opened.destroy();
  }
}

async function timesUs(opened: OpenedDevice, { input }: StepCase, plan: Plan): Promise<number[]> {
  const executor = await createExecutor(opened, plan);
  try {
    for (const name of plan.inputs) executor.upload(name, input(name, plan.tensors[name]));
    await time(executor, 1, opened.class === 'gpu' ? warmUpMs : 0);
    const runs: number[][] = [];
    for (let i = 0; i < profiles; i++) runs.push((await executor.profile()).map(({ timeUs }) => timeUs));
    return plan.kernels.map((_, k) => runs.map((run) => run[k]).sort((a, b) => a - b)[profiles >> 1]);
  } finally {
    executor.destroy();
  }
}

function say({ name }: StepCase, plan: Plan, times?: readonly number[]): void {
  const total = times === undefined ? '' : `, ${Math.round(times.reduce((sum, us) => sum + us, 0))} µs one by one`;
  process.stdout.write(`${name}: ${plan.kernels.length} dispatches${total}\n`);
  const madeIn = new Map<string, number>();
  for (const [k, kernel] of plan.kernels.entries()) {
    const makers = readOf(kernel).flatMap((tensor) => madeIn.get(tensor) ?? []);
    const from = [...new Set(makers)]
      .sort((a, b) => a - b)
      .map((maker) => (maker === k - 1 ? `${maker}*` : `${maker}`));
    for (const tensor of kernel.makes) madeIn.set(tensor, k);
    const groups = kernel.workgroups.reduce((product, count) => product * count, 1);
    const us = times === undefined ? '' : ` ${times[k].toFixed(1)} µs`;
    process.stdout.write(`${k}${us} ${groups} ${kernel.family}: ${kernel.makes.join(', ')} ← ${from.join(' ')}\n`);
  }
}

/** Tensors of its bindings that the kernel does not make itself. */
function readOf({ bindings, makes }: PlanKernel): readonly string[] {
  return bindings.flatMap(({ tensors }) => tensors).filter((tensor) => !makes.includes(tensor));
}

await runCommand(async (argv) => {
  await command.parseAsync([...argv]);
});
