/**
 * How the workgroups of a dispatch are numbered. A dimension takes 65,535 workgroups at most, so more than that go on
 * in y, then z; a kernel puts their number together again from `group`.
 */
import type { Target } from './target.ts';

type Workgroups = [x: number, y: number, z: number];

/** So many workgroups over three dimensions, and WGSL (u32) of a workgroup's number; undefined if they are too many. */
function spread(count: number, target: Target): { workgroups: Workgroups; number: string } | undefined {
  const most = target.limits.maxComputeWorkgroupsPerDimension;
  const x = Math.min(count, most);
  const y = Math.min(Math.ceil(count / x), most);
  const z = Math.ceil(count / (x * y));
  if (z > most) return undefined;
  const row = z > 1 ? `(group.z * ${y}u + group.y)` : 'group.y';
  return { workgroups: [x, y, z], number: y > 1 ? `(${row} * ${x}u + group.x)` : 'group.x' };
}

const product = ([x, y, z]: Workgroups): number => x * y * z;

/** One invocation for each of `count` elements; the header names the element's number `id` and ends the others. */
export function flatGrid(
  count: number,
  id: string,
  workgroupSize: number,
  target: Target,
): { readonly header: string; readonly workgroups: Workgroups } {
  const groups = Math.ceil(count / workgroupSize);
  const grid = spread(groups, target);
  if (!grid) throw new Error(`${groups} workgroups are beyond the grid of ${target.name}`);
  const { workgroups, number } = grid;
  const exact = count % workgroupSize === 0 && product(workgroups) === groups;
  const header = [`let ${id} = i32(${number} * ${workgroupSize}u + lane);`];
  if (!exact) header.push(`if (${id} >= ${count}) { return; }`);
  return { header: header.join('\n'), workgroups };
}

/** How a workgroup finds its batch and its tile: WGSL of both, and lines that must come before. */
export interface TileGrid {
  readonly workgroups: Workgroups;
  readonly header: string;
  readonly batch: string;
  readonly tile: string;
}

/** Tiles along x and batches along z; where either is too many, both are one number over all three dimensions. */
export function tileGrid(tiles: number, batch: number, target: Target): TileGrid {
  const most = target.limits.maxComputeWorkgroupsPerDimension;
  if (tiles <= most && batch <= most) {
    return {
      workgroups: [tiles, 1, batch],
      header: '',
      batch: batch === 1 ? '0' : 'i32(group.z)',
      tile: 'i32(group.x)',
    };
  }
  const count = tiles * batch;
  const grid = spread(count, target);
  if (!grid) throw new Error(`a contraction of ${tiles} tiles and ${batch} batches is beyond the grid`);
  const { workgroups, number } = grid;
  const header = [`let work = i32${number};`];
  if (product(workgroups) > count) header.push(`if (work >= ${count}) { return; }`);
  return {
    workgroups,
    header: header.join('\n'),
    batch: batch === 1 ? '0' : tiles === 1 ? 'work' : `work / ${tiles}`,
    tile: batch === 1 ? 'work' : tiles === 1 ? '0' : `work % ${tiles}`,
  };
}
