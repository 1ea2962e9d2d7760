/**
 * Cuts a program into kernels: which tensors are computed in one dispatch, in which family. Program → kernels in order.
 *
 * One pass in the program's order. A tensor joins an earlier kernel where it can, else it opens one:
 *
 *   pointwise of a finished contraction's element      → that contraction's epilogue
 *   reductions and maps over rows within its tiles     → the same (`epilogue.ts`)
 *   reductions and maps over the same rows             → one row kernel
 *   anything of the same shape, read at its own element → one loop kernel
 *   sum of products with enough to share               → a contraction of its own
 *   all else                                           → a loop kernel
 *
 * A tensor may join kernel g only if everything it reads is made in kernels up to g, and what g itself makes is read at the
 * very element (loop, epilogue) or row (row) that the joining tensor computes. `Drafts` knows that order; nothing moves later.
 */
import { chainOf } from '../../../kernels/families/contraction/block.ts';
import { holdsRows } from '../../../kernels/families/contraction/rows.ts';
import { contractionShape, contractionSizes, scaleRatio } from '../../../kernels/families/contraction/shape.ts';
import { type ContractionTuning, worthTiling } from '../../../kernels/families/contraction/tuning.ts';
import { loopSlices } from '../../../kernels/families/loop-slices.ts';
import type { ContractionKernel, Kernel, LoopKernel, Statement } from '../../../kernels/kernel.ts';
import { collapseLoop } from '../../../kernels/parts/collapse.ts';
import { flatIndex } from '../../../kernels/parts/linear.ts';
import { readAsIndex } from '../../../kernels/statements.ts';
import type { Target } from '../../../kernels/target.ts';
import { equalAffine } from '../../ir/affine.ts';
import { equationLoads, equationsOf, readTensors, reducedCount, storeAxes } from '../../ir/equation.ts';
import { isPointwise, sameShape } from '../../ir/plain.ts';
import type { Equation, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import type { Remade } from '../memory/remake.ts';
import { Drafts } from './drafts.ts';
import { joiningRows, storedOtherwise } from './epilogue.ts';
import { joiningRow, openingMap, openingRow } from './rows.ts';

/** Sequential work a thread of a shared loop kernel may do in all: more would leave a GPU waiting for its slowest thread. */
const sharedLoopPoints = 4096;

/** Slices of a sum that are worth a kernel of its own, with workgroups of so many threads. */
const leastSlices = 4;
const largeLoop = 256;

export interface GroupOptions {
  readonly target: Target;
  /** No kernel computes more than one tensor: the plain schedule that tests compare with. */
  readonly fuse: boolean;
  /** Every sum of products of two operands is a contraction kernel, however small: tests force the family. */
  readonly contractAll?: boolean;
  /** In which form and tile a contraction will compute. */
  readonly tuningOf: (kernel: ContractionKernel) => ContractionTuning;
}

export function groupKernels({ streams, after }: Remade, options: GroupOptions): Kernel[] {
  const { program } = streams;
  const drafts = new Drafts(program, options.target, after);
  for (const tensor of program.tensors) {
    const { name } = tensor;
    const stream = streams.kernels.get(name);
    if (stream !== undefined) drafts.openAll(stream);
    else if (streams.hidden.has(name) || streams.results.has(name)) continue;
    else if (tensor.source.kind === 'computed') place(tensor, drafts, options);
    else drafts.given(tensor);
  }
  return drafts.kernels;
}

function place(tensor: Tensor, drafts: Drafts, options: GroupOptions): void {
  const tiled = equationsOf(tensor).filter((e) => isTiled(e, tensor, drafts, options));
  if (tiled.length > 0) {
    openContractions(tensor, tiled, drafts);
    return;
  }
  const { fuse } = options;
  const isPlaced =
    (fuse && (joinEpilogue(tensor, drafts, options) || joinRow(tensor, drafts, options))) ||
    openRow(tensor, drafts, options) ||
    (fuse && joinLoop(tensor, drafts, options));
  if (!isPlaced) openLoop(tensor, equationsOf(tensor), drafts);
}

function isTiled(equation: Equation, tensor: Tensor, drafts: Drafts, { contractAll }: GroupOptions): boolean {
  if (tensor.dtype !== 'f32') return false;
  const layouts = (name: string) => ({ shape: drafts.shapeOf(name), dtype: 'f32' as const, slot: name });
  const shape = contractionShape(equation, layouts, tensor.shape);
  if (shape === undefined || !(contractAll || worthTiling(shape))) return false;
  return drafts.isBindable([equation], tensor);
}

/** Whether an equation stores to every element, its store map being injective. */
function storesWhole(equation: Equation, shape: readonly number[]): boolean {
  return elementCount(storeAxes(equation).map((axis) => equation.axes[axis].extent)) === elementCount(shape);
}

function statementOf(tensor: Tensor): Statement {
  return { tensor: tensor.name, equations: equationsOf(tensor), stored: true };
}

function openLoop(tensor: Tensor, equations: readonly Equation[], drafts: Drafts): void {
  const statement = { tensor: tensor.name, equations, stored: true };
  drafts.open({ family: 'loop', shape: tensor.shape, statements: [statement] }, tensor.name);
}

/**
 * Products of the same elements are one kernel, and kernels come in the order in which what they read is there, after one that writes every
 * element: they add to it. The pointwise rest goes with the first that need not wait for it.
 *
 *   x = W·v + g·s + K·k, of which v is made before s, s before k   →   x = W·v   │   x += K·k + g·s      the first need not wait for s
 */
function openContractions(tensor: Tensor, tiled: readonly Equation[], drafts: Drafts): void {
  const rest = equationsOf(tensor).filter((e) => !tiled.includes(e));
  const isCovering = ([equation]: SameTiles): boolean => storesWhole(equation, tensor.shape);
  const kernels = productsTogether(tiled, tensor, drafts).sort((a, b) => drafts.madeBy(a) - drafts.madeBy(b));
  const first = kernels.find(isCovering);
  const order = first === undefined ? kernels : [first, ...kernels.filter((products) => products !== first)];
  const takers = rest.every((e) => isPointwise(e, tensor.shape))
    ? order.filter((products) => isCovering(products) && drafts.isBindable([...products, ...rest], tensor))
    : [];
  const taker = takers.find((products) => drafts.madeBy(products) >= drafts.madeBy(rest)) ?? takers.at(-1);
  const begun = taker === undefined && (rest.length > 0 || first === undefined);
  if (begun) openLoop(tensor, rest, drafts);
  for (const [i, taken] of order.entries()) {
    const [equation, ...products] = taken;
    drafts.open(
      {
        family: 'contraction',
        tensor: tensor.name,
        equation,
        products,
        addends: taken === taker ? rest : [],
        accumulate: begun || i > 0,
        stored: true,
        epilogue: [],
      },
      tensor.name,
    );
  }
}

type SameTiles = [Equation, ...Equation[]];

function productsTogether(equations: readonly Equation[], tensor: Tensor, drafts: Drafts): SameTiles[] {
  const shapes = (name: string) => ({ shape: drafts.shapeOf(name) });
  const shapeOf = (equation: Equation) => contractionShape(equation, shapes, tensor.shape)!;
  const kernels: SameTiles[] = [];
  for (const equation of equations) {
    const fitting = kernels.find((others) => {
      const all = [...others, equation].map(shapeOf);
      const k = all.reduce((total, shape) => total + contractionSizes(shape).k, 0);
      const isOneTiling = scaleRatio(all[0], all.at(-1)!) !== undefined;
      return isOneTiling && k <= chainOf(k) && drafts.isBindable([...others, equation], tensor);
    });
    if (fitting) fitting.push(equation);
    else kernels.push([equation]);
  }
  return kernels;
}

/** Every load of a tensor in `made` reads the element that the equation stores to. */
function readsOwnElement(
  equation: Equation,
  shape: readonly number[],
  made: ReadonlySet<string>,
  drafts: Drafts,
): boolean {
  const store = flatIndex(shape, equation.store);
  if (readAsIndex(equation).some((name) => made.has(name))) return false;
  return equationLoads(equation)
    .filter((l) => made.has(l.tensor))
    .every((l) => {
      const from = drafts.shapeOf(l.tensor);
      const flat = flatIndex(from, l.indices);
      const isSame = store !== undefined && flat !== undefined && equalAffine(flat, store);
      return isSame && elementCount(from) === elementCount(shape);
    });
}

function joinEpilogue(tensor: Tensor, drafts: Drafts, options: GroupOptions): boolean {
  if (tensor.dtype !== 'f32') return false;
  const equations = equationsOf(tensor);
  const ready = drafts.readyAt(tensor);
  for (const index of drafts.kernelsRead(equations)) {
    if (index < ready) break;
    const kernel = drafts.kernels[index];
    if (kernel.family !== 'contraction' || drafts.madeIn(kernel.tensor) !== index) continue;
    if (!storesWhole(kernel.equation, drafts.shapeOf(kernel.tensor)) || !drafts.fitsIn(kernel, tensor)) continue;
    const joined = withPointwise(kernel, tensor, drafts) ?? withRows(kernel, tensor, drafts, options);
    if (joined === undefined) continue;
    drafts.replace(index, joined, tensor.name);
    return true;
  }
  return false;
}

/** The contraction with a tensor in its epilogue that is made of its finished elements one by one. */
function withPointwise(kernel: ContractionKernel, tensor: Tensor, drafts: Drafts): ContractionKernel | undefined {
  const { shape } = tensor;
  const equations = equationsOf(tensor);
  const made = new Set([kernel.tensor, ...kernel.epilogue.map((s) => s.tensor)]);
  if (!sameShape(drafts.shapeOf(kernel.tensor), shape) || !equations.every((e) => isPointwise(e, shape)))
    return undefined;
  if (!equations.every((e) => readsOwnElement(e, shape, made, drafts))) return undefined;
  const turned = storedOtherwise(kernel, (name) => drafts.shapeOf(name));
  if (equations.flatMap(readTensors).some((name) => turned.has(name))) return undefined;
  return { ...kernel, epilogue: [...kernel.epilogue, statementOf(tensor)] };
}

/** The same with a tensor that is made of rows, where the contraction's tile holds them whole. */
function withRows(
  kernel: ContractionKernel,
  tensor: Tensor,
  drafts: Drafts,
  { target, tuningOf }: GroupOptions,
): ContractionKernel | undefined {
  const joining = joiningRows(kernel, tensor, (name) => drafts.shapeOf(name));
  if (joining === undefined) return undefined;
  const { statement, rowLength } = joining;
  const shapes = (name: string) => ({ shape: drafts.shapeOf(name) });
  const shape = contractionShape(kernel.equation, shapes, drafts.shapeOf(kernel.tensor))!;
  const joined = { ...kernel, epilogue: [...kernel.epilogue, statement], rowLength };
  return holdsRows(shape, tuningOf(joined), rowLength, target) ? joined : undefined;
}

function openRow(tensor: Tensor, drafts: Drafts, { target, fuse }: GroupOptions): boolean {
  const statement = openingRow(tensor, (name) => drafts.shapeOf(name), target);
  if (!statement) return false;
  const ready = drafts.readyAt(tensor);
  for (const index of fuse ? drafts.kernelsRead(equationsOf(tensor)) : []) {
    const kernel = drafts.kernels[index];
    if (index < ready || kernel.family !== 'loop' || !drafts.fitsIn(kernel, tensor)) continue;
    const joint = openingMap(kernel, statement, target);
    if (joint === undefined) continue;
    drafts.replace(index, joint, tensor.name);
    return true;
  }
  drafts.open({ family: 'row', rows: tensor.shape, statements: [statement] }, tensor.name);
  return true;
}

function joinRow(tensor: Tensor, drafts: Drafts, { target }: GroupOptions): boolean {
  const first = Math.max(0, drafts.readyAt(tensor));
  for (let index = drafts.kernels.length - 1; index >= first; index--) {
    const kernel = drafts.kernels[index];
    if (kernel.family !== 'row') continue;
    const statement = joiningRow(kernel, tensor, (name) => drafts.shapeOf(name), target);
    if (!statement || !drafts.fitsIn(kernel, tensor)) continue;
    drafts.replace(index, { ...kernel, statements: [...kernel.statements, statement] }, tensor.name);
    return true;
  }
  return false;
}

/** Points that a thread goes through for one element. */
function pointsOf(equations: readonly Equation[]): number {
  return equations.reduce((total, equation) => total + reducedCount(equation), 0);
}

/** Whether threads share a kernel's sum out (loop-slices.ts), which they only do where it is the only one. */
function isShared(kernel: LoopKernel, drafts: Drafts, target: Target): boolean {
  const collapsed = collapseLoop(kernel, (name) => ({ shape: drafts.shapeOf(name) }));
  return loopSlices(collapsed, largeLoop, target) >= leastSlices;
}

function joinLoop(tensor: Tensor, drafts: Drafts, { target }: GroupOptions): boolean {
  const equations = equationsOf(tensor);
  const alone: LoopKernel = { family: 'loop', shape: tensor.shape, statements: [statementOf(tensor)] };
  const first = Math.max(0, drafts.readyAt(tensor));
  for (let index = drafts.kernels.length - 1; index >= first; index--) {
    const kernel = drafts.kernels[index];
    if (kernel.family !== 'loop' || !sameShape(kernel.shape, tensor.shape)) continue;
    const made = new Set(kernel.statements.map((s) => s.tensor));
    if (kernel.statements.some((s) => drafts.madeIn(s.tensor) !== index)) continue;
    if (!equations.every((e) => readsOwnElement(e, tensor.shape, made, drafts))) continue;
    if (!drafts.fitsIn(kernel, tensor)) continue;
    const others = kernel.statements.flatMap((s) => s.equations);
    if (pointsOf([...others, ...equations]) > sharedLoopPoints) continue;
    const readsMade = equations.flatMap(readTensors).some((name) => made.has(name));
    if (!readsMade && [kernel, alone].every((one) => isShared(one, drafts, target))) continue;
    drafts.replace(index, { ...kernel, statements: [...kernel.statements, statementOf(tensor)] }, tensor.name);
    return true;
  }
  return false;
}
