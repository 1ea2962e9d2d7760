/**
 * A stream's products on tensor cores, each f32 as two f16 (split-library.ts): a subgroup has 16 rows of a tile, and walks 16 columns at a time.
 *
 *   S = q kᵀ            rows of q in registers as matrices, k staged as high and low parts; S goes through workgroup memory to the lanes
 *   A = exp(S - shift)  on f32 elements, as in every stream: a lane has half a row
 *   y += A v            A back through workgroup memory as high and low parts; y stays in matrices (matrix-sums.ts)
 *
 * Operands are scaled by powers of two: rows for each subgroup, what is staged for each subgroup that stages it, what a sum takes of a tile
 * for each subgroup by the largest so far. Low parts are not weighted, so that one matrix takes all three products: what lies 2^-15
 * below the largest of its block is known to 2^-39 of that.
 *
 * A lane puts parts of its elements there where it has read them, so that nothing need be met between. The traps: every thread must meet
 * every barrier, so whether sums move is decided for a workgroup, by a uniform load, which is a barrier too. A matrix that is declared in a
 * loop is not empty the second time round.
 */

import { load, negate, sum as sumOf } from '../../../compiler/ir/expression.ts';
import type { StreamStatement } from '../../kernel.ts';
import { expressionText } from '../../parts/scalar.ts';
import { matrixLanes, matrixSize } from '../../target.ts';
import { sumMatrix } from '../../wgsl/matrices.ts';
import { leastExponent } from '../../wgsl/split-library.ts';
import { guarded, indent, plus, wgsl } from '../../wgsl/text.ts';
import { emptyAcross } from './across.ts';
import { overRows, readyOf, type StreamCode, scopeOf, sizesOf } from './code.ts';
import { scaleOfQuad as scaleOfLevels } from './levels.ts';
import {
  type Across,
  acrossQuads,
  addAcross,
  emptyBlock,
  fetchAcross,
  keepColumns,
  multiplyAcross,
  scaledAcross,
} from './matrix-across.ts';
import { addNearProducts } from './matrix-near.ts';
import {
  blockOf,
  blockPitch,
  blockQuads,
  laneIn,
  matricesOf,
  matrixLoad,
  matrixStore,
  multiplyParts,
  quadText,
} from './matrix-operands.ts';
import type { MatrixParts, MatrixProduct, MatrixSide } from './matrix-parts.ts';
import { withPointValues } from './matrix-points.ts';
import {
  countedColumns,
  countedKey,
  fetch,
  openSlabs,
  type Slab,
  type Slabs,
  scaledExponent,
  scaleOfQuad,
  slabVariables,
  splitAhead,
  stage,
  stageSplit,
  whereCounted,
} from './matrix-slabs.ts';
import {
  longestStretch,
  multiplyColumns,
  putWeights,
  type Sum,
  sumsToLanes,
  sumsToMemory,
  sumVariables,
  weightsOf,
} from './matrix-sums.ts';
import { extremeStep, factorBetween, followedStep, isFollowed, totalStep } from './rows.ts';
import type { WalkRange } from './shape.ts';
import { addPart, tileStep } from './tile.ts';

/** How far a shift may stay behind, as a logarithm. */
const mostBehind = 8;

interface Product extends MatrixProduct {
  readonly tensor: string;
  readonly name: string;
  readonly slab: Slab;
  readonly area: number;
}

/** Everything that the form keeps, and where. */
interface MatrixStream {
  readonly w: StreamCode;
  readonly slabs: Slabs;
  readonly products: readonly Product[];
  readonly sums: readonly Sum[];
  readonly across: readonly Across[];
  /** Whether products go where slabs lay that nothing but products reads. */
  readonly overlaid: boolean;
  /** The quad where it is said that a shift moves. */
  readonly flag: number;
}

/**
 * Where there are sums across. Of 64 elements a head, T = 1024, back in one sweep, while products are made 519 µs, behind them 536, not ahead
 * 557; where it was tried forward, of eight subgroups, 237 without and 249 with it (H100, test/bench/records/2026-11-28-matrix-4.jsonl).
 */
const splitsAhead = ({ kernel }: StreamCode): boolean => kernel.pieces !== undefined;

export interface MatrixWalk {
  /** Before all walks: what is kept through them. */
  readonly before: string;
  /** A walk. */
  readonly walk: string;
  /** After all walks: sums to the lanes. */
  readonly after: string;
  readonly sharedQuads: number;
}

export function matrixWalk(w: StreamCode, parts: MatrixParts, range: WalkRange, zero: string): MatrixWalk {
  const m = openMatrices(w, parts);
  for (const name of [
    'power_of_two_f32',
    'largest_order_f32',
    'order_exponent_f32',
    'split_octet_f16',
    'split_unweighted_f16',
  ])
    w.emitter.use(name);
  const { products, sums, across, slabs } = m;
  const columns = sizesOf(w.tuning).tileColumns;
  const last = w.kernel.walk.extent - columns;
  const isAhead = splitsAhead(w);
  /** Takes what is staged of a tile apart while the one before is worked on, where a subgroup has the registers. */
  const splitNext = (walk: string): string =>
    isAhead ? `{\n${indent([countedColumns(slabs, walk, w), splitAhead(slabs, w)].join('\n'))}\n}` : '';
  const shifts = w.kernel.statements.filter((s) => s.kind === 'row' && isFollowed(s, w));
  const { written, points } = withPointValues(w, m.flag + 1, () => ({
    statements: w.kernel.statements.map((s) => statementText(s, m)).filter((text) => text !== ''),
    weights: sums.map((sum) => putWeights(sum, w)),
  }));
  const before = wgsl`
    let zero_bits = ${zero};
    let lane_in = i32(lane % ${matrixLanes}u);
    let subgroup = i32(lane / ${matrixLanes}u);
    var since = 0;
    var stored = false;
    ${shifts.map((s) => shiftVariables(s, w)).join('\n')}
    ${slabVariables(slabs, isAhead)}
    ${sums.map(sumVariables).join('\n')}
  `;
  const walk = wgsl`
    let walk_first = walk_from / ${columns} * ${columns};
    ${products.map((p) => keepRows(p, m)).join('\n')}
    ${across.map((a) => keepColumns(a, w)).join('\n')}
    ${points.rows}
    ${fetch(slabs, `min(walk_first, ${last})`, w)}
    ${points.fetch(`min(walk_first, ${last})`)}
    ${splitNext('walk_first')}
    for (var walk_start = walk_first; walk_start < walk_to; walk_start += ${columns}) {
      ${countedColumns(slabs, 'walk_start', w)}
      ${isAhead ? stageSplit(slabs, w) : stage(slabs, w)}
      ${points.stage}
      workgroupBarrier();
      ${fetch(slabs, `min(walk_start + ${columns}, ${last})`, w)}
      ${points.fetch(`min(walk_start + ${columns}, ${last})`)}
      ${across.map((a) => fetchAcross(a, `max(walk_start - ${columns}, walk_first)`, w)).join('\n')}
      ${multiplyRows(m, splitNext(`walk_start + ${columns}`))}
      workgroupBarrier();
      ${across.map((a) => guarded(['walk_start > walk_first'], addAcross(a, `walk_start - ${columns}`, w))).join('\n')}
      ${products.map(takePart).join('\n')}
      ${across.map(scaledAcross).join('\n')}
      ${points.take}
      ${written.statements.join('\n')}
      ${written.weights.join('\n')}
      ${shifts.length === 0 ? 'workgroupBarrier();' : `let moves = workgroupUniformLoad(&scratch[${m.flag}]).x == f32(walk_start + 1);`}
      ${sums.map(weightsOf).join('\n')}
      ${moveSums(shifts, m)}
      ${sums.map(multiplyColumns).join('\n')}
      ${across.map((a) => multiplyAcross(a, w)).join('\n')}
      since += 1;
      workgroupBarrier();
    }
    ${across.map((a) => addLast(a, w)).join('\n')}
  `;
  const after = [
    ...across.map((a) => emptyAcross(range, emptyBlock(a, 'empty_start', w), w)),
    sumsToLanes(sums, w),
    ...shifts.map((s) => followedStep(s, w)),
  ].join('\n');
  return { before, walk, after, sharedQuads: m.flag + 1 + points.quads };
}

/** What the last tile came to across: none has come after it. */
function addLast(across: Across, w: StreamCode): string {
  const { tileColumns } = sizesOf(w.tuning);
  const last = `(walk_to - 1) / ${tileColumns} * ${tileColumns}`;
  return [
    guarded(['walk_first < walk_to'], [fetchAcross(across, last, w), addAcross(across, last, w)].join('\n')),
    'workgroupBarrier();',
  ].join('\n');
}

function openMatrices(w: StreamCode, { products, sums, across }: MatrixParts): MatrixStream {
  const { threads } = sizesOf(w.tuning);
  const keyOf = (side: MatrixSide): string =>
    [quadText(side, w.axes.walk, w, 'place', 'column'), side.extent, countedKey(side)].join();
  // What sums read comes first: where the others lie, products may go when they are made.
  const sides = new Map([...sums.values(), ...products.values()].map(({ right }) => [keyOf(right), right]));
  const kept = new Set([...sums.values()].map(({ right }) => keyOf(right))).size;
  const areaQuads = (threads / matrixLanes) * blockQuads;
  const overlaid = products.size > sums.size && kept < sides.size;
  const slabs = openSlabs([...sides.values()], w, overlaid ? { from: kept, quads: areaQuads } : undefined);
  const slabOf = (side: MatrixSide): Slab => slabs.slabs[[...sides.keys()].indexOf(keyOf(side))];
  const inOrder = overlaid ? [slabs.slabs[kept].start] : [];
  const areas = Math.max(products.size, sums.size) - inOrder.length;
  const areaOf = (i: number): number => (i < areas ? slabs.quads + i * areaQuads : inOrder[i - areas]);
  const subgroups = threads / matrixLanes;
  // A sum across has a block of each subgroup too, and quads to tell exponents in, beyond what its side takes before the walk.
  const exchangeOf = (i: number): number => slabs.quads + (areas + i) * areaQuads;
  const firstTold = Math.max(exchangeOf(across.size), ...[...across.values()].map((a) => acrossQuads(a, subgroups)));
  const takenBy = [...across.values()].map((a) => a.as);
  const ofSums = [...sums].map(
    ([tensor, sum], i): Sum => ({
      ...sum,
      statement: w.kernel.statements.find((s) => s.tensor === tensor)!,
      name: w.emitter.fresh('sums'),
      slab: slabOf(sum.right),
      area: areaOf(i),
      exchange: across.size === 0 ? areaOf(0) : exchangeOf(0),
      told: takenBy.includes(tensor) ? firstTold + takenBy.indexOf(tensor) * subgroups : undefined,
    }),
  );
  return {
    w,
    slabs,
    products: [...products].map(([tensor, product], i) => ({
      ...product,
      tensor,
      name: w.emitter.fresh('rows'),
      slab: slabOf(product.right),
      area: areaOf(i),
    })),
    sums: ofSums,
    across: [...across].map(([tensor, part], i) => ({
      ...part,
      statement: w.kernel.statements.find((s) => s.tensor === tensor)!,
      name: w.emitter.fresh('across'),
      sum: ofSums.find(({ statement }) => statement.tensor === part.as)!,
      exchange: exchangeOf(i),
    })),
    overlaid,
    flag: across.size === 0 ? slabs.quads + areas * areaQuads : firstTold + across.size * subgroups,
  };
}

/** The rows of a product as matrices in registers, a matrix of them at a time through workgroup memory. */
function keepRows({ name, left, area }: Product, { w }: MatrixStream): string {
  const octet = (k: number, from: number): string =>
    quadText(left, w.axes.row, w, '(row_start + lane_y)', `(lane_x * 8 + ${k * matrixSize + from})`);
  const matrices = matricesOf(left.extent);
  const scalesOf = (column: string): readonly string[] =>
    left.levels === undefined ? [] : scaleOfLevels(left.levels.levels, column, w);
  const read = matrices.flatMap((k) => [
    `let ${name}_first_${k} = ${[...scalesOf(`(lane_x * 8 + ${k * matrixSize})`), octet(k, 0)].join(' * ')};`,
    `let ${name}_second_${k} = ${[...scalesOf(`(lane_x * 8 + ${k * matrixSize + 4})`), octet(k, 4)].join(' * ')};`,
  ]);
  const most = matrices
    .map((k) => `largest_order_f32(${name}_first_${k}, ${name}_second_${k})`)
    .reduce((a, b) => `max(${a}, ${b})`);
  const kept = matrices.map(
    (k) => wgsl`
      workgroupBarrier();
      {
        let parts = split_octet_f16(${name}_first_${k}, ${name}_second_${k}, power_of_two_f32(${scaledExponent} - ${name}_exponent), zero_bits);
        scratch[${laneIn(area)}] = parts.high;
        scratch[${laneIn(area)} + 2] = parts.low;
      }
      workgroupBarrier();
      let ${name}_high_${k} = ${matrixLoad('left', 'row_major', blockOf(area), blockPitch)};
      let ${name}_low_${k} = ${matrixLoad('left', 'row_major', plus(blockOf(area), 2), blockPitch)};
    `,
  );
  return wgsl`
    ${read.join('\n')}
    let ${name}_exponent = max(order_exponent_f32(subgroupMax(${most})), ${leastExponent});
    let ${name}_scale = power_of_two_f32(${name}_exponent - ${scaledExponent});
    ${kept.join('\n')}
    workgroupBarrier();
  `;
}

/**
 * A tile's products, 16 rows of a subgroup by 16 points, to workgroup memory: step by step of all, for each matrix waits for itself. Lanes do
 * something else `meanwhile`.
 */
function multiplyRows({ products, overlaid }: MatrixStream, meanwhile: string): string {
  const steps = Math.max(...products.map(({ left }) => matricesOf(left.extent).length));
  const lines = Array.from({ length: steps }, (_, k) =>
    products
      .filter(({ left }) => k < matricesOf(left.extent).length)
      .map((p) => guarded(whereCounted(p.slab, k), productStep(p, k).join('\n'))),
  );
  return wgsl`
    {
      ${products.map(({ name }) => `var ${name}_product = ${sumMatrix}();`).join('\n')}
      ${lines.flat().join('\n')}
      ${meanwhile}
      ${overlaid ? 'workgroupBarrier();' : ''}
      ${products.map(({ name, area }) => matrixStore(blockOf(area), `${name}_product`)).join('\n')}
    }
  `;
}

function productStep({ name, slab }: Product, k: number): readonly string[] {
  const right = (from: number): string => matrixLoad('right', 'col_major', slab.start + from + 2 * k, slab.pitch);
  return [
    `let ${name}_right_high_${k} = ${right(0)};`,
    `let ${name}_right_low_${k} = ${right(slab.low)};`,
    ...multiplyParts(
      `${name}_product`,
      [`${name}_high_${k}`, `${name}_low_${k}`],
      [`${name}_right_high_${k}`, `${name}_right_low_${k}`],
    ),
  ];
}

/** A lane's elements of it, with the scales taken off. */
function takePart({ name, slab, area }: Product): string {
  const quad = (own: number): string =>
    `scratch[${plus(laneIn(area), 2 * own)}] * (${name}_scale * ${scaleOfQuad(slab, plus('lane_x', 2 * own))})`;
  return `var ${name}_part = array<vec4<f32>, 2>(${quad(0)}, ${quad(1)});`;
}

function statementText(s: StreamStatement, m: MatrixStream): string {
  const { w } = m;
  switch (s.kind) {
    case 'tile': {
      const product = m.products.find(({ tensor }) => tensor === s.tensor);
      if (product === undefined)
        return tileStep(s, w)
          .map(({ text }) => text)
          .join('\n');
      const name = w.variables.get(s.tensor)!;
      return [
        `var ${name} = array<vec4<f32>, 2>();`,
        addPart(product.parts, `${product.name}_part`, name, w),
        addNearProducts(product, name, w),
      ].join('\n');
    }
    case 'extreme':
      return extremeStep(s, w);
    case 'total':
      return totalStep(s, w);
    case 'row':
      if (!isFollowed(s, w)) return '';
      w.taken.clear();
      return moveShift(s, m);
    case 'sum':
    case 'across':
      return ''; // after all else
    case 'map':
      throw new Error(`${s.tensor} is stored at every point`);
    default:
      return s.kind satisfies never;
  }
}

/** What sums in matrices and sums in memory are relative to, before a shift has moved. */
function shiftVariables(s: StreamStatement, w: StreamCode): string {
  const name = w.variables.get(s.tensor)!;
  return [`var ${name}_before = 0.0;`, `var ${name}_base = 0.0;`].join('\n');
}

/** A row tensor that moves with an extreme, and its totals with it, but not before it has far to go. Its sums move when all have met. */
function moveShift(s: StreamStatement, { w, flag }: MatrixStream): string {
  const equation = readyOf(w, s.equations[0]);
  const name = w.variables.get(s.tensor)!;
  const own = `${name}[own_row / 4][own_row % 4]`;
  const [before, after] = [load(s.tensor, []), load(s.tensor, [])];
  const known = new Map([
    [before, own],
    [after, 'moved'],
  ]);
  const way = expressionText(sumOf([before, negate(after)]), { ...scopeOf(w, equation), known });
  const totals = w.kernel.statements.filter(({ kind, follows }) => kind === 'total' && follows.includes(s.tensor));
  return overRows(
    w,
    wgsl`
      let moved = ${expressionText(equation.value, scopeOf(w, equation))};
      ${name}_before = ${own};
      if (abs(${way}) > ${mostBehind}.0) {
        let scale = ${factorBetween(s, own, 'moved', w)};
        ${totals.map(({ tensor }) => `${w.variables.get(tensor)}[own_row / 4][own_row % 4] *= scale;`).join('\n')}
        ${own} = moved;
        scratch[${flag}] = vec4<f32>(f32(walk_start + 1));
      }
    `,
  );
}

/** Sums to memory, where their shift has moved or much has been added up. */
function moveSums(shifts: readonly StreamStatement[], { w, sums }: MatrixStream): string {
  const isFull = `since >= ${longestStretch}`;
  return wgsl`
    if (${shifts.length === 0 ? isFull : `since > 0 && (moves || ${isFull})`}) {
      workgroupBarrier();
      since = 0;
      ${sumsToMemory(sums, w)}
      ${shifts.map((s) => `${w.variables.get(s.tensor)}_base = ${w.variables.get(s.tensor)}_before;`).join('\n')}
      stored = true;
    }
  `;
}
