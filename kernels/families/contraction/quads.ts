/**
 * Ends of tiles that take four neighbouring columns at once: when they can, and what they read of other tensors. A lane then has quads of a
 * tile's columns, neighbouring lanes neighbouring quads (`quadsAcross`), so that a row of the matrix form's tile is of one subgroup.
 *
 * The trap: what is written as quads anywhere in a dispatch must be so everywhere in it (`Emitter.contested`).
 */
import type { Affine } from '../../../compiler/ir/program.ts';
import type { ContractionKernel, EpilogueStatement } from '../../kernel.ts';
import { flatIndex } from '../../parts/linear.ts';
import { runsInQuads } from '../../parts/loads.ts';
import { type KernelPart, kernelParts } from '../../statements.ts';
import { matrixLanes } from '../../target.ts';
import { wgsl } from '../../wgsl/text.ts';
import { type ContractionParts, operandQuads } from './functions.ts';
import type { ContractionShape } from './shape.ts';
import { lanesAcross } from './tuning.ts';

/** Threads side by side in a row of a tile, a quad of columns each, or several: of one subgroup where the epilogue has rows. */
export function quadsAcross({ kernel, tuning }: Pick<ContractionParts, 'kernel' | 'tuning'>): number {
  if (tuning.form === 'tiled') return lanesAcross(tuning);
  const all = tuning.tileN / 4;
  return kernel.rowLength === undefined ? all : Math.min(matrixLanes, all);
}

/** What an end reads of other tensors at the places of its own elements, four neighbours at once: names by tensors, as they are asked for. */
export type QuadReads = Map<string, string>;

/** The name in `reads` of a tensor that comes in quads: where it is given, it need not be read. */
export function givenBy({ emitter }: ContractionParts, reads: QuadReads): (tensor: string) => string | undefined {
  return (tensor) => {
    const isWide = emitter.layout(tensor).dtype === 'f32' && emitter.readsQuad(tensor, '0') !== undefined;
    if (isWide && !reads.has(tensor)) reads.set(tensor, emitter.fresh('read'));
    return reads.get(tensor);
  };
}

interface ReadPlace {
  readonly reads: QuadReads;
  /** The lines that find the output's element, and its name. */
  readonly place: readonly string[];
  readonly element: string;
}

/**
 * `fn read_quad(batch, m, n)`: all that is read so of four neighbours; a function of its own, so that they can be on their way before the sums
 * are there.
 */
export function readQuadFunctions(
  { emitter, functions, names: { batch, m, n } }: ContractionParts,
  { reads, place, element }: ReadPlace,
): string[] {
  if (reads.size === 0) return [];
  const { readQuad, quadReads } = functions;
  return [
    wgsl`
      struct ${quadReads} {
        ${[...reads.values()].map((name) => `${name}: vec4<f32>,`).join('\n')}
      }
    `,
    wgsl`
      fn ${readQuad}(${batch}: i32, ${m}: i32, ${n}: i32) -> ${quadReads} {
        ${place.join('\n')}
        return ${quadReads}(${[...reads.keys()].map((tensor) => emitter.readsQuad(tensor, element)).join(', ')});
      }
    `,
  ];
}

/** What is asked before the parts of a kernel are there. */
type Finished = Pick<ContractionParts, 'kernel' | 's' | 'emitter' | 'tuning' | 'sizes'>;

/**
 * Whether four neighbouring columns are one quad of memory in all that a tile stores of elements, and nothing in the dispatch takes what lies
 * there one by one. On an H200 8192×2048×512 takes 239 µs so in the matrix form, 248 otherwise; with gelu and an addend 282 and 300
 * (test/bench/records/2026-11-27-matrix.jsonl). Of rows all columns that a lane has must be of one. `products`: all of the kernel's.
 */
export function canStoreQuads(w: Finished, products: readonly ContractionShape[]): boolean {
  const { kernel, s, emitter, tuning } = w;
  if (tuning.form !== 'matrix' && !(tuning.form === 'tiled' && multipliesNeighbours(w, products))) return false;
  if (kernel.rowLength !== undefined && !hasRowsOfQuads(w)) return false;
  const { axes } = s.equation;
  const store = s.equation.store[0] as Affine;
  const column = s.n.at(-1);
  if (column === undefined || axes[column].extent % 4 !== 0 || !runsInQuads(store, column, axes)) return false;
  const isStoredInQuads = (part: StoredPart): boolean =>
    (part.inRows === undefined || runsInOwnQuads(w, part)) && emitter.writesQuad(part.tensor, '0') !== undefined;
  return storedParts(kernel).every((part) => isOfRow(part) || isStoredInQuads(part));
}

/**
 * Whether threads of the tiled form do as well with neighbouring columns, which they have of what they multiply: the right operands come in
 * quads. Where columns are so few that a thread had one of them, fewer threads would have any: 512 × (64×8×64) took 16.4 µs so, 14.2 otherwise
 * (test/bench/records/2026-11-28-small-2.jsonl).
 */
function multipliesNeighbours({ emitter, tuning, sizes }: Finished, products: readonly ContractionShape[]): boolean {
  if (sizes.n <= tuning.tileN / 4) return false;
  const layouts = (tensor: string) => emitter.layout(tensor);
  return products.every((s) => operandQuads(s, tuning, layouts, true).right.load !== undefined);
}

/** A tensor that the kernel stores: an element for each of its sums, or for each row of them. */
export type StoredPart = KernelPart & Pick<EpilogueStatement, 'inRows'>;

export function storedParts(kernel: ContractionKernel): readonly StoredPart[] {
  return kernelParts(kernel).filter(({ stored }) => stored);
}

export function isOfRow({ inRows }: StoredPart): boolean {
  return inRows !== undefined && inRows.kind !== 'element';
}

/** Whether the lanes that share a row have four neighbours of it each, and a power of two of them tell each other. */
function hasRowsOfQuads(w: Finished): boolean {
  const { kernel, sizes, tuning } = w;
  const length = kernel.rowLength!;
  const covered = 4 * quadsAcross(w);
  const isAligned =
    length % 4 === 0 && (covered % length === 0 || (length % covered === 0 && tuning.tileN % length === 0));
  return isPowerOfTwo(quadsAcross(w)) && (sizes.n === length || (isAligned && isPowerOfTwo(Math.min(length, covered))));
}

/** Whether a statement of rows, whose axes are digits of the element's number, stores four neighbours in one quad. */
function runsInOwnQuads({ emitter }: Finished, { tensor, equations: [equation], inRows }: StoredPart): boolean {
  const own = inRows!.steps.indexOf(1);
  const flat = flatIndex(emitter.layout(tensor).shape, equation.store);
  if (own < 0 || flat === undefined || equation.axes[own].extent % 4 !== 0) return false;
  return runsInQuads(flat, own, equation.axes);
}

export const isPowerOfTwo = (count: number): boolean => Number.isInteger(Math.log2(count));
