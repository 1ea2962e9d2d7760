/** Bindings of a plan that are bound four elements at a time and end inside four: the last would not be read. */
import type { Plan } from '../../compiler/schedule/plan.ts';

export function cutQuads({ kernels }: Plan): readonly string[] {
  return kernels.flatMap(({ label, wgsl, bindings }) =>
    bindings
      .filter(({ sizeBytes }, i) => sizeBytes % 16 !== 0 && inQuads(wgsl, i))
      .map(({ buffer, sizeBytes }) => `${label}: ${sizeBytes} bytes of ${buffer}`),
  );
}

function inQuads(wgsl: string, binding: number): boolean {
  const declared = wgsl.split('\n').find((line) => line.startsWith(`@group(0) @binding(${binding}) `));
  return declared?.includes('array<vec4<') ?? false;
}
