/**
 * Takes tensors apart into two f16 an element, as `parts/halves.ts` says: each tensor in workgroups of its own. Its scale comes of the largest
 * magnitudes of its stretches, which are few: the threads of each workgroup look through them together. Nothing larger comes later, so
 * that what a tile's scale leaves for it (`exponentRoom`) goes to what is small.
 */
import { elementCount } from '../../compiler/ir/program.ts';
import type { Arrays, HalvesKernel, HalvesStatement, KernelBody } from '../kernel.ts';
import { exponentPlace, octet } from '../parts/halves.ts';
import { quadText, writeQuad } from '../parts/loads.ts';
import { partialFunction } from '../parts/reducers.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { exponentRoom, leastExponent, scaledExponent } from '../wgsl/split-library.ts';
import { indent, wgsl } from '../wgsl/text.ts';

/**
 * Octets that a thread takes apart. With a thread for all the tensors of a kernel and four octets of each, which looked through their stretches by
 * itself, icl low_rank 16 256 took 52 µs for its 4.7 million weights on an H100; so 22, with four octets 21, with one 22; LM's 19.5 million 90, 64,
 * 64 and 68 (test/bench/records/2026-11-28-small-4.jsonl).
 */
const octetsOfThread = 2;

/** Threads that the kernel has work for. */
export function halvesThreads({ statements }: HalvesKernel, layouts: Arrays): number {
  return statements.length * threadsOf(statements[0], layouts);
}

const threadsOf = ({ of }: HalvesStatement, layouts: Arrays): number =>
  Math.ceil(elementCount(layouts(of).shape) / (octet * octetsOfThread));

export function emitHalves({ statements }: HalvesKernel, emitter: Emitter, workgroupSize: number): KernelBody {
  for (const name of ['max_f32', 'power_of_two_f32', 'split_f16']) emitter.use(name);
  const mostOfGroup = emitter.global('most_of_group');
  const each = Math.ceil(threadsOf(statements[0], (name) => emitter.layout(name)) / workgroupSize);
  const branches = statements.map((statement, i) => {
    const first = each * i;
    const text = statementText(
      statement,
      { first, threads: each * workgroupSize, workgroupSize, mostOfGroup },
      emitter,
    );
    const block = `{\n${indent(text)}\n}`;
    return i === statements.length - 1 ? block : `if (group < ${first + each}u) ${block}`;
  });
  return {
    functions: [partialFunction('max', mostOfGroup, workgroupSize)],
    sharedQuads: workgroupSize,
    workgroupSize,
    groups: each * statements.length,
    body: branches.join(' else '),
    enables: [],
    tuning: { workgroupSize },
    multiplyAdds: 0,
  };
}

/** The workgroups of a statement, and the WGSL function that finds the largest value of a workgroup's threads. */
interface Groups {
  readonly first: number;
  readonly threads: number;
  readonly workgroupSize: number;
  readonly mostOfGroup: string;
}

function statementText(
  { of, largest, tensor }: HalvesStatement,
  { first, threads, workgroupSize, mostOfGroup }: Groups,
  emitter: Emitter,
): string {
  const count = elementCount(emitter.layout(of).shape);
  const stretches = elementCount(emitter.layout(largest).shape);
  const inQuads = stretches % 4 === 0;
  const [from, step] = inQuads ? ['4 * i32(lane)', 4 * workgroupSize] : ['i32(lane)', workgroupSize];
  const [none, value] = inQuads
    ? ['vec4<f32>()', quadText(largest, 'i', emitter)]
    : ['0.0', emitter.reads(largest, 'i')];
  const ofThread = inQuads ? 'max(max(most.x, most.y), max(most.z, most.w))' : 'most';
  const [quad, next] = [quadText(of, 'at', emitter), quadText(of, 'at + 4', emitter)];
  const writes = [writeQuad(tensor, 'at', 'parts.high', emitter), writeQuad(tensor, 'at + 4', 'parts.low', emitter)];
  return wgsl`
    let thread = i32(${first === 0 ? 'group' : `(group - ${first}u)`} * ${workgroupSize}u + lane);
    var most = ${none};
    for (var i = ${from}; i < ${stretches}; i += ${step}) { most = max(most, ${value}); }
    let largest = ${mostOfGroup}(${ofThread}, lane);
    let exponent = max(i32(bitcast<u32>(largest) >> 23u) - ${127 + exponentRoom}, ${leastExponent});
    if (thread == 0) {
      ${writeQuad(tensor, exponentPlace(tensor, emitter), 'vec4<f32>(f32(exponent))', emitter)}
    }
    let scale = power_of_two_f32(${scaledExponent} - exponent);
    let zero_bits = ${emitter.unknownZero(tensor)};
    for (var at = thread * ${octet}; at < ${count}; at += ${threads * octet}) {
      let parts = split_f16(${quad}, ${next}, scale, zero_bits);
      ${writes.join('\n')}
    }
  `;
}
