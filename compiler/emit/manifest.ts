/**
 * `manifest.json`: everything that running the kernels takes besides their code. The plan as plain data, with the shape and
 * dtype of what lies in each buffer.
 *
 * A buffer that is shared by tensors whose lifetimes do not meet has the shape of the largest; all of them stand in `tensors`.
 */
import type { Target } from '../../kernels/target.ts';
import type { Dtype, Init, Program } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { type Plan, planBytes, planMultiplyAdds } from '../schedule/plan.ts';
import type { KernelFiles } from './kernel-files.ts';
import type { Origin } from './origin.ts';
import { originText } from './origin.ts';

export interface ManifestTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly buffer: string;
  readonly offsetBytes: number;
}

export interface ManifestParam extends ManifestTensor {
  readonly init: Init;
  /** Whether training leaves it alone. */
  readonly fixed: boolean;
}

export interface ManifestBuffer {
  readonly name: string;
  readonly role: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  readonly tensors: readonly string[];
}

export interface ManifestKernel {
  readonly name: string;
  readonly file: string;
  readonly entryPoint: string;
  readonly family: string;
  readonly makes: readonly string[];
  readonly origin: string | null;
  readonly equations: readonly string[];
  readonly bindings: readonly {
    readonly binding: number;
    readonly buffer: string;
    readonly offsetBytes: number;
    readonly sizeBytes: number;
    readonly access: 'read' | 'read_write';
    readonly tensors: readonly string[];
  }[];
  readonly workgroups: readonly [number, number, number];
  readonly tuning: Readonly<Record<string, number | string>>;
  readonly multiplyAdds: number;
  readonly bytes: number;
}

export interface Manifest {
  readonly format: 'mlbtc-manifest-1';
  readonly structure: string;
  readonly sizes: Readonly<Record<string, number | readonly number[]>>;
  readonly gradients: boolean;
  readonly target: Target;
  readonly multiplyAdds: number;
  readonly bufferBytes: number;
  readonly inputs: readonly ManifestTensor[];
  readonly params: readonly ManifestParam[];
  readonly outputs: readonly ManifestTensor[];
  readonly buffers: readonly ManifestBuffer[];
  /** In the order in which they run. */
  readonly kernels: readonly ManifestKernel[];
}

export interface ManifestSubject {
  readonly structure: string;
  readonly sizes: Manifest['sizes'];
  readonly gradients: boolean;
  readonly target: Target;
  readonly program: Program;
  readonly plan: Plan;
}

export function makeManifest(
  { structure, sizes, gradients, target, program, plan }: ManifestSubject,
  { fileOf }: KernelFiles,
  originOf: (tensor: string) => Origin | undefined,
): Manifest {
  const tensor = (name: string): ManifestTensor => {
    const { dtype, shape, buffer, offsetBytes } = plan.tensors[name];
    return { name, dtype, shape, buffer, offsetBytes };
  };
  const params = program.tensors.flatMap(({ name, source }): ManifestParam[] =>
    source.kind === 'param' ? [{ ...tensor(name), init: source.init, fixed: source.fixed }] : [],
  );
  return {
    format: 'mlbtc-manifest-1',
    structure,
    sizes,
    gradients,
    target,
    multiplyAdds: planMultiplyAdds(plan),
    bufferBytes: planBytes(plan),
    inputs: plan.inputs.map(tensor),
    params,
    outputs: plan.outputs.map(tensor),
    buffers: manifestBuffers(plan),
    kernels: plan.kernels.map((kernel, i): ManifestKernel => {
      const { makes } = kernel;
      const origin = makes.map(originOf).find((found) => found !== undefined);
      return {
        name: kernel.label,
        file: fileOf[i],
        entryPoint: kernel.entryPoint,
        family: kernel.family,
        makes,
        origin: origin === undefined ? null : originText(origin),
        equations: kernel.equations,
        bindings: kernel.bindings.map(({ buffer, offsetBytes, sizeBytes, access, tensors }, binding) => ({
          binding,
          buffer,
          offsetBytes,
          sizeBytes,
          access,
          tensors,
        })),
        workgroups: kernel.workgroups,
        tuning: kernel.tuning,
        multiplyAdds: kernel.multiplyAdds,
        bytes: kernel.bytes,
      };
    }),
  };
}

function manifestBuffers(plan: Plan): ManifestBuffer[] {
  const inside = new Map<string, ManifestTensor[]>();
  for (const [name, { dtype, shape, buffer, offsetBytes }] of Object.entries(plan.tensors)) {
    const known = inside.get(buffer);
    const entry = { name, dtype, shape, buffer, offsetBytes };
    if (known === undefined) inside.set(buffer, [entry]);
    else known.push(entry);
  }
  return plan.buffers.map(({ id, sizeBytes, role }) => {
    const tensors = inside.get(id) ?? [];
    const whole = tensors.reduce<ManifestTensor | undefined>(
      (largest, t) => (largest === undefined || elementCount(t.shape) > elementCount(largest.shape) ? t : largest),
      undefined,
    );
    const dtype = whole?.dtype ?? 'f32';
    const shape = whole?.shape ?? [sizeBytes / 4];
    return { name: id, role, dtype, shape, sizeBytes, tensors: tensors.map(({ name }) => name) };
  });
}
