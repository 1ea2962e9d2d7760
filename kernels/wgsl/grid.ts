/**
 * How the workgroups of a dispatch are numbered. A dimension takes 65,535 workgroups at most, so more than that go on
 * in y, then z, in rows so long that few workgroups are left over; `emit.ts` puts their number together again, and a body knows
 * nothing of it but `group`.
 */
import type { Target } from '../target.ts';

export interface Grid {
  readonly workgroups: readonly [x: number, y: number, z: number];
  /** WGSL (u32) of a workgroup's number. */
  readonly number: string;
  /** Whether there are workgroups beyond the count. */
  readonly isExact: boolean;
}

/** So many workgroups over three dimensions; throws where they are too many. */
export function spread(count: number, target: Target): Grid {
  const most = target.limits.maxComputeWorkgroupsPerDimension;
  const z = Math.ceil(count / most ** 2);
  const y = Math.ceil(count / (most * z));
  const x = Math.ceil(count / (y * z));
  if (z > most) throw new Error(`${count} workgroups are beyond the grid of ${target.name}`);
  const row = z > 1 ? `(group_id.z * ${y}u + group_id.y)` : 'group_id.y';
  return {
    workgroups: [x, y, z],
    number: y > 1 ? `${row} * ${x}u + group_id.x` : 'group_id.x',
    isExact: x * y * z === count,
  };
}

/** One invocation for each of `count` elements; the header names the element's number `id` and ends the others. */
export function flatThreads(
  count: number,
  id: string,
  workgroupSize: number,
): { readonly header: string; readonly groups: number } {
  const header = [`let ${id} = i32(group * ${workgroupSize}u + lane);`];
  if (count % workgroupSize !== 0) header.push(`if (${id} >= ${count}) { return; }`);
  return { header: header.join('\n'), groups: Math.ceil(count / workgroupSize) };
}

/** WGSL of the batch and the tile of a workgroup that takes one tile; the tiles of a batch follow one another. */
export function tileOfGroup(tiles: number, batch: number): { readonly batch: string; readonly tile: string } {
  return {
    batch: batch === 1 ? '0' : tiles === 1 ? 'i32(group)' : `i32(group) / ${tiles}`,
    tile: batch === 1 ? 'i32(group)' : tiles === 1 ? '0' : `i32(group) % ${tiles}`,
  };
}
