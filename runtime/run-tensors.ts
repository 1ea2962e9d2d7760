/**
 * The tensors of a file against those that a structure expects: all of them there, none else, each of the right shape, and their
 * elements as the arrays that the executor takes.
 *
 * The trap: a person who gets one name wrong needs the whole list to see what they meant, so every error here ends with it.
 */

import { UserError } from '../compiler/command-line/errors.ts';
import { positionIn } from '../compiler/ir/ndarray.ts';
import type { Dtype } from '../compiler/ir/program.ts';
import { closest } from '../compiler/syntax/suggest.ts';
import type { HostArray } from './executor.ts';
import { floatsToHalves } from './half-float.ts';
import { type StoredDtype, type StoredTensor, toFloat64 } from './safetensors.ts';

export interface ExpectedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly role: 'input' | 'param' | 'cotangent';
}

const floatTypes: readonly StoredDtype[] = ['F16', 'BF16', 'F32', 'F64'];

/** Every expected tensor's elements. `ignored` may be in the file and are not looked at. Throws UserError. */
export function matchTensors(
  file: string,
  given: ReadonlyMap<string, StoredTensor>,
  expected: readonly ExpectedTensor[],
  ignored: ReadonlySet<string>,
): Map<string, HostArray> {
  const problems = problemsOf(given, expected, ignored);
  if (problems.length > 0) throw new UserError(`${file}: ${problems.join('\n  ')}\n${expectedList(expected)}`);
  const arrays = new Map<string, HostArray>();
  for (const tensor of expected) {
    arrays.set(tensor.name, elements(file, tensor, given.get(tensor.name)!));
  }
  return arrays;
}

function problemsOf(
  given: ReadonlyMap<string, StoredTensor>,
  expected: readonly ExpectedTensor[],
  ignored: ReadonlySet<string>,
): string[] {
  const problems: string[] = [];
  const names = new Set(expected.map(({ name }) => name));
  const extra = [...given.keys()].filter((name) => !names.has(name) && !ignored.has(name));
  for (const { name, dtype, shape, role } of expected) {
    const stored = given.get(name);
    if (stored === undefined) {
      const near = closest(name, extra);
      const hint = near === undefined ? '' : ` (there is a \`${near}\`)`;
      problems.push(`the ${role} \`${name}\` is missing${hint}`);
    } else if (!sameShape(stored.shape, shape)) {
      problems.push(`\`${name}\` has the shape (${stored.shape.join(', ')}), expected (${shape.join(', ')})`);
    } else if (floatTypes.includes(stored.dtype) === (dtype === 'i32') || stored.dtype === 'BOOL') {
      problems.push(
        `\`${name}\` holds ${stored.dtype}, expected ${dtype === 'i32' ? 'integers (I32)' : 'floats (F32)'}`,
      );
    }
  }
  for (const name of extra) problems.push(`\`${name}\` is no tensor of the structure`);
  return problems;
}

/** `expected:` and a line a tensor. */
function expectedList(expected: readonly ExpectedTensor[]): string {
  const typed = expected.map(({ dtype, shape }) => `${dtype}[${shape.join(', ')}]`);
  const [nameWidth, typeWidth] = [expected.map(({ name }) => name), typed].map((column) =>
    Math.max(0, ...column.map((text) => text.length)),
  );
  const lines = expected.map(
    ({ name, role }, i) => `    ${name.padEnd(nameWidth)}  ${typed[i].padEnd(typeWidth)}  ${role}`,
  );
  return ['  expected:', ...lines].join('\n');
}

function elements(file: string, { name, dtype, shape }: ExpectedTensor, stored: StoredTensor): HostArray {
  switch (dtype) {
    case 'f32':
      return stored.data instanceof Float32Array ? stored.data : Float32Array.from(toFloat64(stored));
    case 'f16':
      return stored.dtype === 'F16' ? (stored.data as Uint16Array) : floatsToHalves(toFloat64(stored));
    case 'i32': {
      if (stored.data instanceof Int32Array) return stored.data;
      const numbers = toFloat64(stored);
      const wrong = numbers.findIndex((value) => value < -(2 ** 31) || value >= 2 ** 31);
      if (wrong >= 0) {
        throw new UserError(
          `${file}: \`${name}\`[${positionIn(shape, wrong).join(', ')}] is ${numbers[wrong]}, which is no 32-bit integer`,
        );
      }
      return Int32Array.from(numbers);
    }
    default:
      return dtype satisfies never;
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, d) => extent === b[d]);
}
