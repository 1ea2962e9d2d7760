/** What of given or computed tensors is no number: NaN and infinities, told in one line. */

import { positionIn } from '../compiler/ir/ndarray.ts';
import type { Dtype } from '../compiler/ir/program.ts';
import type { HostArray } from './executor.ts';

export interface HostTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: HostArray;
}

/** `x (2 of 6 elements, the first at [0, 1], NaN); …`; undefined where all is finite. */
export function nonFinite(tensors: ReadonlyMap<string, HostTensor>): string | undefined {
  const found: string[] = [];
  for (const [name, { dtype, shape, data }] of tensors) {
    if (dtype === 'i32') continue;
    let count = 0;
    let first = -1;
    for (let i = 0; i < data.length; i++) {
      if (isFiniteElement(data[i], dtype)) continue;
      count += 1;
      if (first < 0) first = i;
    }
    if (count === 0) continue;
    const where =
      data.length === 1
        ? ''
        : `${count} of ${data.length} elements, the first at [${positionIn(shape, first).join(', ')}], `;
    found.push(`\`${name}\` (${where}${shown(data[first], dtype)})`);
  }
  return found.length === 0 ? undefined : found.join(', ');
}

/** Halves are given as their bits. */
const halfInfinity = 0x7c00;

function isFiniteElement(value: number, dtype: 'f32' | 'f16'): boolean {
  return dtype === 'f16' ? (value & halfInfinity) !== halfInfinity : Number.isFinite(value);
}

function shown(value: number, dtype: 'f32' | 'f16'): string {
  if (dtype === 'f32') return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '-∞';
  if ((value & 0x7fff) !== halfInfinity) return 'NaN';
  return value === halfInfinity ? '∞' : '-∞';
}
