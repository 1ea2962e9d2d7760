/** Runs a program both ways, as WGSL on the device and on the interpreter, and measures how far they are apart. */
import { interpret } from '../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../compiler/ir/ndarray.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { Plan } from '../../compiler/schedule/plan.ts';
import { type ScheduleOptions, schedule } from '../../compiler/schedule/schedule.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { createExecutor, type Executor } from '../../runtime/executor.ts';
import { relativeError } from './relative-error.ts';

export { relativeError } from './relative-error.ts';

export interface Comparison {
  /** Largest relative L2 error over the outputs. */
  readonly worst: number;
  readonly worstOutput: string;
  readonly plan: Plan;
}

/** `written` changes the plan's code before it runs. */
export async function runOnDevice(
  opened: OpenedDevice,
  program: Program,
  inputs: ReadonlyMap<string, NdArray>,
  options: Partial<ScheduleOptions> = {},
  written: (plan: Plan) => Plan = (plan) => plan,
): Promise<{ readonly values: Map<string, NdArray>; readonly plan: Plan }> {
  const plan = written(schedule(program, { target: opened.target, ...options }));
  const executor = await createExecutor(opened, plan);
  try {
    fillWorkspaces(opened, plan, executor);
    for (const [name, value] of inputs) {
      const { dtype } = program.tensors.find((t) => t.name === name)!;
      executor.upload(name, dtype === 'i32' ? Int32Array.from(value.data) : Float32Array.from(value.data));
    }
    executor.run();
    const read = await executor.download(...program.outputs);
    const values = new Map([...read].map(([name, data]) => [name, ndarray(plan.tensors[name].shape, data)]));
    return { values, plan };
  } finally {
    executor.destroy();
  }
}

/** Buffers begin as zeros, but a step finds in its workspaces what the step before left there. */
function fillWorkspaces({ device }: OpenedDevice, plan: Plan, { buffers }: Executor): void {
  for (const { id, role, sizeBytes } of plan.buffers)
    if (role === 'temporary')
      device.queue.writeBuffer(buffers.get(id)!, 0, new Float32Array(sizeBytes / 4).fill(Number.NaN));
}

export async function compare(
  opened: OpenedDevice,
  program: Program,
  inputs: ReadonlyMap<string, NdArray>,
  options: Partial<ScheduleOptions> = {},
  written?: (plan: Plan) => Plan,
): Promise<Comparison> {
  const rounded = new Map([...inputs].map(([name, v]) => [name, ndarray(v.shape, Float32Array.from(v.data))]));
  const want = interpret(program, rounded, program.outputs);
  const { values, plan } = await runOnDevice(opened, program, rounded, options, written);
  let [worst, worstOutput] = [0, ''];
  for (const name of program.outputs) {
    const error = relativeError(values.get(name)!.data, want.get(name)!.data);
    if (error >= worst) [worst, worstOutput] = [error, name];
  }
  return { worst, worstOutput, plan };
}
