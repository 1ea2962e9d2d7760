/** Runs a program on the device: optimised already, scheduled for the device's target here, one executor. */
import type { Program } from '../../compiler/ir/program.ts';
import type { Plan } from '../../compiler/schedule/plan.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { createExecutor, type Executor } from '../../runtime/executor.ts';
import { planOf } from './plans.ts';
import { type ProfiledKernel, profiledKernels } from './profile.ts';
import type { MakeRunner, Runner } from './runner.ts';

export interface DeviceRunner extends Runner {
  readonly executor: Executor;
  readonly plan: Plan;
  /** One run, timed kernel by kernel; throws MachineError where the device has no clock for that. */
  profile(): Promise<readonly ProfiledKernel[]>;
}

export function deviceRunners(opened: OpenedDevice): MakeRunner {
  return (program) => deviceRunner(opened, program);
}

/** `sharedStates`: buffers of another runner to go on with, by tensor name. */
export async function deviceRunner(
  opened: OpenedDevice,
  program: Program,
  sharedStates: ReadonlyMap<string, GPUBuffer> = new Map(),
): Promise<DeviceRunner> {
  const plan = planOf(program, opened.target);
  const shared = new Map<string, GPUBuffer>();
  for (const [name, buffer] of sharedStates) {
    const tensor = plan.tensors[name];
    if (tensor === undefined) continue;
    if (tensor.offsetBytes !== 0) throw new Error(`the state ${name} shares its buffer with other tensors`);
    shared.set(tensor.buffer, buffer);
  }
  const executor = await createExecutor(opened, plan, { shared });
  return {
    executor,
    plan,
    upload: (name, data) => executor.upload(name, data),
    run: () => executor.run(),
    download: (...names) => executor.download(...names),
    profile: async () => profiledKernels(plan.kernels, await executor.profile()),
    destroy: () => executor.destroy(),
  };
}
