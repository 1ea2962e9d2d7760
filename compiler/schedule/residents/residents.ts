/**
 * Which kernels become stages of a resident one (kernels/families/resident.ts): kernels in an order → the same, with fewer of them.
 *
 *   attention's output, norm │ W1, gelu │ W2, norm │ values    →    one kernel, a workgroup for 32 tokens
 *
 * A kernel joins the one that it must wait for longest if of all that the two share a piece touches only what is its own. It then is
 * made no later than before, for all else that it waits for is there before the first stage.
 *
 * The trap: memory has several names, and a stage that reads by another name what a stage before has made is not told to.
 */
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import type { Kernel, Layouts, ResidentStage } from '../../../kernels/kernel.ts';
import { kernelsText } from '../../../kernels/same-code.ts';
import { kernelParts, kernelReads } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import type { Program } from '../../ir/program.ts';
import type { Chooser } from '../choose.ts';
import { type KernelGraph, kernelGraph, memoryCells } from '../dispatches/kernel-graph.ts';
import { stepsAfter, stepsBefore } from '../dispatches/latest.ts';
import { bufferNames } from '../place.ts';
import { isWorkspace, workspaceCount } from '../workspaces.ts';
import { staysInPieces } from './pieces.ts';
import { type Cut, type Cutter, createCutter, isOfTiles, isStageable, type Stageable } from './stages.ts';
import { isWorth, mostPieces } from './worth.ts';

/** Rows of a piece and threads of its workgroup, whatever it takes: tests force them on small ragged shapes. */
export interface ForcedPieces {
  readonly rows: number;
  readonly workgroupSize: number;
}

/** `auto`: on a GPU, where it takes less time. */
export type Residents = 'auto' | 'never' | ForcedPieces;

export interface ResidentOptions {
  readonly residents: Residents;
  readonly target: Target;
  readonly layouts: Layouts;
  readonly chooser: Chooser;
  readonly inPlace: ReadonlyMap<string, string>;
  readonly after: ReadonlyMap<string, string>;
}

/** Invocations of a workgroup. */
const threads = 256;
/** Rows of a piece that are tried. */
const pieceRows = [64, 32, 16] as const;
/** Pieces that leave hardly a multiprocessor with fewer than it takes at once. */
const enoughPieces = 0.75 * mostPieces;

/** Kernels that are one by now, with their cuts once they are more than one. */
interface Unit {
  readonly members: { readonly kernel: Kernel; readonly index: number }[];
  /** Kernels that must be done before, one after another. */
  readonly level: number;
  cuts: readonly Cut[];
}

export function withResidents(program: Program, kernels: readonly Kernel[], options: ResidentOptions): Kernel[] {
  const { residents, target, layouts, inPlace, after } = options;
  if (residents === 'never' || (residents === 'auto' && target.class !== 'gpu')) return [...kernels];
  const workgroupSize =
    residents === 'auto' ? Math.min(threads, target.limits.maxComputeInvocationsPerWorkgroup) : residents.workgroupSize;
  const cutter = createCutter(workgroupSize, layouts, target);
  const mayShare = sharesOwnNames(program, options);
  const graph = kernelGraph(program, kernels, inPlace, after);
  const sharing = sharingOf(graph);
  const unitOf: Unit[] = [];
  for (const [index, kernel] of kernels.entries()) {
    const before = [...new Set(graph[index].map((other) => unitOf[other]))].sort((a, b) => b.level - a.level);
    const [last, next] = before;
    const isAlone = last !== undefined && (next === undefined || next.level < last.level);
    const all = isAlone ? [...last.members.map((member) => member.kernel), kernel] : [];
    const cuts =
      isAlone && all.every(isStageable) && mayShare(all)
        ? joined(all, last.cuts, sharing[index], cutter, options)
        : undefined;
    if (cuts === undefined) {
      unitOf.push({ members: [{ kernel, index }], level: (last?.level ?? -1) + 1, cuts: [] });
      continue;
    }
    last.members.push({ kernel, index });
    last.cuts = cuts;
    unitOf.push(last);
  }
  const units = [...new Set(unitOf)];
  if (units.length === kernels.length) return [...kernels];
  units.sort((a, b) => a.level - b.level || a.members[0].index - b.members[0].index);
  return units.map((unit) => kernelOf(unit, workgroupSize));
}

function kernelOf({ members, cuts }: Unit, workgroupSize: number): Kernel {
  if (members.length === 1) return members[0].kernel;
  const [first, ...others] = members.map(({ kernel }, s): ResidentStage => {
    const { outer, inner, tuning } = cuts[s];
    return { kernel: inTiles(kernel as Stageable, tuning), outer, inner };
  });
  return { family: 'resident', pieces: cuts[0].pieces, workgroupSize, stages: [first, ...others] };
}

function inTiles(kernel: Stageable, tuning: ContractionTuning | undefined): Stageable {
  if (kernel.family === 'row' || tuning === undefined) return kernel;
  return { ...kernel, choice: { key: kernel.choice!.key, tuning } };
}

/**
 * For each kernel how many have as long a way behind them and still to go, itself included: they share a dispatch, which is saved where all of
 * them join. What has a shorter way finds room elsewhere.
 */
function sharingOf(graph: KernelGraph): readonly number[] {
  const [before, after] = [stepsBefore(graph), stepsAfter(graph)];
  const keys = graph.map((_, k) => `${before[k]} ${after[k]}`);
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return keys.map((key) => counts.get(key)!);
}

/**
 * The cuts of all of them, if the last joins the others; these have cuts where they are one already. A dispatch of its own it would share
 * with so many, itself included.
 */
function joined(
  kernels: readonly Stageable[],
  before: readonly Cut[],
  sharing: number,
  cutter: Cutter,
  options: ResidentOptions,
): readonly Cut[] | undefined {
  const { chooser, residents, layouts, target } = options;
  let searched: { readonly found: readonly Cut[] | undefined } | undefined;
  const isChosen = (cuts: readonly Cut[]): boolean =>
    residents !== 'auto' || isWorth(kernels, cuts, sharing, layouts, target);
  const stays = (cuts: readonly Cut[]): boolean => staysInPieces(kernels, cuts, cutter.touchedIn);
  const search = (): readonly Cut[] | undefined => {
    const ways = (): readonly (readonly Cut[])[] =>
      before.length > 0 ? extended(kernels, before, cutter, residents) : begun(kernels, cutter, residents);
    searched ??= { found: bestOf(ways(), isChosen, stays) };
    return searched.found;
  };
  const problem = `resident ${JSON.stringify(before)}\n${kernelsText(kernels, layouts)}`;
  const { tuning: pieces } = chooser.pieces(problem, () => search()?.[0].pieces ?? 1);
  if (pieces === 1) return undefined;
  const cuts = kernels.map((kernel, s) => {
    const known = before[s];
    if (known !== undefined) return known;
    const ruled = (): ContractionTuning => search()![s].tuning!;
    if (!isOfTiles(kernel)) return cutter.cutInOrder(kernel, pieces);
    return cutter.cutInto(kernel, pieces, chooser.contraction(`${s} of ${problem}`, ruled).tuning);
  });
  return cuts.every((cut) => cut !== undefined) ? cuts : undefined;
}

/** The first way that is chosen and stays in its pieces, unless one of a better rank stays too: what is not worth those is not worth fewer. */
function bestOf(
  ways: readonly (readonly Cut[])[],
  isChosen: (cuts: readonly Cut[]) => boolean,
  stays: (cuts: readonly Cut[]) => boolean,
): readonly Cut[] | undefined {
  const found = ways.find((cuts) => isChosen(cuts) && stays(cuts));
  return found && ways.some((cuts) => rankOf(cuts[0]) < rankOf(found[0]) && stays(cuts)) ? undefined : found;
}

/** Ways to cut two kernels into the same number of pieces, the better ones first. */
function begun(kernels: readonly Stageable[], cutter: Cutter, residents: Residents): readonly (readonly Cut[])[] {
  const candidates = triedRows(residents).flatMap((rows) => {
    const cuts = kernels.map((kernel) => cutter.cutsOf(kernel, rows));
    const counts = new Set(cuts.flat().map(({ pieces }) => pieces));
    return [...counts].flatMap((pieces) => {
      const ways = cuts.map((ofKernel) => ofKernel.find((cut) => cut.pieces === pieces));
      return ways.every((way) => way !== undefined) ? [ways] : [];
    });
  });
  return candidates.sort(([a], [b]) => rankOf(a) - rankOf(b) || distance(a) - distance(b));
}

const triedRows = (residents: Residents): readonly number[] =>
  typeof residents === 'object' ? [residents.rows] : pieceRows;

/** Pieces that multiprocessors take at once are better than more, and these than fewer, which leave some idle. */
function rankOf({ pieces }: Cut): number {
  if (pieces < enoughPieces) return 2;
  return pieces <= mostPieces ? 0 : 1;
}

/** Of two cuts of a rank, the larger pieces are better where there are enough. */
const distance = ({ pieces }: Cut): number => (pieces >= enoughPieces ? pieces : -pieces);

/** The way to cut one more kernel as those are that are one already, if there is one. */
function extended(
  kernels: readonly Stageable[],
  before: readonly Cut[],
  cutter: Cutter,
  residents: Residents,
): readonly (readonly Cut[])[] {
  const kernel = kernels.at(-1)!;
  const [{ pieces }] = before;
  const { tuning } = before.find((cut) => cut.tuning !== undefined) ?? {};
  const tried = tuning === undefined ? triedRows(residents) : [tuning.tileM];
  const cut = isOfTiles(kernel)
    ? tried.flatMap((rows) => cutter.cutsOf(kernel, rows)).find((way) => way.pieces === pieces)
    : cutter.cutInOrder(kernel, pieces);
  return cut === undefined ? [] : [[...before, cut]];
}

/**
 * Asks whether stages name what they share as those do that make it, none writes over what is there under another name, and one kernel may
 * bind it all, whichever workspaces its temporaries come to lie in.
 */
function sharesOwnNames(
  program: Program,
  { inPlace, target }: ResidentOptions,
): (kernels: readonly Stageable[]) => boolean {
  const cells = memoryCells(program, inPlace);
  const bufferOf = bufferNames(program, inPlace);
  const allowed = target.limits.maxStorageBuffersPerShaderStage - workspaceCount;
  return (kernels) => {
    const made = kernels.flatMap((kernel) => kernelParts(kernel).map((part) => part.tensor));
    if (made.some((name) => inPlace.has(name))) return false;
    const names = new Set(made);
    const madeCells = new Set(made.flatMap(cells));
    const read = new Set(kernels.flatMap((kernel) => [...kernelReads(kernel)]));
    const isTold = (name: string): boolean => names.has(name) || cells(name).every((cell) => !madeCells.has(cell));
    const buffers = new Set([...names, ...read].map(bufferOf).filter((name) => !isWorkspace(name)));
    return buffers.size <= allowed && [...read].every(isTold);
  };
}
