/**
 * The one place that opens a GPU device. The ladder, in order: the device that was named; a hardware adapter; a software
 * adapter of the system (Mesa lavapipe); the bundled SwiftShader (swiftshader.ts). What is opened is one owner with an
 * explicit end of life, from which the plain `Target` of kernels/target.ts is derived.
 *
 * The traps: the object that `create()` returns takes the device with it when it is collected, so all of them stay
 * reachable for the life of the process. The Vulkan loader reads its driver list from the environment each time an instance
 * is made, so the bundled driver is named there only while its adapter is looked up, or child processes would inherit it.
 */

import { tmpdir } from 'node:os';
import { delimiter } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MachineError, onCommandEnd } from '../compiler/command-line/errors.ts';
import type { SubgroupMatrices, Target } from '../kernels/target.ts';
import { quietly } from './quiet.ts';
import { createRest } from './rest.ts';
import { stagedAsync } from './stages.ts';
import { loadBundledVulkanLoader, swiftShaderObstacle, unpackSwiftShader } from './swiftshader.ts';
import { subgroupMatrixFeature, type TensorCores, tensorCoresOfEnvironment } from './tensor-cores.ts';
import { type UnsafeToggle, unsafeTogglesOfEnvironment } from './unsafe-toggles.ts';
import { vulkanSystem } from './vulkan-system.ts';

export type Rung = 'hardware' | 'system-software' | 'bundled-swiftshader';

export interface DeviceOptions {
  /**
   * `auto` (the whole ladder), `gpu`, `cpu`, `lavapipe`, `swiftshader`, or a part of an adapter's name.
   * Where it is not given, the environment's MLBTC_DEVICE decides.
   */
  readonly name?: string;
  /** Where it is not given, the environment's MLBTC_TENSOR_CORES decides. */
  readonly tensorCores?: TensorCores;
  /** Where it is not given, the environment's MLBTC_UNSAFE decides. */
  readonly unsafeToggles?: readonly UnsafeToggle[];
}

export interface OpenedDevice {
  readonly device: GPUDevice;
  readonly adapterInfo: GPUAdapterInfo;
  readonly rung: Rung;
  readonly class: 'cpu' | 'gpu';
  /** The adapter's own name, e.g. `SwiftShader driver 5.0.0`. */
  readonly name: string;
  readonly features: readonly string[];
  readonly limits: GPUSupportedLimits;
  readonly target: Target;
  /** Compiled pipelines by structural key, shared by everything that runs on this device (pipelines.ts). */
  readonly pipelines: Map<string, Promise<GPUComputePipeline>>;
  /** Throws what has gone wrong on the device since it was opened; called between steps. */
  check(): void;
  /**
   * Awaits a device operation; where the device was lost meanwhile, says that instead of the operation's own complaint.
   * On a software device the thread sleeps meanwhile, so that the cores are the device's (rest.ts).
   */
  guard<T>(operation: Promise<T>): Promise<T>;
  /** The loss of the device where that is what is behind an error; undefined where the device is still there. */
  lossBehind(error: unknown): Promise<DeviceLostError | undefined>;
  destroy(): void;
}

/** The device is gone: its driver was reset, or it was taken away. Everything on it is lost, and it can be opened again. */
export class DeviceLostError extends MachineError {
  override readonly name = 'DeviceLostError';
}

/** A device that is lost may refuse what is asked of it before it says so. */
const lossIsToldWithinMs = 200;

/** One rung that was tried: what it gave, or why it gave nothing. */
export interface Attempt {
  readonly rung: Rung;
  readonly adapterName?: string;
  readonly reason?: string;
}

export interface FoundAdapter {
  readonly rung: Rung;
  readonly gpu: GPU;
  readonly adapter: GPUAdapter;
  readonly name: string;
}

const wantedFeatures = ['shader-f16', 'subgroups', 'timestamp-query', subgroupMatrixFeature] as const;
/** NVIDIA's f16 and the subgroup matrices hide behind the first two; rounded timestamps would make profiles useless. */
const enabledToggles = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'] as const;
const disabledToggles = ['timestamp_quantization'] as const;
/**
 * SwiftShader writes the zeros of workgroup memory out word by word where the driver is to make them: a kernel with 5 KB of it compiles
 * in 4.8 s of processor time in place of 1.8, one that does nothing with 16 KB in 3.2 s in place of 0.02. Dawn writes a loop instead.
 */
const disabledOnSwiftShader = ['use_vulkan_zero_initialize_workgroup_memory_extension'] as const;

const keptAlive = keptAliveInProcess();
const openDevices = new Set<OpenedDevice>();
onCommandEnd(destroyAllDevices);

/** Opens a device. Throws MachineError (exit 3) with every rung's reason where there is none. */
export function openDevice(options: DeviceOptions = {}): Promise<OpenedDevice> {
  return stagedAsync(
    'open device',
    () => openFirst(options),
    ({ name }) => name,
  );
}

async function openFirst(options: DeviceOptions): Promise<OpenedDevice> {
  const wanted = options.name ?? process.env.MLBTC_DEVICE ?? 'auto';
  const tensorCores = options.tensorCores ?? tensorCoresOfEnvironment();
  const attempts: Attempt[] = [];
  for await (const found of adapters(wanted, attempts, options.unsafeToggles)) {
    try {
      return await openAdapter(found, tensorCores);
    } catch (error) {
      attempts.push({ rung: found.rung, adapterName: found.name, reason: (error as Error).message });
    }
  }
  throw new MachineError(noDeviceMessage(wanted, attempts));
}

/** Ends every device that is still open; a command calls this through `runCommand`. */
export function destroyAllDevices(): void {
  for (const opened of openDevices) opened.destroy();
}

/** The adapters that a `--device` value admits, best first; what was tried in vain is added to `attempts`. */
export async function* adapters(
  wanted: string,
  attempts: Attempt[],
  unsafeToggles: readonly string[] = unsafeTogglesOfEnvironment(),
): AsyncGenerator<FoundAdapter> {
  const selection = parseSelection(wanted);
  if (selection.rungs.includes('hardware') || selection.rungs.includes('system-software')) {
    yield* systemAdapters(selection, attempts, unsafeToggles);
  }
  if (selection.rungs.includes('bundled-swiftshader')) yield* bundledAdapter(selection, attempts, unsafeToggles);
}

interface Selection {
  readonly rungs: readonly Rung[];
  /** Lower-case part of the adapter's name. */
  readonly namePart?: string;
}

const selections: Readonly<Record<string, Selection>> = {
  auto: { rungs: ['hardware', 'system-software', 'bundled-swiftshader'] },
  gpu: { rungs: ['hardware'] },
  cpu: { rungs: ['system-software', 'bundled-swiftshader'] },
  lavapipe: { rungs: ['system-software'], namePart: 'llvmpipe' },
  swiftshader: { rungs: ['bundled-swiftshader'] },
};

function parseSelection(wanted: string): Selection {
  const word = wanted.trim().toLowerCase();
  if (word === '') return selections.auto;
  if (Object.hasOwn(selections, word)) return selections[word];
  return { ...selections.auto, namePart: word };
}

/** Hardware first, and lavapipe is not even loaded where that is enough. */
async function* systemAdapters(
  selection: Selection,
  attempts: Attempt[],
  unsafeToggles: readonly string[],
): AsyncGenerator<FoundAdapter> {
  const { rungs } = selection;
  const refuse = (reason: string, among: readonly Rung[] = ['hardware', 'system-software']) => {
    for (const rung of rungs) if (among.includes(rung)) attempts.push({ rung, reason });
  };
  const { loader, drivers } = vulkanSystem();
  const isLinux = process.platform === 'linux';
  if (isLinux && !loader) return refuse('no Vulkan loader (libvulkan.so.1) on this machine');
  if (isLinux && drivers.length === 0) return refuse('a Vulkan loader is installed, but no Vulkan driver');
  const filesOf = (isSoftware: boolean) =>
    drivers
      .filter((driver) => driver.isSoftware === isSoftware && driver.obstacle === undefined)
      .map(({ file }) => file);
  const found = await findAdapters(isLinux ? filesOf(false) : undefined, selection, unsafeToggles);
  if (rungs.includes('hardware')) yield* admitted('hardware', found, selection, attempts);
  if (!rungs.includes('system-software')) return;
  if (isLinux) found.push(...(await findAdapters(filesOf(true), selection, unsafeToggles)));
  const obstacle = drivers.find((driver) => driver.isSoftware)?.obstacle;
  const ofRung = found.filter(({ rung }) => rung === 'system-software');
  if (obstacle !== undefined && ofRung.length === 0) refuse(obstacle, ['system-software']);
  else yield* admitted('system-software', found, selection, attempts);
}

function* admitted(
  rung: Rung,
  found: readonly FoundAdapter[],
  { namePart }: Selection,
  attempts: Attempt[],
): Generator<FoundAdapter> {
  const ofRung = found.filter((candidate) => candidate.rung === rung);
  if (ofRung.length === 0) attempts.push({ rung, reason: 'no such adapter meets the requirements of WebGPU' });
  for (const candidate of ofRung) {
    const obstacle = adapterObstacle(candidate, namePart);
    if (obstacle === undefined) yield candidate;
    else attempts.push({ rung, adapterName: candidate.name, reason: obstacle });
  }
}

/** The adapters of these drivers, or of all where none are named; one where it is hardware and no other can be meant. */
async function findAdapters(
  driverFiles: readonly string[] | undefined,
  { namePart }: Selection,
  unsafeToggles: readonly string[],
): Promise<FoundAdapter[]> {
  if (driverFiles?.length === 0) return [];
  return withDrivers(driverFiles, async () => {
    const first = await findAdapter([], unsafeToggles);
    if (first === undefined) return [];
    const found = [first];
    // The system's own order is kept, but a name may ask for one further down, and behind a software adapter there may be hardware.
    if (namePart === undefined && (first.rung === 'hardware' || driverFiles?.length === 1)) return found;
    const names = await listAdapterNames();
    for (const name of names.length > 1 ? names : []) {
      const other = await findAdapter([`adapter=${name}`], unsafeToggles);
      if (other !== undefined) found.push({ ...other, name });
    }
    return found;
  });
}

function adapterObstacle({ adapter, name }: FoundAdapter, namePart: string | undefined): string | undefined {
  const { device, description, vendor, architecture } = adapter.info;
  const text = [name, device, description, vendor, architecture].join(' ').toLowerCase();
  if (namePart !== undefined && !text.includes(namePart)) return `its name does not contain '${namePart}'`;
  return undefined;
}

async function* bundledAdapter(
  { namePart }: Selection,
  attempts: Attempt[],
  unsafeToggles: readonly string[],
): AsyncGenerator<FoundAdapter> {
  const rung = 'bundled-swiftshader';
  const obstacle = swiftShaderObstacle();
  if (obstacle !== undefined) {
    attempts.push({ rung, reason: obstacle });
    return;
  }
  try {
    const swiftShader = unpackSwiftShader();
    if (!vulkanSystem().loader) loadBundledVulkanLoader(swiftShader);
    const found = await withDrivers([swiftShader.icdPath], () =>
      findAdapter([], unsafeToggles, [...disabledToggles, ...disabledOnSwiftShader]),
    );
    if (found === undefined) attempts.push({ rung, reason: 'the bundled driver gave no adapter' });
    else {
      const mismatch = adapterObstacle(found, namePart);
      if (mismatch === undefined) yield { ...found, rung };
      else attempts.push({ rung, adapterName: found.name, reason: mismatch });
    }
  } catch (error) {
    attempts.push({ rung, reason: (error as Error).message });
  }
}

async function findAdapter(
  createOptions: readonly string[],
  unsafeToggles: readonly string[],
  disabled: readonly string[] = disabledToggles,
): Promise<FoundAdapter | undefined> {
  const gpu = await createGpu([
    ...createOptions,
    `enable-dawn-features=${[...enabledToggles, ...unsafeToggles].join(',')}`,
    `disable-dawn-features=${disabled.join(',')}`,
  ]);
  const adapter = await quietly(() => gpu.requestAdapter({ powerPreference: 'high-performance' })).catch(() => null);
  if (adapter === null) return undefined;
  const { info } = adapter;
  const rung = info.isFallbackAdapter ? 'system-software' : 'hardware';
  return { rung, gpu, adapter, name: info.description || info.device || info.vendor };
}

/** Names of all adapters: Dawn tells them only in the error about one that is not there. */
async function listAdapterNames(): Promise<string[]> {
  const gpu = await createGpu(['adapter=(none of this name)']);
  try {
    await quietly(() => gpu.requestAdapter());
    return [];
  } catch (error) {
    return [...String(error).matchAll(/backend: '(?:vulkan|metal|d3d12)', name: '(.*)'/g)].map((match) => match[1]);
  }
}

async function createGpu(options: readonly string[]): Promise<GPU> {
  let dawn: typeof import('webgpu');
  try {
    dawn = await import('webgpu');
  } catch (error) {
    throw new MachineError(
      `the package webgpu does not load on ${process.platform} ${process.arch}: ${(error as Error).message}`,
    );
  }
  const gpu = dawn.create([...options]);
  keptAlive.add(gpu);
  return gpu;
}

/** Opens one adapter of `adapters`. Rejects where it refuses what it offered. */
export async function openAdapter(
  { rung, adapter, name }: FoundAdapter,
  tensorCores: TensorCores = tensorCoresOfEnvironment(),
): Promise<OpenedDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const key in adapter.limits) {
    const limit = adapter.limits[key as keyof GPUSupportedLimits];
    if (typeof limit === 'number') requiredLimits[key] = limit;
  }
  const isWanted = (feature: string): boolean => feature !== subgroupMatrixFeature || tensorCores === 'auto';
  const requiredFeatures = wantedFeatures.filter(
    (feature) => adapter.features.has(feature) && isWanted(feature),
  ) as GPUFeatureName[];
  const device = await withDrivers(undefined, () =>
    quietly(() => adapter.requestDevice({ label: 'mlbtc', requiredFeatures, requiredLimits })),
  );
  const adapterInfo = adapter.info;
  const deviceClass = rung === 'hardware' ? 'gpu' : 'cpu';

  let failure: Error | undefined;
  let destroyed = false;
  device.onuncapturederror = ({ error }) => {
    failure ??= describeDeviceError(name, error);
  };
  let loss: DeviceLostError | undefined;
  const lost = device.lost.then(({ message }) => {
    if (destroyed) return;
    loss = new DeviceLostError(`the device '${name}' was lost: ${message.trim() || 'no reason given'}`);
    failure = loss;
  });

  const check = () => {
    if (failure !== undefined) throw failure;
  };
  const rest = createRest(deviceClass);
  const opened: OpenedDevice = {
    device,
    adapterInfo,
    rung,
    class: deviceClass,
    name,
    features: [...device.features].sort(),
    limits: device.limits,
    target: targetOf(device, adapterInfo, deviceClass, name),
    pipelines: new Map(),
    check,
    guard: async (operation) => {
      try {
        return await rest(operation);
      } catch (error) {
        check();
        throw (await opened.lossBehind(error)) ?? error;
      }
    },
    lossBehind: async (error) => {
      if (error instanceof DeviceLostError) return error;
      if (loss === undefined && !destroyed) await Promise.race([lost, sleep(lossIsToldWithinMs)]);
      return loss;
    },
    destroy: () => {
      if (destroyed) return;
      destroyed = true;
      openDevices.delete(opened);
      opened.pipelines.clear();
      device.destroy();
    },
  };
  openDevices.add(opened);
  return opened;
}

function describeDeviceError(name: string, error: GPUError): Error {
  const [firstLine] = error.message.trim().split('\n');
  if (error.constructor.name === 'GPUOutOfMemoryError') {
    return new MachineError(`the device '${name}' has not enough memory: ${firstLine}`);
  }
  return new Error(`the device '${name}' refused a command: ${error.message.trim()}`);
}

function targetOf(device: GPUDevice, info: GPUAdapterInfo, deviceClass: 'cpu' | 'gpu', name: string): Target {
  const { limits } = device;
  return {
    name,
    class: deviceClass,
    limits: {
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxBufferSize: limits.maxBufferSize,
      minStorageBufferOffsetAlignment: limits.minStorageBufferOffsetAlignment,
    },
    features: [...device.features].sort(),
    subgroupSize: device.features.has('subgroups')
      ? { min: info.subgroupMinSize ?? 0, max: info.subgroupMaxSize ?? 0 }
      : undefined,
    ...(device.features.has(subgroupMatrixFeature as GPUFeatureName)
      ? { subgroupMatrices: subgroupMatricesOf(info) }
      : {}),
    unrollsLoops: /llvmpipe/i.test(name),
  };
}

/** What WebGPU's types do not know yet. */
interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

function subgroupMatricesOf(info: GPUAdapterInfo): readonly SubgroupMatrices[] {
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
  return [...subgroupMatrixConfigs].map(({ componentType, resultComponentType, M, N, K }) => ({
    component: componentType,
    result: resultComponentType,
    m: M,
    n: N,
    k: K,
  }));
}

/** Every rung with its reason; how to bring what is missing is `mlbtc doctor`'s to say. */
function noDeviceMessage(wanted: string, attempts: readonly Attempt[]): string {
  const lines = attempts.map(({ rung, adapterName, reason }) =>
    ['  ', rung.replace('-', ' '), adapterName === undefined ? '' : ` '${adapterName}'`, ': ', reason].join(''),
  );
  const what = ['', 'auto'].includes(wanted) ? 'no GPU device can be opened' : `no device matches --device ${wanted}`;
  return [what, ...new Set(lines), '  `mlbtc doctor` says what is missing and how to get it'].join('\n');
}

/**
 * Only these drivers are there for what is done; all where none are named. The directory of a session is named where there is
 * none, because a layer of Mesa's asks Wayland for its device, and that complains on stderr without one.
 */
function withDrivers<T>(files: readonly string[] | undefined, action: () => Promise<T>): Promise<T> {
  const list = files?.join(delimiter);
  return withEnvironment(
    {
      ...(list === undefined ? {} : { VK_ICD_FILENAMES: list, VK_DRIVER_FILES: list }),
      ...(process.env.XDG_RUNTIME_DIR ? {} : { XDG_RUNTIME_DIR: tmpdir() }),
    },
    action,
  );
}

async function withEnvironment<T>(values: Readonly<Record<string, string>>, action: () => Promise<T>): Promise<T> {
  const before = Object.keys(values).map((key) => [key, process.env[key]] as const);
  Object.assign(process.env, values);
  try {
    return await action();
  } finally {
    for (const [key, value] of before) {
      if (value === undefined) delete process.env[key];
      else process.env[key] = value;
    }
  }
}

/** On the global object, because a test runner may load this module more than once in a process. */
function keptAliveInProcess(): Set<GPU> {
  const key = Symbol.for('mlbtc.keptAlive');
  const holder = globalThis as { [key]?: Set<GPU> };
  holder[key] ??= new Set();
  return holder[key];
}
