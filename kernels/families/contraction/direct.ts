/**
 * The forms of a contraction without barriers: a thread reads what it multiplies straight from memory, one element of
 * each of its rows and a vector of its columns at every k; in the `lanes` form four at once of an operand that lies so. `direct` and `lanes` differ in which block a thread has; in
 * the `subgroup` form the lanes of a tile share what they read.
 *
 * The trap: lanes of a subgroup must stay together for their broadcasts, so none returns early; a direct thread may.
 */

import { indent, plus, wgsl } from '../../wgsl/text.ts';
import { beginSums, finishSums, inside, quadInside, type SumsPlace } from './block.ts';
import type { ContractionParts, Products } from './functions.ts';
import { overProducts } from './range.ts';
import { finishRegisters, type RowsEnd } from './rows.ts';

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
export function lanesBody(products: Products, head: string, inRows: RowsEnd | undefined): string {
  const [w] = products;
  if (inRows === undefined) return blockBody(products, head, { firstM: 'tile_m', firstN: 'tile_n' });
  const place: SumsPlace = {
    m: (turn, rows) => `tile_m + ${turn}${rows === 1 ? '' : ` * ${rows}`}`,
    n: 'tile_n',
    columnAt: (j) => j,
    lane: `batch % ${inRows.lanes.across}`,
    laneRow: '0',
  };
  return wgsl`
    ${head}
    let first_m = tile_m;
    let first_n = tile_n;
    ${beginSums(w)}
    ${overProducts(products, blockSteps)}
    ${finishRegisters(w, inRows, place)}
  `;
}

interface Block {
  /** WGSL of the block's first row and column. */
  readonly firstM: string;
  readonly firstN: string;
}

function blockBody(products: Products, head: string, { firstM, firstN }: Block): string {
  const [w] = products;
  const { tuning, sizes } = w;
  const { tileM, tileN } = tuning;
  const outside: string[] = [];
  if (sizes.m % tileM !== 0) outside.push(`first_m >= ${sizes.m}`);
  if (sizes.n % tileN !== 0) outside.push(`first_n >= ${sizes.n}`);
  return wgsl`
    ${head}
    let first_m = ${firstM};
    let first_n = ${firstN};
    ${outside.length === 0 ? '' : `if (${outside.join(' || ')}) { return; }`}
    ${beginSums(w)}
    ${overProducts(products, blockSteps)}
    ${finishSums(w, { m: 'first_m + i', n: 'first_n + j' })}
  `;
}

/** The steps of a thread's block: one of k at a time, or four where an operand comes out of memory in quads along k. */
function blockSteps(w: ContractionParts): string {
  const { rows, columns } = w.tuning;
  const perStep = w.quads.left.alongK || w.quads.right.alongK ? 4 : 1;
  const [left, right] = [leftOf(w), rightOf(w)];
  const oneStep = (c: number): string => {
    const body = left.reads(c);
    for (let j = 0; j < columns / 4; j++) body.push(`let b_${j} = ${right.value(j, c)};`);
    for (let i = 0; i < rows; i++) {
      body.push(`let a_${i} = ${left.value(i, c)};`);
      for (let j = 0; j < columns / 4; j++) body.push(`sum_${i}_${j} += a_${i} * b_${j};`);
    }
    return body.join('\n');
  };
  if (perStep === 1) return stepsOfK([oneStep(0)]);
  const steps = Array.from({ length: perStep }, (_, c) => `{\n${indent(oneStep(c))}\n}`);
  return stepsOfK([...left.quads, ...right.quads, ...steps], perStep);
}

/** How a thread of a block gets an operand. */
interface BlockOperand {
  /** Quads along k, read once in four steps. */
  readonly quads: readonly string[];
  /** What is read at the c-th of these steps beside. */
  readonly reads: (c: number) => string[];
  /** Row i of the left operand there, four columns from 4j on of the right one. */
  readonly value: (i: number, c: number) => string;
}

function leftOf({ tuning: { rows, tileM }, sizes: { m }, functions, quads }: ContractionParts): BlockOperand {
  const { load, alongK } = quads.left;
  const quadsOf = (count: number, k: string, stride: number): string[] =>
    Array.from({ length: count }, (_, i) => {
      const position = alongK ? inside('first_m', i, m, tileM) : quadInside('first_m', i * stride, m, tileM);
      return `let left_${i} = ${functions.leftQuad}(batch, ${position}, ${k});`;
    });
  if (load === undefined) {
    const value = (i: number, c: number) =>
      `${functions.left}(batch, ${inside('first_m', i, m, tileM)}, ${plus('k', c)})`;
    return { quads: [], reads: () => [], value };
  }
  if (alongK) return { quads: quadsOf(rows, 'k', 1), reads: () => [], value: (i, c) => `left_${i}.${'xyzw'[c]}` };
  return {
    quads: [],
    reads: (c) => quadsOf(rows / 4, plus('k', c), 4),
    value: (i) => `left_${i >> 2}.${'xyzw'[i % 4]}`,
  };
}

function rightOf({ tuning: { columns, tileN }, sizes: { n }, functions, quads }: ContractionParts): BlockOperand {
  const { load, alongK } = quads.right;
  const read = (position: string, k: string): string => `${functions.rightQuad}(batch, ${position}, ${k})`;
  if (!alongK) {
    const position = (j: number): string =>
      load === undefined ? plus('first_n', j * 4) : quadInside('first_n', j * 4, n, tileN);
    return { quads: [], reads: () => [], value: (j, c) => read(position(j), plus('k', c)) };
  }
  const each = Array.from(
    { length: columns },
    (_, j) => `let right_${j} = ${read(inside('first_n', j, n, tileN), 'k')};`,
  );
  const value = (j: number, c: number): string =>
    `vec4<f32>(${[0, 1, 2, 3].map((d) => `right_${j * 4 + d}.${'xyzw'[c]}`).join(', ')})`;
  return { quads: each, reads: () => [], value };
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

function stepsOfK(body: readonly string[], perStep = 1): string {
  const next = perStep === 1 ? 'k++' : `k += ${perStep}`;
  return `for (var k = k_from; k < k_to; ${next}) {\n${indent(body.join('\n'))}\n}`;
}
