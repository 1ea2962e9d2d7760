/**
 * Which tensors of a space are better stored: bytes that memory need not move and hold, against products that are made again in each
 * kernel that reads them, on a device that must be kept at work.
 */
import { asProduct, streamAxes } from '../../../kernels/families/stream/shape.ts';
import type { Target } from '../../../kernels/target.ts';
import { equationsOf, readTensors, storeAxes, tensorMap } from '../../ir/equation.ts';
import { loads } from '../../ir/expression.ts';
import { pointsInDomain } from '../../ir/points.ts';
import type { Equation, Program, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { wholeAxes } from '../../passes/for-streams/block-axes.ts';
import type { StoredTiles } from '../../passes/for-streams/tiles-of-stored.ts';
import { type Counted, draftKernels } from './drafts.ts';
import { partResults } from './parts.ts';
import { hiddenBelow, inKernel, isContracted, noAxis, type Result, type Space, tileClasses } from './space.ts';

/** Multiply-adds of a stream, and bytes, a second, on the device that the rates were measured on (an H100). */
const multiplyAddsPerS = 12e12;
const bytesPerS = 2.2e12;
/** What memory that is not needed is worth, against time. */
const preference = 2;
/** Tiles of rows, of `tileRows`, that keep at least half of such a device at work. */
const leastTiles = 66;
const tileRows = 64;
/** Rows, and points of a walk, that fill a tile at least half. */
const leastSide = 16;
/** Rows and walk that no tile of a contraction holds whole, with what is made of them. */
const leastRead = 256;
/** Longer rows of a sum are better made by a contraction, of all that is summed at once. */
const mostColumns = 64;
/** Hiding what is no larger than what it is made of saves nothing. */
const leastGrowth = 1.5;

/** The tensors of a space that is better stored. */
export function notWorth(space: Space, program: Program, target: Target, counted: Counted): readonly string[] {
  const tensors = tensorMap(program);
  const mayBeStored = [...space.hidden]
    .map((name) => tensors.get(name)!)
    .filter(({ shape }) => 4 * elementCount(shape) <= target.limits.maxStorageBufferBindingSize);
  const starved = starvedBy(space, tensors);
  const isDear = (tensor: Tensor): boolean =>
    target.class === 'cpu' || starved.has(tensor.name) || !gainsFromTiles(tensor, space, tensors);
  // Where nothing is contracted or read, hiding is fusing, which row kernels do as well; what only maps read, an epilogue.
  const isMap = space.results.every((result) => result.isMap);
  if (isMap || ![...space.hidden].some((name) => isMade(tensors.get(name)!)) || mayBeStored.some(isDear))
    return [...space.hidden];
  return mayBeStored.some(takesLonger(space, program, target, counted)) ? [...space.hidden] : [];
}

/** Whether a tile of the tensor is contracted, or read of a stored one (`tilesOfStored`). */
const isMade = (tensor: Tensor): boolean =>
  equationsOf(tensor)
    .map(wholeAxes)
    .some((e) => isContracted(e) || e.value.kind === 'load');

/**
 * Products of a space that are better stored, and read tile by tile by streams that walk along them: scores of many features, whose
 * softmax is not stored then. Who walks across them, or stores as many elements, makes what it reads of them for itself. Undefined where
 * there are none such. Of 64 × 8 heads of 256 × 256 scores and 32 values, softmax and values took 107 µs in place of 86 + 92, the way back 203
 * in place of 187 (H100, test/bench/records/2026-11-28-stored-scores.jsonl).
 */
export function betterRead(
  space: Space,
  program: Program,
  target: Target,
  streaming: 'auto' | 'reading',
): StoredTiles | undefined {
  const tensors = tensorMap(program);
  const { hidden, dimensions } = space;
  const products = [...hidden].filter((name) => contractedIn(tensors.get(name)!).length > 0);
  const stored = products.filter(
    (name) => streaming === 'reading' || !gainsFromTiles(tensors.get(name)!, space, tensors),
  );
  const along = new Set(stored.map((name) => dimensions.get(name)!.findLast((id) => id !== undefined)));
  const walking = space.results.filter(({ isMap, walk }) => !isMap && along.has(walk));
  if (stored.length === 0 || along.size !== 1 || walking.length === 0) return undefined;
  const tiles = { stored: new Set(stored), hidden, walkers: new Set(walking.map(({ tensor }) => tensor.name)) };
  if (streaming === 'reading') return tiles;
  const isMixed = walking.some(
    (result) =>
      columnsOf(result) > 1 &&
      result.equations.flatMap(readTensors).some((name) => hidden.has(name) && !tiles.stored.has(name)),
  );
  const isShort = space.pair.some((id) => space.extentOf.get(id)! < leastRead);
  const isWide = walking.some((result) => columnsOf(result) > mostColumns);
  const isStarved = starvedBy(space, tensors).size > 0;
  return target.class === 'cpu' || !isMixed || isShort || isWide || isStarved ? undefined : tiles;
}

/** Elements of a row of a result, the most of its equations. */
const columnsOf = ({ equations, classes }: Result): number =>
  Math.max(
    ...equations.map((e, i) =>
      elementCount(storeAxes(e).flatMap((a) => (classes[i].has(a) ? [] : [e.axes[a].extent]))),
    ),
  );

/** Hidden tensors of results that would leave a device idle. */
function starvedBy(space: Space, tensors: ReadonlyMap<string, Tensor>): ReadonlySet<string> {
  const starved = new Set<string>();
  for (const result of space.results) {
    const batches = elementCount(result.batch.map((id) => space.extentOf.get(id)!));
    if (batches * Math.ceil(space.extentOf.get(result.row)! / tileRows) >= leastTiles) continue;
    for (const name of hiddenBelow(result.equations, space, tensors)) starved.add(name);
  }
  return starved;
}

const contractedIn = (tensor: Tensor): readonly Equation[] => equationsOf(tensor).map(wholeAxes).filter(isContracted);

/** Whether a tensor's products fill the tiles of a stream, and are larger than what they are made of; one without products does. */
function gainsFromTiles(tensor: Tensor, space: Space, tensors: ReadonlyMap<string, Tensor>): boolean {
  const contracted = contractedIn(tensor);
  if (contracted.length === 0) return true;
  const isTooSmall = space.pair.some((id) => space.extentOf.get(id)! < leastSide);
  if (isTooSmall || !contracted.every((e) => isProductOfSides(e, tensor, space))) return false;
  const sources = contracted.flatMap((e) => loads(e.value)).filter((l) => !space.hidden.has(l.tensor));
  const largest = Math.max(0, ...sources.map((l) => elementCount(tensors.get(l.tensor)!.shape)));
  return elementCount(tensor.shape) >= leastGrowth * largest;
}

/** Whether making a tensor again wherever a kernel reads it takes longer than storing it. */
function takesLonger(space: Space, program: Program, target: Target, counted: Counted): (tensor: Tensor) => boolean {
  const makers = makersOf(space, program, target, counted);
  // Asked of few spaces, and a drafting of all kernels.
  let atLeast: ReadonlyMap<string, number> | undefined;
  /** Whether it is made twice only because a kernel cannot bind all. */
  const isSplit = (name: string): boolean => {
    atLeast ??= makersOf(space, program, bindingAll(target), counted);
    return (makers.get(name) ?? 1) > (atLeast.get(name) ?? 1);
  };
  const [domain] = space.results.map((r) => r.equations[0]);
  const share = pointsInDomain(domain.axes, domain.domain) / elementCount(domain.axes.map((a) => a.extent));
  return (tensor) => {
    const contracted = contractedIn(tensor);
    if (contracted.length === 0) return false;
    const again = (makers.get(tensor.name) ?? 1) - 1;
    const points = contracted.reduce((n, e) => n + pointsInDomain(e.axes, e.domain), 0);
    const cost = (again * points * (contracted.some((e) => e.domain.length > 0) ? 1 : share)) / multiplyAddsPerS;
    const saved = (4 * elementCount(tensor.shape) * (2 + again)) / bytesPerS;
    // What is split must save time.
    return cost > preference * saved || (cost > saved && isSplit(tensor.name));
  };
}

/** Hidden tensors behind a result that alone would bind more buffers than a kernel may. */
export function unbindable(space: Space, program: Program, target: Target): readonly string[] {
  const tensors = tensorMap(program);
  return space.results.flatMap(({ equations }) => {
    const below = hiddenBelow(equations, space, tensors);
    const all = [...equations, ...[...below].flatMap((name) => equationsOf(tensors.get(name)!))].flatMap(readTensors);
    const bound = new Set(all.filter((name) => !below.has(name))).size + 1;
    if (bound <= target.limits.maxStorageBuffersPerShaderStage) return [];
    return equations.flatMap(readTensors).filter((name) => space.hidden.has(name));
  });
}

/** Whether a contraction has one side of rows and one of the walk; else each element is computed by itself, from memory. */
function isProductOfSides(equation: Equation, tensor: Tensor, space: Space): boolean {
  const others = [...space.extentOf.keys()].filter((id) => !space.pair.includes(id));
  const order = [...others, ...space.pair];
  const own = inKernel(equation, tileClasses(equation, tensor, space), order, space.extentOf);
  return asProduct(own, streamAxes({ batch: others.map(() => noAxis), outer: [] }), space.hidden) !== undefined;
}

const bindingAll = (target: Target): Target => ({
  ...target,
  limits: { ...target.limits, maxStorageBuffersPerShaderStage: Number.POSITIVE_INFINITY },
});

/** How many kernels make each hidden tensor: forward, and backward by rows and by columns, more where one cannot bind all or must wait. */
function makersOf(space: Space, program: Program, target: Target, counted: Counted): ReadonlyMap<string, number> {
  const parted = partResults(program, [space]);
  const tensors = tensorMap(parted.program);
  const counts = new Map<string, number>();
  for (const { statements } of draftKernels(parted.program, parted.spaces, target, counted)) {
    const equations = statements.flatMap((statement) => statement.equations);
    for (const name of hiddenBelow(equations, space, tensors)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}
