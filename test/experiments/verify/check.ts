/**
 * The oracle's checker (`check.py`) in TypeScript, so that the suite needs no Python: errors of a result against a golden case,
 * each with its bound. Steps are compared as changes since the start, elements with a gradient in the noise left out.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensors, type StoredTensor, toFloat64 } from '../../../runtime/safetensors.ts';

export interface Row {
  readonly name: string;
  readonly error: number;
  readonly bound: number;
}

export interface Tolerances {
  readonly value: number;
  readonly step: number;
}

/** Those of the oracle. */
export const tolerances: Tolerances = { value: 1e-4, step: 1e-2 };
const grain = 2 ** -24;

const norm = (values: ArrayLike<number>): number => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));
const apart = (a: readonly number[], b: readonly number[]): number => norm(a.map((x, i) => x - b[i]));

export function goldenFolder(name: string): string {
  return join('test/golden', name);
}

/** Every tensor that a result must hold, with its error; `Infinity` where it is missing or not finite. */
export function checkCase(
  folder: string,
  result: ReadonlyMap<string, StoredTensor>,
  { value, step }: Tolerances = tolerances,
): readonly Row[] {
  const golden = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as {
    inputs: string[];
    outputs: string[];
    null_grad?: string[];
  };
  const { tensors } = readSafetensors(join(folder, 'tensors.safetensors'));
  const values = (name: string): number[] => [...toFloat64(tensors.get(name) as StoredTensor)];
  const names = [...tensors.keys()].filter((name) => !golden.inputs.includes(name));
  const due = names.filter((name) => /^(grad\.|step)/.test(name) || golden.outputs.includes(name)).sort();
  const allGradients = norm(names.filter((name) => name.startsWith('grad.')).map((name) => norm(values(name))));
  return due.flatMap((name): Row[] => {
    const [kind, parameter] = [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)];
    const isStep = kind.startsWith('step') && parameter !== 'loss';
    const bound = isStep ? step : value;
    const want = values(name);
    const found = result.get(name);
    const have = found === undefined ? [] : [...toFloat64(found)];
    if (have.length !== want.length || !have.every(Number.isFinite)) return [{ name, error: Infinity, bound }];
    if (golden.null_grad?.includes(parameter)) {
      return kind === 'grad' ? [{ name, error: norm(have) / allGradients, bound }] : [];
    }
    if (!isStep) {
      const size = norm(want);
      const error = size > 0 ? apart(have, want) / size : norm(have) <= 1e-12 ? 0 : Infinity;
      return [{ name, error, bound }];
    }
    const [start, gradient] = [values(`param.${parameter}`), values(`grad.${parameter}`)];
    const cut = (1e-3 * norm(gradient)) / Math.sqrt(gradient.length);
    const kept = gradient.flatMap((g, i) => (g === 0 || Math.abs(g) >= cut ? [i] : []));
    const change = (to: readonly number[]) => kept.map((i) => to[i] - start[i]);
    const size = norm(change(want));
    const resolution = grain * Math.max(norm(kept.map((i) => start[i])), size);
    if (size === 0) return [{ name, error: norm(change(have)) <= 4 * resolution ? 0 : Infinity, bound }];
    const error = apart(change(have), change(want)) / size;
    return [{ name, error, bound: Math.max(bound, (4 * resolution) / size) }];
  });
}

/** Rows beyond their bound, as text; empty where all is well. */
export function failures(rows: readonly Row[]): readonly string[] {
  return rows
    .filter(({ error, bound }) => !(error <= bound))
    .map(({ name, error, bound }) => `${name}: ${error} > ${bound}`);
}
