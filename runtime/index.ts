/** What others may use of the runtime; start reading at device.ts and executor.ts. */

export { writeFileAtomically } from './atomicFile.ts';
export { cacheFolder } from './cacheFolder.ts';
export { type DeviceOptions, destroyAllDevices, type OpenedDevice, openDevice, type Rung } from './device.ts';
export { registerDoctor } from './doctor.ts';
export {
  DiagnosticsError,
  DivergedError,
  InterruptedError,
  MachineError,
  onCommandEnd,
  runCommand,
  UsageError,
  UserError,
} from './errors.ts';
export type { ExecutableKernel, ExecutablePlan } from './executablePlan.ts';
export {
  createExecutor,
  type Executor,
  type ExecutorOptions,
  type HostArray,
  type KernelTiming,
} from './executor.ts';
export { floatsToHalves, floatToHalf, halfToFloat, halvesToFloats } from './halfFloat.ts';
export { KernelError } from './pipelines.ts';
export { bytesText } from './planChecks.ts';
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
