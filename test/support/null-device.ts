/** Dawn without a device: it checks WGSL, extensions included that no device of the machine has, and runs nothing. */
import { create } from 'webgpu';

const key = Symbol.for('mlbtc.nullDevice');
/** On the global object: collected, it would take the device with it (runtime/device.ts). */
const holder = globalThis as { [key]?: Promise<GPUDevice> };

const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[];

async function open(): Promise<GPUDevice> {
  const gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia']);
  Object.assign(globalThis, { [Symbol.for('mlbtc.nullGpu')]: gpu });
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('Dawn has no null device');
  return adapter.requestDevice({ requiredFeatures: features });
}

/** What is wrong with the code, undefined where nothing is. */
export async function wgslProblem(code: string): Promise<string | undefined> {
  holder[key] ??= open();
  const device = await holder[key];
  device.pushErrorScope('validation');
  device.createShaderModule({ code });
  return (await device.popErrorScope())?.message;
}
