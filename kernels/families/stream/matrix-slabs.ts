/**
 * What streams on tensor cores stage of the walk: 16 points of an operand as high and low parts in workgroup memory, eight elements of a
 * point a lane, each as many as `2^14` times what they are over the largest power of two below the largest of the subgroup that staged them.
 *
 *   slab   16 points × (high parts of all elements, low parts, one quad against bank conflicts)
 *   turn   a piece of work for each lane: two quads of some slab, read long before they are staged
 */
import { matrixLanes, matrixSize } from '../../target.ts';
import { leastExponent } from '../../wgsl/split-library.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { type StreamCode, sizesOf } from './code.ts';
import { levelNames } from './levels.ts';
import { quadText } from './matrix-operands.ts';
import type { MatrixSide } from './matrix-parts.ts';

/** Scales are such that the exponent of the largest is this: the largest f16 is just below 2^16. */
export const scaledExponent = 14;
/** Elements of a lane's piece of work. */
const perPiece = 8;

/** What is staged of the walk, for all that reads it. */
export interface Slab {
  readonly side: MatrixSide;
  /** First quad in workgroup memory, quads from a point to the next, and to its low parts. */
  readonly start: number;
  readonly pitch: number;
  readonly low: number;
  /** Lanes that share a point. */
  readonly lanes: number;
  /** Of levels: the variable that says how many of its columns count in a tile. */
  readonly counted: string | undefined;
  /** First of the quads that tell the scales of its points, one of each subgroup. */
  readonly scales: number;
}

/** Lanes from `first` on, `count` of them, with the pieces of a slab from number `piece` on. */
interface Share {
  readonly slab: Slab;
  readonly first: number;
  readonly count: number;
  readonly piece: number;
}

export interface Slabs {
  readonly slabs: readonly Slab[];
  /** What each lane reads in a turn is in a variable of that name. */
  readonly turns: readonly { readonly staged: string; readonly shares: readonly Share[] }[];
  /** Quads of workgroup memory. */
  readonly quads: number;
}

/** Quads of a slab and of the scales of its points. */
export const slabQuads = (extent: number): number => matrixSize * ((2 * extent) / perPiece + 1) + matrixSize / 2;

/** `least`: the slabs from number `from` on take so many quads together, for something else lies there later. */
export function openSlabs(
  sides: readonly MatrixSide[],
  w: StreamCode,
  least?: { readonly from: number; readonly quads: number },
): Slabs {
  let quads = 0;
  const { threads } = sizesOf(w.tuning);
  const placed = sides.map((side) => {
    const low = side.extent / perPiece;
    const start = quads;
    quads += matrixSize * (2 * low + 1);
    const counted = side.levels && w.emitter.fresh('counted');
    return { side, start, low, pitch: 2 * low + 1, lanes: 2 ** Math.ceil(Math.log2(low)), counted };
  });
  if (least !== undefined) quads = Math.max(quads, placed[least.from].start + least.quads);
  const slabs = placed.map((slab): Slab => {
    const scales = quads;
    quads += (matrixSize * slab.lanes) / matrixLanes;
    return { ...slab, scales };
  });
  const turns: { staged: string; shares: Share[] }[] = [];
  let room = 0;
  for (const slab of slabs) {
    const pieces = matrixSize * slab.lanes;
    for (let piece = 0; piece < pieces; piece += threads) {
      const count = Math.min(threads, pieces - piece);
      if (room < count) {
        turns.push({ staged: w.emitter.fresh('staged'), shares: [] });
        room = threads;
      }
      turns.at(-1)!.shares.push({ slab, first: threads - room, count, piece });
      room -= count;
    }
  }
  return { slabs, turns, quads };
}

/** Which of a slab's scales that of a lane's quad `quad` of a tile is. */
export const scaleOfQuad = ({ scales, lanes }: Slab, quad: string): string =>
  `scratch[${scales} + ${lanes === 8 ? quad : `(${quad}) / ${8 / lanes}`}].x`;

/** What a lane holds of what is staged next: two quads of it, or, taken apart ahead, their high and low parts and what those are scaled by. */
export const slabVariables = ({ turns }: Slabs, isAhead: boolean): string =>
  turns
    .map(({ staged }) => `var ${staged} = array<vec4<f32>, 2>();${isAhead ? `\nvar ${staged}_scale = 0.0;` : ''}`)
    .join('\n');

/** The same for those lanes that have a share. */
function ofShares(shares: readonly Share[], w: StreamCode, text: (share: Share) => string): string {
  const { threads } = sizesOf(w.tuning);
  return shares
    .map((share) => {
      const { first, count, piece } = share;
      const number = plus('i32(lane)', piece - first);
      const from = first === 0 ? [] : [`lane >= ${first}u`];
      const to = first + count === threads ? [] : [`lane < ${first + count}u`];
      return guardedBlock([...from, ...to], [`let piece = ${number};`, text(share)].join('\n'));
    })
    .join('\n');
}

const guardedBlock = (guards: readonly string[], text: string): string =>
  guards.length === 0 ? `{\n${text}\n}` : guarded(guards, text);

/** A lane's piece of a slab: which point, which octet of elements. */
function inPiece({ lanes, low }: Slab, text: string): string {
  const lines = [`let point = piece / ${lanes};`, `let octet = piece % ${lanes};`];
  return [...lines, lanes === low ? text : guarded([`octet < ${low}`], text)].join('\n');
}

/** Reads what is staged next, from point `from` of the walk on. */
export function fetch({ turns }: Slabs, from: string, w: StreamCode): string {
  return turns
    .map(({ staged, shares }) =>
      ofShares(shares, w, ({ slab }) =>
        inPiece(
          slab,
          wgsl`
            let place = ${from} + point;
            ${staged}[0] = ${quadText(slab.side, w.axes.walk, w, 'place', 'octet * 8')};
            ${staged}[1] = ${quadText(slab.side, w.axes.walk, w, 'place', '(octet * 8 + 4)')};
          `,
        ),
      ),
    )
    .join('\n');
}

/** Which slabs have the same columns that count. */
export const countedKey = ({ levels }: MatrixSide): string =>
  levels === undefined ? '' : JSON.stringify([levels.to, levels.levels.levels]);

/** How many columns of each slab of levels count in the tile at `walk`: all of a workgroup's rows are in the same blocks. */
export function countedColumns({ slabs }: Slabs, walk: string, w: StreamCode): string {
  return slabs
    .filter(({ counted }) => counted !== undefined)
    .map(({ counted, side }) => {
      const { levels, to } = side.levels!;
      return `let ${counted} = min(${levelNames(levels, w).leading}(row_start, ${walk}), ${to});`;
    })
    .join('\n');
}

/** Guards of what matrices from element `16 · k` on add. */
export const whereCounted = ({ counted, side }: Slab, k: number): readonly string[] =>
  counted === undefined || matrixSize * (k + 1) <= side.levels!.levels.levels[0].to
    ? []
    : [`${matrixSize * k} < ${counted}`];

type Turn = Slabs['turns'][number];

/** Of levels, 0 in place of columns that do not count. */
const keepCounted = ({ staged, shares }: Turn, w: StreamCode): string =>
  ofShares(
    shares.filter(({ slab }) => slab.counted !== undefined),
    w,
    ({ slab }) =>
      inPiece(
        slab,
        wgsl`
          let column = vec4<i32>(octet * 8) + vec4<i32>(0, 1, 2, 3);
          ${staged}[0] = select(vec4<f32>(), ${staged}[0], column < vec4<i32>(${slab.counted!}));
          ${staged}[1] = select(vec4<f32>(), ${staged}[1], column + 4 < vec4<i32>(${slab.counted!}));
        `,
      ),
  );

/** High and low parts of what was read, `parts`, by an `exponent` of each subgroup's. */
const takeApart = ({ staged }: Turn): string => wgsl`
  let exponent = max(order_exponent_f32(subgroupMax(largest_order_f32(${staged}[0], ${staged}[1]))), ${leastExponent});
  let parts = split_octet_f16(${staged}[0], ${staged}[1], power_of_two_f32(${scaledExponent} - exponent), zero_bits);
`;

interface Taken {
  readonly high: string;
  readonly low: string;
  readonly scale: string;
}

const put = ({ shares }: Turn, { high, low, scale }: Taken, w: StreamCode): string =>
  ofShares(shares, w, ({ slab }) =>
    [
      `if (lane_in == 0) { scratch[${slab.scales} + piece / ${matrixLanes}] = vec4<f32>(${scale}); }`,
      inPiece(
        slab,
        wgsl`
          let at = ${slab.start} + point * ${slab.pitch} + octet;
          scratch[at] = ${high};
          scratch[at + ${slab.low}] = ${low};
        `,
      ),
    ].join('\n'),
  );

const scaleText = `power_of_two_f32(exponent - ${scaledExponent})`;

/** What was read, as high and low parts, and what each subgroup scaled it by. */
export const stage = ({ turns }: Slabs, w: StreamCode): string =>
  turns
    .map(
      (turn) => wgsl`
        ${keepCounted(turn, w)}
        {
          ${takeApart(turn)}
          ${put(turn, { high: 'parts.high', low: 'parts.low', scale: scaleText }, w)}
        }
      `,
    )
    .join('\n');

/** The same in two steps: what was read is taken apart in its place, and staged later. */
export const splitAhead = ({ turns }: Slabs, w: StreamCode): string =>
  turns
    .map(
      (turn) => wgsl`
        {
          ${keepCounted(turn, w)}
          ${takeApart(turn)}
          ${turn.staged}[0] = parts.high;
          ${turn.staged}[1] = parts.low;
          ${turn.staged}_scale = ${scaleText};
        }
      `,
    )
    .join('\n');

export const stageSplit = ({ turns }: Slabs, w: StreamCode): string =>
  turns
    .map((turn) => {
      const { staged } = turn;
      return put(turn, { high: `${staged}[0]`, low: `${staged}[1]`, scale: `${staged}_scale` }, w);
    })
    .join('\n');
