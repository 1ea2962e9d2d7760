/**
 * `NAME.ts`: one module that holds the kernels and runs them with nothing but WebGPU, typed by the structure's own names.
 *
 * It imports nothing and uses only syntax that can be erased, so that a bundler, a browser's build or Node's type stripping takes
 * it as it is. The traps: constants such as `GPUBufferUsage` are globals that not every WebGPU in Node sets, so their numbers stand
 * in the code; and WGSL and names go into literals, where a backtick or a quote would end them.
 */
import { elementCount } from '../ir/program.ts';
import type { Plan } from '../schedule/plan.ts';
import type { KernelFiles } from './kernel-files.ts';

const arrayTypes = { f32: 'Float32Array', i32: 'Int32Array', f16: 'Uint16Array' } as const;

export interface ModuleSubject {
  readonly structure: string;
  readonly sizes: Readonly<Record<string, number | readonly number[]>>;
  /** The file's own name, for the comment. */
  readonly file: string;
  readonly plan: Plan;
}

export function moduleText({ structure, sizes, file, plan }: ModuleSubject, { files, fileOf }: KernelFiles): string {
  const given = [...plan.inputs, ...plan.params];
  const bound = Object.entries(sizes).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  return `/**
 * ${comment(structure)}, from ${comment(file)}${bound.length > 0 ? `, with ${comment(bound.join(', '))}` : ''}. Written by \`mlbtcc build --emit ts\`: do not edit.
 *
 *   const program = await load(device);
 *   const outputs = await program.run({
${given.map((name) => ` *     ${comment(`${key(name)}: ${zeros(name, plan)}`)},`).join('\n')}
 *   });
${plan.outputs.map((name) => ` *   outputs${comment(isIdentifier(name) ? `.${name}` : `[${literal(name)}]`)}; // ${shown(name, plan)}`).join('\n')}
 *   program.destroy();
 *
 * Arrays are row-major; f16 is given and returned as the bits of its numbers in a Uint16Array.
 */

/** What the structure is given. */
export interface Inputs {
${fields(given, plan)}
}

/** What it gives. */
export interface Outputs {
${fields(plan.outputs, plan)}
}

export interface Loaded {
  /** Uploads everything, runs the kernels once and reads the outputs. */
  run(inputs: Inputs): Promise<Outputs>;
  destroy(): void;
}

/** Runs once. To run again, \`load\` and keep what it returns. */
export async function run(device: GPUDevice, inputs: Inputs): Promise<Outputs> {
  const loaded = await load(device);
  try {
    return await loaded.run(inputs);
  } finally {
    loaded.destroy();
  }
}

/** Compiles the kernels and makes the buffers. */
export async function load(device: GPUDevice): Promise<Loaded> {
  const made = new Map(buffers.map(({ name, size }) => [name, device.createBuffer({ label: name, size, usage: STORAGE | COPY_SRC | COPY_DST })]));
  const bufferNamed = (name: string): GPUBuffer => made.get(name) as GPUBuffer;
  const compiled = new Map<string, Promise<GPUComputePipeline>>();
  const steps = await Promise.all(
    dispatches.map(async ({ kernel, bindings, workgroups }) => {
      const layout = device.createBindGroupLayout({
        entries: bindings.map(({ write }, binding) => ({
          binding,
          visibility: COMPUTE,
          buffer: { type: write ? ('storage' as const) : ('read-only-storage' as const) },
        })),
      });
      const pipelineKey = kernel + bindings.map(({ write }) => (write ? ' w' : ' r')).join('');
      const pipeline =
        compiled.get(pipelineKey) ??
        device.createComputePipelineAsync({
          label: kernel,
          layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
          compute: { module: device.createShaderModule({ label: kernel, code: kernels[kernel] }), entryPoint: 'main' },
        });
      compiled.set(pipelineKey, pipeline);
      const bindGroup = device.createBindGroup({
        layout,
        entries: bindings.map(({ buffer, offset, size }, binding) => ({
          binding,
          resource: { buffer: bufferNamed(buffer), offset, size },
        })),
      });
      return { pipeline: await pipeline, bindGroup, workgroups };
    }),
  );

  return {
    async run(inputs) {
      for (const { name, buffer, offset, count, array } of given) {
        const data = (inputs as unknown as Readonly<Record<string, TypedArray | undefined>>)[name];
        if (!(data instanceof array) || data.length !== count) {
          throw new TypeError(\`\${name} must be a \${array.name} of \${count} elements\`);
        }
        const bytes = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
        bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        device.queue.writeBuffer(bufferNamed(buffer), offset, bytes);
      }
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const { pipeline, bindGroup, workgroups } of steps) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(...workgroups);
      }
      pass.end();
      const staged = returned.map(({ buffer, offset, count, array }) => {
        const size = Math.ceil((count * array.BYTES_PER_ELEMENT) / 4) * 4;
        const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
        encoder.copyBufferToBuffer(bufferNamed(buffer), offset, staging, 0, size);
        return staging;
      });
      device.queue.submit([encoder.finish()]);
      const outputs: Record<string, unknown> = {};
      await Promise.all(
        returned.map(async ({ name, count, array }, i) => {
          await staged[i].mapAsync(READ);
          outputs[name] = new array(staged[i].getMappedRange().slice(0), 0, count);
          staged[i].destroy();
        }),
      );
      return outputs as unknown as Outputs;
    },
    destroy() {
      for (const buffer of made.values()) buffer.destroy();
    },
  };
}

const [MAP_READ, COPY_SRC, COPY_DST, STORAGE] = [1, 4, 8, 128];
const [COMPUTE, READ] = [4, 1];

type TypedArray = Float32Array | Int32Array | Uint16Array;

interface Row {
  readonly name: string;
  readonly buffer: string;
  readonly offset: number;
  readonly count: number;
  readonly array: typeof Float32Array | typeof Int32Array | typeof Uint16Array;
}

interface Binding {
  readonly buffer: string;
  readonly offset: number;
  readonly size: number;
  readonly write: boolean;
}

const buffers: readonly { readonly name: string; readonly size: number }[] = [
${plan.buffers.map(({ id, sizeBytes }) => `  { name: ${literal(id)}, size: ${sizeBytes} },`).join('\n')}
];

const given: readonly Row[] = [
${given.map((name) => tensorRow(name, plan)).join('\n')}
];

const returned: readonly Row[] = [
${plan.outputs.map((name) => tensorRow(name, plan)).join('\n')}
];

const dispatches: readonly {
  readonly kernel: string;
  readonly bindings: readonly Binding[];
  readonly workgroups: readonly [number, number, number];
}[] = [
${plan.kernels.map((kernel, i) => dispatchRow(kernel, fileOf[i])).join('\n')}
];

const kernels: Readonly<Record<string, string>> = {
${files.map(({ name, wgsl }) => `  ${literal(kernelName(name))}: \`\n${wgsl.replace(/[\\`]|\$\{/g, '\\$&')}\`,`).join('\n')}
};
`;
}

function kernelName(file: string): string {
  return file.replace(/\.wgsl$/, '');
}

function dispatchRow({ bindings, workgroups }: Plan['kernels'][number], file: string): string {
  const rows = bindings.map(
    ({ buffer, offsetBytes, sizeBytes, access }) =>
      `      { buffer: ${literal(buffer)}, offset: ${offsetBytes}, size: ${sizeBytes}, write: ${access === 'read_write'} },`,
  );
  return `  {
    kernel: ${literal(kernelName(file))},
    bindings: [
${rows.join('\n')}
    ],
    workgroups: [${workgroups.join(', ')}],
  },`;
}

function tensorRow(name: string, plan: Plan): string {
  const { buffer, offsetBytes, dtype, shape } = plan.tensors[name];
  const place = `buffer: ${literal(buffer)}, offset: ${offsetBytes}, count: ${elementCount(shape)}`;
  return `  { name: ${literal(name)}, ${place}, array: ${arrayTypes[dtype]} },`;
}

function fields(names: readonly string[], plan: Plan): string {
  return names
    .map((name) => {
      const { dtype } = plan.tensors[name];
      return `  /** ${shown(name, plan)} */\n  readonly ${key(name)}: ${arrayTypes[dtype]};`;
    })
    .join('\n');
}

function shown(name: string, plan: Plan): string {
  const { dtype, shape } = plan.tensors[name];
  return `${dtype}[${shape.join(', ')}]`;
}

/** An array for the example, of the right type and length. */
function zeros(name: string, plan: Plan): string {
  const { dtype, shape } = plan.tensors[name];
  return `new ${arrayTypes[dtype]}(${elementCount(shape)})`;
}

function key(name: string): string {
  return isIdentifier(name) ? name : literal(name);
}

function isIdentifier(name: string): boolean {
  return /^[\p{L}][\p{L}\p{Nd}_]*$/u.test(name);
}

/** A string literal in single quotes. */
function literal(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&').replace(/[\r\n]/g, ' ')}'`;
}

function comment(text: string): string {
  return text.replaceAll('*/', '* /').replace(/[\r\n]/g, ' ');
}
