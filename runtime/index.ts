/** What others may use of the runtime; start reading at device.ts and executor.ts. */

export { bytesText } from '../compiler/command-line/amounts.ts';
export { writeFileAtomically } from '../compiler/command-line/atomic-file.ts';
export {
  DiagnosticsError,
  DivergedError,
  InterruptedError,
  MachineError,
  onCommandEnd,
  runCommand,
  UsageError,
  UserError,
} from '../compiler/command-line/errors.ts';
export { cacheFolder } from './cache-folder.ts';
export { type DeviceOptions, destroyAllDevices, type OpenedDevice, openDevice, type Rung } from './device.ts';
export { registerDoctor } from './doctor.ts';
export type { ExecutableKernel, ExecutablePlan } from './executable-plan.ts';
export {
  createExecutor,
  type Executor,
  type ExecutorOptions,
  type HostArray,
  type KernelTiming,
  type RowCopy,
} from './executor.ts';
export { floatsToHalves, floatToHalf, halfToFloat, halvesToFloats } from './half-float.ts';
export { KernelError } from './pipelines.ts';
export { type RunOptions, registerRun, runStructure } from './run.ts';
export {
  parseSafetensors,
  readSafetensors,
  type SafetensorsFile,
  type StoredDtype,
  type StoredTensor,
  serializeSafetensors,
  type TensorData,
  toFloat64,
  writeSafetensors,
} from './safetensors.ts';
