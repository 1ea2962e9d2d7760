/**
 * The forms of a contraction without barriers: a thread reads what it multiplies straight from memory, one element of
 * each of its rows and a vector of its columns at every k. `direct` and `lanes` differ in which block a thread has; in
 * the `subgroup` form the lanes of a tile share what they read.
 *
 * The trap: lanes of a subgroup must stay together for their broadcasts, so none returns early; a direct thread may.
 */

import { indent, plus, wgsl } from '../../wgsl/text.ts';
import { beginSums, finishSums, inside } from './block.ts';
import type { ContractionParts, Products } from './functions.ts';
import { overProducts } from './range.ts';

/** The body of the direct form: the threads of a workgroup have neighbouring blocks of a tile. */
export function directBody(products: Products, head: string): string {
  const [w] = products;
  const { rows, columns, tileN } = w.tuning;
  const threadsN = tileN / columns;
  const firstM = `tile_m + i32(lane) / ${threadsN} * ${rows}`;
  const firstN = `tile_n + i32(lane) % ${threadsN} * ${columns}`;
  return blockBody(products, head, { firstM, firstN });
}

/** The body of the lanes form: a thread's block is its whole tile. */
export function lanesBody(products: Products, head: string): string {
  return blockBody(products, head, { firstM: 'tile_m', firstN: 'tile_n' });
}

interface Block {
  /** WGSL of the block's first row and column. */
  readonly firstM: string;
  readonly firstN: string;
}

function blockBody(products: Products, head: string, { firstM, firstN }: Block): string {
  const [w] = products;
  const { tuning, sizes } = w;
  const { rows, columns, tileM, tileN } = tuning;
  const steps = ({ functions: { left, rightQuad } }: ContractionParts): string => {
    const body: string[] = [];
    for (let j = 0; j < columns / 4; j++) body.push(`let b_${j} = ${rightQuad}(batch, ${plus('first_n', j * 4)}, k);`);
    for (let i = 0; i < rows; i++) {
      body.push(`let a_${i} = ${left}(batch, ${inside('first_m', i, sizes.m, tileM)}, k);`);
      for (let j = 0; j < columns / 4; j++) body.push(`sum_${i}_${j} += a_${i} * b_${j};`);
    }
    return stepsOfK(body);
  };
  const outside: string[] = [];
  if (sizes.m % tileM !== 0) outside.push(`first_m >= ${sizes.m}`);
  if (sizes.n % tileN !== 0) outside.push(`first_n >= ${sizes.n}`);
  return wgsl`
    ${head}
    let first_m = ${firstM};
    let first_n = ${firstN};
    ${outside.length === 0 ? '' : `if (${outside.join(' || ')}) { return; }`}
    ${beginSums(w)}
    ${overProducts(products, steps)}
    ${finishSums(w, { m: 'first_m + i', n: 'first_n + j' })}
  `;
}

/**
 * The body of the subgroup form, one subgroup a tile: lane l reads rows l, l + lanes, … of the left operand for all lanes,
 * and has columns l, l + lanes, … of the right one to itself.
 */
export function subgroupBody(products: Products, head: string): string {
  const [w] = products;
  const { tuning, sizes } = w;
  const { rows, columns, tileM, tileN } = tuning;
  const lanes = tileN / columns;
  const steps = ({ functions: { left, rightQuad } }: ContractionParts): string => {
    const body: string[] = [];
    for (let j = 0; j < columns / 4; j++)
      body.push(`let b_${j} = ${rightQuad}(batch, ${plus('lane_n', j * 4 * lanes)}, k);`);
    for (let i = 0; i < rows; i += lanes) {
      body.push(`let a_${i} = ${left}(batch, ${inside('lane_m', i, sizes.m, tileM)}, k);`);
      for (let l = 0; l < lanes; l++) {
        body.push(`let a_${i}_${l} = subgroupBroadcast(a_${i}, ${l}u);`);
        for (let j = 0; j < columns / 4; j++) body.push(`sum_${i + l}_${j} += a_${i}_${l} * b_${j};`);
      }
    }
    return stepsOfK(body);
  };
  return wgsl`
    ${head}
    let lane_m = tile_m + i32(lane);
    let lane_n = tile_n + i32(lane);
    ${beginSums(w)}
    ${overProducts(products, steps)}
    ${finishSums(w, { m: 'tile_m + i', n: `lane_n + j * ${lanes}` })}
  `;
}

function stepsOfK(body: readonly string[]): string {
  return `for (var k = k_from; k < k_to; k++) {\n${indent(body.join('\n'))}\n}`;
}
