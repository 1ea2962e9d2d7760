/**
 * Which tensors of a space are better stored: bytes that memory need not move and hold, against products that are made again in each
 * kernel that reads them, on a device that must be kept at work.
 */
import { asProduct, streamAxes } from '../../../kernels/stream-shape.ts';
import type { Target } from '../../../kernels/target.ts';
import { equationsOf, readTensors, tensorMap } from '../../ir/equation.ts';
import { loads } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import { pointsInDomain } from '../../ir/points.ts';
import type { Equation, Program, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { wholeAxes } from '../../passes/block-axes.ts';
import {
  hiddenBelow,
  inKernel,
  isContracted,
  kernelKey,
  noAxis,
  type Result,
  type Space,
  tileClasses,
} from './space.ts';

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
/** Hiding what is no larger than what it is made of saves nothing. */
const leastGrowth = 1.5;

/** The tensors of a space that is better stored. */
export function notWorth(space: Space, program: Program, target: Target): readonly string[] {
  const tensors = tensorMap(program);
  const kernels = new Map<string, Set<string>>();
  const starved = new Set<string>();
  for (const result of space.results) {
    const batches = elementCount(result.batch.map((id) => space.extentOf.get(id)!));
    const isStarved = batches * Math.ceil(space.extentOf.get(result.row)! / tileRows) < leastTiles;
    for (const name of hiddenBelow(result.equations, space, tensors)) {
      if (isStarved) starved.add(name);
      const known = kernels.get(name) ?? new Set();
      kernels.set(name, known.add(kernelKey(result)));
    }
  }
  for (const results of groupsByKernel(space)) {
    // Where a kernel cannot bind all, what it makes again it makes twice.
    const below = hiddenBelow(
      results.flatMap((r) => r.equations),
      space,
      tensors,
    );
    const read = [...below]
      .flatMap((name) => equationsOf(tensors.get(name)!))
      .concat(results.flatMap((r) => r.equations));
    const bound = new Set([...read.flatMap(readTensors), ...results.map((r) => r.tensor.name)]);
    const count = [...bound].filter((name) => !below.has(name)).length;
    if (count > target.limits.maxStorageBuffersPerShaderStage) for (const name of below) starved.add(name);
  }
  const [domain] = space.results.map((r) => r.equations[0]);
  const share = pointsInDomain(domain.axes, domain.domain) / elementCount(domain.axes.map((a) => a.extent));
  const isTooSmall = space.pair.some((id) => space.extentOf.get(id)! < leastSide);
  const dear = [...space.hidden].filter((name) => {
    const tensor = tensors.get(name)!;
    const bytes = 4 * elementCount(tensor.shape);
    if (bytes > target.limits.maxStorageBufferBindingSize) return false;
    if (target.class === 'cpu' || starved.has(name)) return true;
    const contracted = equationsOf(tensor).map(wholeAxes).filter(isContracted);
    if (contracted.length === 0) return false;
    if (isTooSmall || !contracted.every((e) => isProductOfSides(e, tensor, space))) return true;
    const sources = contracted.flatMap((e) => loads(e.value)).filter((l) => !space.hidden.has(l.tensor));
    const largest = Math.max(0, ...sources.map((l) => elementCount(tensors.get(l.tensor)!.shape)));
    if (elementCount(tensor.shape) < leastGrowth * largest) return true;
    const again = (kernels.get(name)?.size ?? 1) - 1;
    const points = contracted.reduce((n, e) => n + pointsInDomain(e.axes, e.domain), 0);
    const cost = (again * points * (contracted.some((e) => e.domain.length > 0) ? 1 : share)) / multiplyAddsPerS;
    const saved = (bytes * (2 + again)) / bytesPerS;
    return cost > preference * saved;
  });
  // Where scores must be stored, nothing is won by making again what is made from them.
  return dear.length > 0 || !hasContraction(space, tensors) ? [...space.hidden] : [];
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

function groupsByKernel(space: Space): readonly (readonly Result[])[] {
  const groups = new Map<string, Result[]>();
  for (const result of space.results) addTo(groups, kernelKey(result), result);
  return [...groups.values()];
}

function hasContraction(space: Space, tensors: ReadonlyMap<string, Tensor>): boolean {
  return [...space.hidden].some((name) => equationsOf(tensors.get(name)!).map(wholeAxes).some(isContracted));
}
