/** Holds what a program computes on the device to the interpreter, each output by what rounding may do to it (rounding.ts). */
import { expect } from 'vitest';
import { interpret } from '../../compiler/ir/interpret.ts';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { Plan } from '../../compiler/schedule/plan.ts';
import type { ScheduleOptions } from '../../compiler/schedule/schedule.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { asF32, roundingBounds } from './rounding.ts';
import { relativeError, runOnDevice } from './run-on-device.ts';

/** Interprets the program once; what is returned runs a plan of it by the given options, and fails where an output is too far off. */
export function withinRounding(
  opened: OpenedDevice,
  program: Program,
  given: ReadonlyMap<string, NdArray>,
  text = '',
): (options: Partial<ScheduleOptions>, written?: (plan: Plan) => Plan) => Promise<Plan> {
  const inputs = asF32(given);
  const want = interpret(program, inputs, program.outputs);
  const allowed = roundingBounds(program, inputs, want);
  return async (options, written) => {
    const { values, plan } = await runOnDevice(opened, program, inputs, options, written);
    for (const name of program.outputs) {
      const error = relativeError(values.get(name)!.data, want.get(name)!.data);
      expect(error, `${name} ${text}`).toBeLessThan(allowed.get(name)!);
    }
    return plan;
  };
}
