/**
 * Resident kernels: stages that depend on one another only within a piece, a piece a workgroup, so that several small dispatches, each of
 * which waits for the whole of the one before, are one.
 *
 *   middle = x + y·W0, norm   │   up = gelu(norm·W1)   │   next = middle + up·W2    →   of 32 tokens, in one workgroup, one after another
 *
 * A stage is a kernel of another family as it stands, with workgroups by its own numbers; what it makes goes to memory, whence the stages
 * after it read it. The trap: `scratch` is every stage's, and every turn's, so a barrier stands between any two.
 */
import type { KernelBody, ResidentKernel, ResidentStage } from '../kernel.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { wgsl } from '../wgsl/text.ts';

/** `write` writes a stage as if it were a kernel by itself. */
export function emitResident(
  { pieces, workgroupSize, stages }: ResidentKernel,
  emitter: Emitter,
  write: (kernel: ResidentStage['kernel']) => KernelBody,
): KernelBody {
  const bodies = stages.map(({ kernel }) => {
    emitter.openBody();
    return { ...write(kernel), name: emitter.global('stage_of_piece') };
  });
  emitter.openBody();
  const calls = stages.map((stage, s) => stageText(stage, bodies[s].name, pieces, emitter));
  const lines = calls.join('\nstorageBarrier();\nworkgroupBarrier();\n');
  return {
    functions: bodies.flatMap(({ name, functions, body }) => [...functions, stageFunction(name, body, workgroupSize)]),
    sharedQuads: Math.max(...bodies.map(({ sharedQuads }) => sharedQuads)),
    workgroupSize,
    groups: pieces,
    stages: stages.length,
    body: [emitter.head(), lines].filter((text) => text !== '').join('\n'),
    enables: [...new Set(bodies.flatMap(({ enables }) => enables))],
    tuning: { pieces, workgroupSize },
    multiplyAdds: bodies.reduce((total, { multiplyAdds }) => total + multiplyAdds, 0),
  };
}

/** A stage's function. Dawn knows between what a remainder lies, but nothing of a parameter (`partFunction` of emit.ts). */
const stageFunction = (name: string, body: string, workgroupSize: number): string => wgsl`
  fn ${name}(group: u32, index: u32) {
    let lane = index % ${workgroupSize}u;
    ${body}
  }
`;

/** What a stage has of a piece, turn by turn. */
function stageText({ outer, inner }: ResidentStage, name: string, pieces: number, emitter: Emitter): string {
  const turns = outer * inner;
  if (turns === 1) return `${name}(group, lane);`;
  const turn = 'u32(turn)';
  const first = outer === 1 ? 'group' : `(${inner === 1 ? turn : `${turn} / ${inner}u`} * ${pieces}u + group)`;
  const number = inner === 1 ? first : `${first} * ${inner}u + ${outer === 1 ? turn : `${turn} % ${inner}u`}`;
  return wgsl`
    for (var turn = 0; turn < ${emitter.bound(turns)}; turn++) {
      ${name}(${number}, lane);
      workgroupBarrier();
    }
  `;
}
