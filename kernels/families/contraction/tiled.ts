/**
 * The tiled form of a contraction: a workgroup stages a slab of each operand, `tileK` steps of k for the whole tile, in
 * workgroup memory; each thread multiplies its rows and columns of them in registers, while the next slabs are on their
 * way from memory. With one buffer the threads wait for each other before and after they fill it; with two (`buffers`)
 * once a step, since they fill the one that nobody reads.
 *
 * A slab's row is one k, in quads: of the left operand four neighbouring rows of the tile, of the right one four neighbouring columns where
 * the output is stored in quads, otherwise four a quarter of the tile apart. A thread has `rows / 4 × columns / 4` quads of both, and
 * neighbouring threads neighbouring ones: in workgroup memory no two meet in a bank, in the output they store side by side. Where a tile is wide, a subgroup takes part of two of
 * its rows rather than one of them whole, and so reads fewer quads (`lanesTogether`). What comes out of memory in quads along k
 * stays so: a slab's row is then four k, with a quad of each row or column of the tile, and four k are multiplied at a time.
 *
 * The traps: every thread must meet every barrier, so threads beyond the output work on clamped positions, and only `finish`
 * leaves them out. And a loop that counts single steps up to a constant is one that Dawn knows to end and whose indices it knows
 * to be inside: it guards any other with a counter and a minimum at every access.
 */
import { leastStep } from '../../../compiler/ir/affine.ts';
import { loads } from '../../../compiler/ir/expression.ts';
import type { Expression } from '../../../compiler/ir/program.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { beginSums, inside, quadInside, type SumsPlace } from './block.ts';
import type { ContractionParts, OperandQuad, Products } from './functions.ts';
import { isWholeLoop, kIsExact, longestLoop, overProducts } from './range.ts';
import { addSlices, ownSums, slicedQuads, threadsOfSlice } from './slices.ts';
import { type ContractionTuning, contractionThreads, lanesTogether } from './tuning.ts';

/** `end` takes a thread's sums to memory. */
export function tiledBody(products: Products, head: string, end: (place: SumsPlace) => string): string {
  const [w] = products;
  const { rows, columns, tileM, tileN, buffers, slices = 1 } = w.tuning;
  const [threadsM, threadsN] = [tileM / rows, tileN / columns];
  const isTwo = buffers === 2;
  const together = lanesTogether(w.tuning);
  const isSliced = slices > 1;
  const lane = isSliced ? 'lane_of_slice' : 'lane';
  const [laneM, laneN] =
    together === threadsN
      ? [`${lane} / ${threadsN}`, `${lane} % ${threadsN}`]
      : [
          `${lane} / ${together} % ${threadsM}`,
          `${lane} % ${together} + ${lane} / ${together * threadsM} * ${together}`,
        ];
  const sliceLines = wgsl`
    let slice = i32(lane / ${threadsOfSlice(w.tuning)});
    let lane_of_slice = lane % ${threadsOfSlice(w.tuning)};
  `;
  const place: SumsPlace = {
    m: (turn, rows) =>
      rows === 4
        ? `tile_m + (${turn} * ${threadsM} + lane_m) * 4`
        : `tile_m + (${turn} / ${4 / rows} * ${threadsM} + lane_m) * 4 + ${turn} % ${4 / rows}${rows === 1 ? '' : ` * ${rows}`}`,
    n: w.storesQuads ? 'tile_n + lane_n * 4' : 'tile_n + lane_n',
    columnAt: (j) => (w.storesQuads ? (j >> 2) * threadsN * 4 + (j % 4) : (j >> 2) * threadsN + (j % 4) * (tileN / 4)),
    lane: 'lane_n',
    laneRow: 'lane_m',
  };
  return wgsl`
    // scratch: a slab ${slabText(w, 'left')}, then a slab ${slabText(w, 'right')}, rows padded against bank conflicts${isTwo ? '; twice, used in turn' : ''}
    ${head}
    ${isSliced ? sliceLines : ''}
    let lane_m = i32(${laneM});
    let lane_n = i32(${laneN});
    ${beginSums(w)}
    ${overProducts(products, slabLoop, slabDeclarations)}
    ${isSliced ? addSlices(w) : ''}
    ${end(isSliced ? ownSums(w, place) : place)}
  `;
}

function slabText({ quads }: ContractionParts, side: 'left' | 'right'): string {
  const own = side === 'left' ? 'm' : 'n';
  return quads[side].alongK ? `[k / 4][${own}]` : `[k][${own} / 4]`;
}

function stagings(w: ContractionParts): { readonly a: Staging; readonly b: Staging } {
  const a = staging(w, slabOf(w, 'left'), { count: 0 });
  return { a, b: staging(w, slabOf(w, 'right'), a) };
}

function slabDeclarations(w: ContractionParts): string {
  const { a, b } = stagings(w);
  return `${a.declarations}\n${b.declarations}`;
}

/** The steps of a product from `k_from` to `k_to`, a slab of both operands each. */
function slabLoop(w: ContractionParts): string {
  const { rows, columns, tileM, tileN, tileK, buffers, slices = 1 } = w.tuning;
  const { a, b } = stagings(w);
  const isTwo = buffers === 2;
  const half = isTwo ? ['step % 2', '(step + 1) % 2'] : ['0', '0'];
  const put = (into: string) => `${a.store(into)}\n${b.store(into)}`;
  const next = wgsl`
    if (k0 + ${tileK} < k_to) {
      let k_at = k0 + ${tileK};
      ${a.fetch}
      ${b.fetch}
    }
  `;
  const multiply = wgsl`
    for (var k_in = 0; k_in < ${tileK / slices / stepsAtOnce(w)}; k_in++) {
      ${multiplySlabs(w, tileM / rows, tileN / columns, half[0]).join('\n')}
    }
  `;
  const step = isTwo
    ? [next, multiply, guarded([`k0 + ${tileK} < k_to`], put(half[1])), 'workgroupBarrier();']
    : [put(half[0]), 'workgroupBarrier();', next, multiply, 'workgroupBarrier();'];
  return wgsl`
    {
      let k_at = k_from;
      ${a.fetch}
      ${b.fetch}
    }
    ${isTwo ? `${put('0')}\nworkgroupBarrier();` : ''}
    for (var step = 0; step < ${w.emitter.bound(Math.ceil(longestLoop(w) / tileK))}; step++) {
      let k0 = k_from + step * ${tileK};
      ${isWholeLoop(w) ? '' : 'if (k0 >= k_to) { break; }'}
      ${step.join('\n')}
    }
  `;
}

/** Quads of workgroup memory that the form needs. */
export function slabQuads(tuning: ContractionTuning): number {
  return Math.max((tuning.buffers ?? 1) * bufferQuads(tuning), slicedQuads(tuning));
}

/** Both slabs, the left one first. */
function bufferQuads({ tileM, tileN, tileK }: ContractionTuning): number {
  return tileK * (quadsOfRow(tileM) + quadsOfRow(tileN));
}

/** Quads of a slab's row, which is one k, its padding included. */
function quadsOfRow(tile: number): number {
  return tile / 4 + 1;
}

/**
 * The same of a slab of quads along k, whose row is four k: of eight neighbouring threads, which have the quads of one position or a few,
 * no two put theirs into one bank. As long as four rows of the other kind at most.
 */
function quadsOfRowAlongK(tile: number, tileK: number): number {
  return tile + Math.min(4, Math.max(1, 32 / tileK));
}

/** WGSL of the place of a slab's quad, less the terms that are 0. */
function place(
  { tuning, sideBySide, quads }: ContractionParts,
  side: 'left' | 'right',
  { half, row, quad }: { readonly half: string; readonly row: string; readonly quad: string },
): string {
  const { tileM, tileN, tileK } = tuning;
  const [own, base] = side === 'left' ? [tileM, 0] : [tileN, tileK * quadsOfRow(tileM)];
  const terms = [
    ...(sideBySide === 1 ? [] : ['scratch_from']),
    ...(half === '0' ? [] : [`${half} * ${bufferQuads(tuning)}`]),
    `${row} * ${quads[side].alongK ? quadsOfRowAlongK(own, tileK) : quadsOfRow(own)}`,
    quad,
  ];
  return plus(terms.join(' + '), base);
}

/** Whether an operand's quads lie along k in its slab, and steps of k that are multiplied at once: four then. */
function stepsAtOnce({ quads }: ContractionParts): number {
  return quads.left.alongK || quads.right.alongK ? 4 : 1;
}

/** One step of k, or four at once: a thread's quads of both slabs, and all their products. */
function multiplySlabs(w: ContractionParts, threadsM: number, threadsN: number, half: string): string[] {
  const { rows, columns, tileN, tileK, slices = 1 } = w.tuning;
  const atOnce = stepsAtOnce(w);
  const steps = tileK / slices / atOnce;
  const step = slices === 1 ? 'k_in' : `(slice * ${steps} + k_in)`;
  const at = Array.from({ length: atOnce }, (_, c) => c);
  const quad = (side: 'left' | 'right', c: number, position: string): string => {
    const row = w.quads[side].alongK || atOnce === 1 ? step : `(${plus(`${step} * ${atOnce}`, c)})`;
    return `scratch[${place(w, side, { half, row, quad: position })}]`;
  };
  const lines: string[] = [];
  const columnsAt = (j: number, c: number): string => `b_${j}${atOnce === 1 ? '' : `_${c}`}`;
  for (let j = 0; j < columns / 4; j++) {
    const first = plus('lane_n', j * threadsN);
    if (w.quads.right.alongK) {
      for (const d of [0, 1, 2, 3])
        lines.push(`let column_${j * 4 + d} = ${quad('right', 0, plus(first, (d * tileN) / 4))};`);
      for (const c of at) {
        const four = [0, 1, 2, 3].map((d) => `column_${j * 4 + d}.${'xyzw'[c]}`);
        lines.push(`let ${columnsAt(j, c)} = vec4<f32>(${four.join(', ')});`);
      }
    } else for (const c of at) lines.push(`let ${columnsAt(j, c)} = ${quad('right', c, first)};`);
  }
  const rowsAt = (i: number, c: number): string => `a_${i}${atOnce === 1 ? '' : `_${c}`}`;
  if (!w.quads.left.alongK)
    for (let i = 0; i < rows / 4; i++)
      for (const c of at) lines.push(`let ${rowsAt(i, c)} = ${quad('left', c, plus('lane_m', i * threadsM))};`);
  for (let i = 0; i < rows; i++) {
    const row = plus(`lane_m * 4`, (i >> 2) * threadsM * 4 + (i % 4));
    if (w.quads.left.alongK) lines.push(`let row_${i} = ${quad('left', 0, row)};`);
    for (const c of at) {
      const value = w.quads.left.alongK ? `row_${i}.${'xyzw'[c]}` : `${rowsAt(i >> 2, c)}.${'xyzw'[i % 4]}`;
      for (let j = 0; j < columns / 4; j++) lines.push(`sum_${i}_${j} += ${value} * ${columnsAt(j, c)};`);
    }
  }
  return lines;
}

interface Slab {
  readonly side: 'left' | 'right';
  readonly letter: 'a' | 'b';
  readonly function: string;
  /** WGSL of the tile's first position along m (or n), its length, and how much there is in all. */
  readonly start: string;
  readonly tile: number;
  readonly size: number;
  readonly quad: OperandQuad;
  /** WGSL of a quad's position in the tile: of its first element, or, where it lies along k, of all four. */
  readonly positionOf: (quad: string) => string;
  /** Lanes follow m (or n), not k: memory is contiguous in it. */
  readonly alongTile: boolean;
}

function slabOf(w: ContractionParts, side: 'left' | 'right'): Slab {
  const { s, tuning, quads, functions, sizes } = w;
  const quad = quads[side];
  const own =
    side === 'left'
      ? { letter: 'a' as const, start: 'tile_m', tile: tuning.tileM, size: sizes.m, axes: s.m }
      : { letter: 'b' as const, start: 'tile_n', tile: tuning.tileN, size: sizes.n, axes: s.n };
  const { axes, ...rest } = own;
  return {
    ...rest,
    side,
    function: side === 'left' ? functions.leftQuad : functions.rightQuad,
    quad,
    positionOf: (name) => positionText(w, side, name),
    alongTile: isContiguous(s[side], axes, s.k),
  };
}

/**
 * A thread reads four columns a quarter of a slab's row apart where they lie along k, so that no two threads meet in a bank: neighbouring
 * columns are put there so.
 */
function positionText(
  { tuning: { tileN }, quads, storesQuads }: ContractionParts,
  side: 'left' | 'right',
  quad: string,
): string {
  const isPlain = side === 'left' || storesQuads;
  if (!quads[side].alongK) return isPlain ? `${quad} * 4` : quad;
  return side === 'right' && storesQuads ? `${quad} % ${tileN / 4} * 4 + ${quad} / ${tileN / 4}` : quad;
}

/** How a slab gets from memory to workgroup memory, by way of registers. */
interface Staging extends Registers {
  /** Registers that hold the next slab while this one is used, and where a thread's part of it lies. */
  readonly declarations: string;
  /** Reads the part at `k_at`. */
  readonly fetch: string;
  /** Puts it into a half of the workgroup memory. */
  readonly store: (half: string) => string;
}

/** Registers `next_0`, … that are in use; threads from `idleFrom` on use none of them. */
interface Registers {
  readonly count: number;
  readonly idleFrom?: number;
}

/** A thread reads a quad of the slab at a time; those that have nothing else to read first. */
function staging(w: ContractionParts, slab: Slab, others: Registers): Staging {
  const threads = contractionThreads(w.tuning);
  const units = (slab.tile / 4) * w.tuning.tileK;
  const { idleFrom = threads } = others;
  const isShared = idleFrom + units <= threads;
  const [firstLane, firstRegister] = isShared ? [idleFrom, 0] : [0, others.count];
  const parts = Array.from({ length: Math.ceil(units / threads) }, (_, i) =>
    stagingPart(w, slab, {
      name: `${slab.letter}_${i}`,
      firstLane: firstLane - i * threads,
      units: units - i * threads < threads ? units : undefined,
      register: `next_${firstRegister + i}`,
    }),
  );
  const count = Math.max(others.count, firstRegister + parts.length);
  const added = Array.from({ length: count - others.count }, (_, i) => `var next_${others.count + i} = vec4<f32>();`);
  return {
    declarations: [...parts.map((part) => part.place), ...added].join('\n'),
    fetch: parts.map((part) => part.fetch).join('\n'),
    store: (half) => parts.map((part) => part.store(half)).join('\n'),
    count,
    ...(firstLane + units < threads ? { idleFrom: firstLane + units } : {}),
  };
}

/** Unit `lane - firstLane` of a slab for each thread; `units` of them, where some threads have none. */
interface Part {
  readonly name: string;
  readonly firstLane: number;
  readonly units: number | undefined;
  readonly register: string;
}

function stagingPart(
  w: ContractionParts,
  { side, tile, start, size, positionOf, quad, alongTile, function: quadFunction }: Slab,
  { name, firstLane, units, register }: Part,
): Pick<Staging, 'fetch' | 'store'> & { readonly place: string } {
  const { alongK, load } = quad;
  const unit = firstLane === 0 ? 'lane' : `(${plus('lane', -firstLane)})`;
  const [positions, steps] = alongK ? [tile, w.tuning.tileK / 4] : [tile / 4, w.tuning.tileK];
  const [quadAt, kAt] =
    alongTile && !alongK
      ? [`${unit} % ${positions}`, `${unit} / ${positions}`]
      : [`${unit} / ${steps}`, `${unit} % ${steps}`];
  const position = `${start} + ${positionOf(`quad_${name}`)}`;
  const inTile = alongK
    ? inside(position, 0, size, tile)
    : load === undefined
      ? position
      : quadInside(position, 0, size, tile);
  const k = `k_at + k_${name}${alongK ? ' * 4' : ''}`;
  const read = `${register} = ${quadFunction}(batch, ${inTile}, ${k});`;
  const readInRange = wgsl`
    if (${k} < k_to) {
      ${read}
    } else {
      ${register} = vec4<f32>();
    }
  `;
  const guards = units === undefined ? [] : [`${unit} < ${units}`];
  return {
    place: `let quad_${name} = i32(${quadAt});\nlet k_${name} = i32(${kAt});`,
    fetch: guarded(guards, kIsExact(w) ? read : readInRange),
    store: (half) =>
      guarded(guards, `scratch[${place(w, side, { half, row: `k_${name}`, quad: `quad_${name}` })}] = ${register};`),
  };
}

/** Whether the operand's first load is contiguous along its own axes rather than along k. */
function isContiguous(operand: Expression, own: readonly number[], k: readonly number[]): boolean {
  const first = loads(operand).find((l) => l.indices.length > 0);
  const flat = first?.indices[0];
  if (flat?.kind !== 'affine') return true;
  return leastStep(flat, own) <= leastStep(flat, k);
}
