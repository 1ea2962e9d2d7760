/**
 * Takes tensors apart into two f16 an element, as `parts/halves.ts` says. A tensor's scale comes of the largest magnitudes of its stretches,
 * which are few: every thread looks through all of them. Nothing larger comes later, so that what a tile's scale leaves for it
 * (`exponentRoom`) goes to what is small.
 */
import { elementCount } from '../../compiler/ir/program.ts';
import type { Arrays, HalvesKernel, HalvesStatement, KernelBody } from '../kernel.ts';
import { exponentPlace, octet } from '../parts/halves.ts';
import { quadText } from '../parts/loads.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { flatThreads } from '../wgsl/grid.ts';
import { exponentRoom, leastExponent, scaledExponent } from '../wgsl/split-library.ts';
import { plus, wgsl } from '../wgsl/text.ts';

/** Octets of each tensor that a thread takes apart. */
const octetsOfThread = 4;

/** Threads that the kernel has work for. */
export function halvesThreads({ statements: [{ of }] }: HalvesKernel, layouts: Arrays): number {
  return Math.ceil(elementCount(layouts(of).shape) / (octet * octetsOfThread));
}

export function emitHalves(kernel: HalvesKernel, emitter: Emitter, workgroupSize: number): KernelBody {
  for (const name of ['power_of_two_f32', 'split_f16']) emitter.use(name);
  const threads = halvesThreads(kernel, (name) => emitter.layout(name));
  const { header, groups } = flatThreads(threads, 'thread', workgroupSize);
  return {
    functions: [],
    sharedQuads: 0,
    workgroupSize,
    groups,
    body: [header, ...kernel.statements.map((statement) => statementText(statement, threads, emitter))].join('\n'),
    enables: [],
    tuning: { workgroupSize },
    multiplyAdds: 0,
  };
}

function statementText({ of, largest, tensor }: HalvesStatement, threads: number, emitter: Emitter): string {
  const count = elementCount(emitter.layout(of).shape);
  const stretches = elementCount(emitter.layout(largest).shape);
  const look =
    stretches % 4 === 0
      ? wgsl`
        var most = vec4<f32>();
        for (var i = 0; i < ${stretches}; i += 4) { most = max(most, ${quadText(largest, 'i', emitter)}); }
        let largest = max(max(most.x, most.y), max(most.z, most.w));
      `
      : wgsl`
        var largest = 0.0;
        for (var i = 0; i < ${stretches}; i++) { largest = max(largest, ${emitter.reads(largest, 'i')}); }
      `;
  const [first, second] = [quadText(of, 'at', emitter), quadText(of, 'at + 4', emitter)];
  const write = (place: string, value: string): string => {
    const quad = emitter.writesQuad(tensor, place);
    if (quad !== undefined) return `${quad} = ${value};`;
    return [0, 1, 2, 3].map((c) => `${emitter.writes(tensor, plus(place, c))} = ${value}[${c}];`).join('\n');
  };
  const writes = [write('at', 'parts.high'), write('at + 4', 'parts.low')];
  return wgsl`
    {
      ${look}
      let exponent = max(i32(bitcast<u32>(largest) >> 23u) - ${127 + exponentRoom}, ${leastExponent});
      if (thread == 0) {
        ${write(exponentPlace(tensor, emitter), 'vec4<f32>(f32(exponent))')}
      }
      let scale = power_of_two_f32(${scaledExponent} - exponent);
      let zero_bits = ${emitter.unknownZero(tensor)};
      for (var at = thread * ${octet}; at < ${count}; at += ${threads * octet}) {
        let parts = split_f16(${first}, ${second}, scale, zero_bits);
        ${writes.join('\n')}
      }
    }
  `;
}
