/**
 * The `.wgsl` files of a plan: one for each distinct kernel, named after what it makes, with its origin above the code.
 *
 * The trap: kernels that differ in names only share their code, so a file may serve several dispatches; and some file systems
 * take `U` and `u` for one name.
 */
import type { Plan } from '../schedule/plan.ts';
import type { Origin } from './origin.ts';
import { originText } from './origin.ts';

export interface KernelFile {
  readonly name: string;
  readonly wgsl: string;
}

export interface KernelFiles {
  readonly files: readonly KernelFile[];
  /** The file of each kernel of the plan, by its place. */
  readonly fileOf: readonly string[];
}

/** Longer names are cut, as file systems allow 255 bytes and people read fewer. */
const longestName = 60;

export function kernelFiles(plan: Plan, originOf: (tensor: string) => Origin | undefined): KernelFiles {
  const nameOfKey = new Map<string, string>();
  const taken = new Set<string>();
  const files: KernelFile[] = [];
  const fileOf = plan.kernels.map((kernel) => {
    const known = nameOfKey.get(kernel.key);
    if (known !== undefined) return known;
    const base = fileName(kernel.makes);
    let name = `${base}.wgsl`;
    for (let i = 2; taken.has(name.toLowerCase()); i++) name = `${base}-${i}.wgsl`;
    taken.add(name.toLowerCase());
    nameOfKey.set(kernel.key, name);
    const same = plan.kernels.filter(({ key }) => key === kernel.key);
    files.push({
      name,
      wgsl: `${header(
        same.map(({ makes }) => makes),
        originOf,
      )}\n${kernel.wgsl}`,
    });
    return name;
  });
  return { files, fileOf };
}

function fileName(tensors: readonly string[]): string {
  const safe = tensors.map((name) => name.replace(/[^\p{L}\p{Nd}_.-]/gu, '-'));
  let name = safe[0];
  for (const next of safe.slice(1)) {
    if (name.length + next.length >= longestName) return `${name.slice(0, longestName)}+more`;
    name += `+${next}`;
  }
  return name.slice(0, longestName);
}

/** `// y, from btt.mlbtc:16:3: y[n, i] = W[i, j] * x[n, j]`, a line a tensor; lines of a shared kernel's other uses are shorter. */
function header(uses: readonly (readonly string[])[], originOf: (tensor: string) => Origin | undefined): string {
  const [first, ...others] = uses;
  const lines = first.map((tensor) => {
    const origin = originOf(tensor);
    return origin === undefined ? `${tensor}` : `${tensor}, from ${originText(origin)}: ${origin.text}`;
  });
  if (others.length > 0)
    lines.push(`the same code also makes ${others.map((tensors) => tensors.join(' and ')).join('; ')}`);
  return lines.map((line) => `// ${line.replace(/[\r\n\u2028\u2029\v\f\u0085]+/g, ' ')}`).join('\n');
}
