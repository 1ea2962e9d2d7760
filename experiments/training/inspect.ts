/** Where numbers stop being finite: a step's tensors, one after the other, as the model defines them. */
import type { OpenedDevice } from '../../runtime/device.ts';
import { deviceRunner } from './device-runner.ts';
import { type Upload, uploadWhereRead } from './lazy-runner.ts';
import type { SharedState } from './state.ts';
import type { StepProgram } from './step.ts';

/** Name of the first tensor, params before all others, that is not finite; `feed` uploads the batch. Undefined if all are. */
export async function firstNonFinite(
  opened: OpenedDevice,
  { program, arena }: StepProgram,
  state: SharedState,
  feed: (upload: Upload) => void,
): Promise<string | undefined> {
  const params = (await state.executor.download('params')).get('params') as Float32Array;
  for (const { param, offset, elements } of arena.slots) {
    if (!params.subarray(offset, offset + elements).every(Number.isFinite)) return param.name;
  }
  const runner = await deviceRunner(opened, program, state.buffers);
  try {
    feed(uploadWhereRead(runner));
    runner.run();
    for (const { name, source } of program.tensors) {
      if (source.kind !== 'computed') continue;
      const values = (await runner.download(name)).get(name) as Float32Array;
      if (!values.every(Number.isFinite)) return name;
    }
    return undefined;
  } finally {
    runner.destroy();
  }
}
