/**
 * Cuts a program into kernels: which tensors are computed in one dispatch, in which family. Program → kernels in order.
 *
 * One pass in the program's order. A tensor joins an earlier kernel where it can, else it opens one:
 *
 *   pointwise of a finished contraction's element      → that contraction's epilogue
 *   reductions and maps over the same rows             → one row kernel
 *   anything of the same shape, read at its own element → one loop kernel
 *   sum of products with enough to share               → a contraction of its own
 *   all else                                           → a loop kernel
 *
 * A tensor may join kernel g only if everything it reads is made in kernels up to g, and what g itself makes is read at the very
 * element (loop, epilogue) or row (row) that the joining tensor computes. `producedIn` holds that order; nothing moves later.
 */
import { contractionShape } from '../../kernels/contraction-shape.ts';
import { worthTiling } from '../../kernels/contraction-tuning.ts';
import type {
  ContractionKernel,
  Kernel,
  LoopKernel,
  RowKernel,
  RowStatement,
  Statement,
} from '../../kernels/kernel.ts';
import { flatIndex, strides } from '../../kernels/linear.ts';
import { kernelParts, readAsIndex } from '../../kernels/statements.ts';
import type { Target } from '../../kernels/target.ts';
import { add, affine, asAxis, coefficientOf, equalAffine, scale } from '../ir/affine.ts';
import { dependencies, equationsOf, readTensors, reducedAxes, storeAxes, tensorMap } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import type { Affine, Equation, Load, Program, Tensor } from '../ir/program.ts';
import { elementCount } from '../ir/program.ts';
import { fewRows } from './pieces.ts';
import { isPointwise, plainAxes } from './plain.ts';

/** Sequential work a thread of a shared loop kernel may do in all: more would leave a GPU waiting for its slowest thread. */
const sharedLoopPoints = 4096;
/** Points a row that one workgroup may map without keeping the others waiting. */
const longRowMap = 2048;
/** Rows that keep a software device's threads at work. */
const fewRowsOnCpu = 8;
/** Below so many points a row is not worth lanes of its own: a thread an element does as well. */
const leastRowPoints = 2;

export interface GroupOptions {
  readonly target: Target;
  /** No kernel computes more than one tensor: the plain schedule that tests compare with. */
  readonly fuse: boolean;
  /** Every sum of products of two operands is a contraction kernel, however small: tests force the family. */
  readonly contractAll?: boolean;
}

export function groupKernels(program: Program, options: GroupOptions): Kernel[] {
  return new Grouping(program, options).run();
}

/** The state of the one pass; see the file's header. */
class Grouping {
  private readonly kernels: Kernel[] = [];
  private readonly producedIn = new Map<string, number>();
  private readonly tensors: ReadonlyMap<string, Tensor>;
  private readonly buffersAllowed: number;
  private readonly buffers = new WeakMap<Kernel, ReadonlySet<string>>();

  constructor(
    private readonly program: Program,
    private readonly options: GroupOptions,
  ) {
    this.tensors = tensorMap(program);
    this.buffersAllowed = options.target.limits.maxStorageBuffersPerShaderStage;
  }

  run(): Kernel[] {
    for (const tensor of this.program.tensors) {
      if (tensor.source.kind === 'computed') this.place(tensor);
      else this.producedIn.set(tensor.name, this.afterAll(dependencies(tensor)));
    }
    return this.kernels;
  }

  /**
   * A view or concat is there once all its parts are: between two kernels. The kernel that makes the last part cannot read it,
   * since its threads would see each other's half-done work through another name.
   */
  private afterAll(names: readonly string[]): number {
    const last = Math.floor(Math.max(-1, ...names.map((name) => this.madeIn(name))));
    return last < 0 ? -1 : last + 0.5;
  }

  private madeIn(name: string): number {
    return this.producedIn.get(name) ?? -1;
  }

  private shapeOf = (name: string): { shape: readonly number[]; dtype: 'f32'; slot: string } => ({
    shape: this.tensors.get(name)!.shape,
    dtype: 'f32',
    slot: name,
  });

  private place(tensor: Tensor): void {
    const equations = equationsOf(tensor);
    const tiled = equations.filter((e) => this.isTiled(e, tensor));
    if (tiled.length > 0) {
      this.placeContractions(
        tensor,
        tiled,
        equations.filter((e) => !tiled.includes(e)),
      );
      return;
    }
    if (
      this.options.fuse &&
      (this.joinEpilogue(tensor) || this.joinRow(tensor) || this.openRow(tensor) || this.joinLoop(tensor))
    )
      return;
    if (!this.options.fuse && this.openRow(tensor)) return;
    this.open({ family: 'loop', shape: tensor.shape, statements: [this.statement(tensor)] }, tensor.name);
  }

  private open(kernel: Kernel, name: string): void {
    this.kernels.push(kernel);
    this.producedIn.set(name, this.kernels.length - 1);
  }

  private statement(tensor: Tensor): Statement {
    return { tensor: tensor.name, equations: equationsOf(tensor), stored: true };
  }

  private isTiled(equation: Equation, tensor: Tensor): boolean {
    if (tensor.dtype !== 'f32') return false;
    const shape = contractionShape(equation, this.shapeOf, tensor.shape);
    if (shape === undefined || !(this.options.contractAll || worthTiling(shape))) return false;
    return this.buffersOf([equation, tensor.name]) <= this.buffersAllowed;
  }

  private buffersOf(parts: readonly (Equation | string)[]): number {
    return new Set(parts.flatMap((p) => (typeof p === 'string' ? [p] : readTensors(p)))).size;
  }

  /** A contraction that writes every element comes first and takes the pointwise rest with it; others add to it. */
  private placeContractions(tensor: Tensor, tiled: readonly Equation[], rest: readonly Equation[]): void {
    const covering = tiled.find(
      (e) => elementCount(storeAxes(e).map((axis) => e.axes[axis]!.extent)) === elementCount(tensor.shape),
    );
    const addends = rest.filter((e) => isPointwise(e, tensor.shape));
    const together =
      covering !== undefined &&
      addends.length === rest.length &&
      this.buffersOf([covering, ...addends, tensor.name]) <= this.buffersAllowed;
    const order = covering ? [covering, ...tiled.filter((e) => e !== covering)] : tiled;
    if (!together && (rest.length > 0 || !covering)) {
      this.open(
        { family: 'loop', shape: tensor.shape, statements: [{ tensor: tensor.name, equations: rest, stored: true }] },
        tensor.name,
      );
    }
    const begun = !together && (rest.length > 0 || !covering);
    for (const [i, equation] of order.entries()) {
      this.open(
        {
          family: 'contraction',
          tensor: tensor.name,
          equation,
          addends: together && i === 0 ? addends : [],
          accumulate: begun || i > 0,
          stored: true,
          epilogue: [],
        },
        tensor.name,
      );
    }
  }

  /** The kernel by which everything that the equations read is made: they can join none before it. */
  private readyAt(equations: readonly Equation[]): number {
    let last = -1;
    for (const equation of equations)
      for (const name of readTensors(equation)) last = Math.max(last, this.madeIn(name));
    return last;
  }

  private fitsIn(kernel: Kernel, tensor: Tensor): boolean {
    const own = this.buffersIn(kernel);
    const more = new Set([tensor.name, ...equationsOf(tensor).flatMap(readTensors)]);
    return own.size + [...more].filter((name) => !own.has(name)).length <= this.buffersAllowed;
  }

  private buffersIn(kernel: Kernel): ReadonlySet<string> {
    const known = this.buffers.get(kernel);
    if (known !== undefined) return known;
    const found = new Set(kernelParts(kernel).flatMap((p) => [p.tensor, ...p.equations.flatMap(readTensors)]));
    this.buffers.set(kernel, found);
    return found;
  }

  private replace(index: number, kernel: Kernel, name: string): true {
    this.kernels[index] = kernel;
    this.producedIn.set(name, index);
    return true;
  }

  /** Every load of a tensor in `made` reads the element that the equation stores to. */
  private readsOwnElement(equation: Equation, shape: readonly number[], made: ReadonlySet<string>): boolean {
    const store = flatIndex(shape, equation.store);
    if (readAsIndex(equation).some((name) => made.has(name))) return false;
    return loads(equation.value)
      .filter((l) => made.has(l.tensor))
      .every((l) => {
        const from = this.tensors.get(l.tensor)!.shape;
        const flat = flatIndex(from, l.indices);
        return (
          store !== undefined &&
          flat !== undefined &&
          equalAffine(flat, store) &&
          elementCount(from) === elementCount(shape)
        );
      });
  }

  private joinEpilogue(tensor: Tensor): boolean {
    const equations = equationsOf(tensor);
    if (tensor.dtype !== 'f32' || !equations.every((e) => isPointwise(e, tensor.shape))) return false;
    const ready = this.readyAt(equations);
    for (const index of this.kernelsRead(equations)) {
      if (index < ready) break;
      const kernel = this.kernels[index]!;
      if (kernel.family !== 'contraction' || this.madeIn(kernel.tensor) !== index) continue;
      const made = new Set([kernel.tensor, ...kernel.epilogue.map((s) => s.tensor)]);
      if (!sameShape(this.tensors.get(kernel.tensor)!.shape, tensor.shape)) continue;
      if (!this.storesWhole(kernel) || !equations.every((e) => this.readsOwnElement(e, tensor.shape, made))) continue;
      if (!this.fitsIn(kernel, tensor)) continue;
      return this.replace(index, { ...kernel, epilogue: [...kernel.epilogue, this.statement(tensor)] }, tensor.name);
    }
    return false;
  }

  private storesWhole(kernel: ContractionKernel): boolean {
    const { equation, tensor } = kernel;
    return (
      elementCount(storeAxes(equation).map((axis) => equation.axes[axis]!.extent)) ===
      elementCount(this.tensors.get(tensor)!.shape)
    );
  }

  /** Kernels that make what the equations read, latest first. */
  private kernelsRead(equations: readonly Equation[]): number[] {
    const made = equations.flatMap(readTensors).map((name) => this.madeIn(name));
    return [...new Set(made)].filter((index) => index >= 0 && Number.isInteger(index)).sort((a, b) => b - a);
  }

  /** A reduction of a tensor's rows, one element of `tensor` a row. */
  private asReduce(tensor: Tensor): RowStatement | undefined {
    const equations = equationsOf(tensor);
    if (equations.length !== 1 || tensor.dtype !== 'f32') return undefined;
    const [equation] = equations as [Equation];
    const rowAxes = plainAxes(equation, tensor.shape);
    if (!rowAxes || rowAxes.some((axis) => axis === undefined) || hasGather(equation)) return undefined;
    return { kind: 'reduce', tensor: tensor.name, equation, rowAxes: rowAxes as number[], stored: true };
  }

  private openRow(tensor: Tensor): boolean {
    const statement = this.asReduce(tensor);
    if (!statement || tensor.shape.some((extent) => extent === 1 && tensor.shape.length > 1)) return false;
    const { equation } = statement;
    const points = elementCount(reducedAxes(equation).map((axis) => equation.axes[axis]!.extent));
    if (points < leastRowPoints || !this.readsRowsInOrder(statement)) return false;
    this.open({ family: 'row', rows: tensor.shape, statements: [statement] }, tensor.name);
    return true;
  }

  /** Lanes that walk along a row should walk through memory; a reduction down the columns is better one thread a column. */
  private readsRowsInOrder(statement: RowStatement): boolean {
    const { equation, rowAxes } = statement;
    const inner = reducedAxes(equation).filter((axis) => equation.axes[axis]!.extent > 1);
    const rows = rowAxes.filter((axis) => equation.axes[axis]!.extent > 1);
    const flats = loads(equation.value).map((l) => this.flatOf(l));
    const big = flats.filter((a) => inner.some((axis) => coefficientOf(a, axis) !== 0));
    const least = (a: Affine, axes: readonly number[]): number =>
      Math.min(
        Number.POSITIVE_INFINITY,
        ...axes.map((axis) => Math.abs(coefficientOf(a, axis)) || Number.POSITIVE_INFINITY),
      );
    return big.every((a) => least(a, inner) <= least(a, rows));
  }

  private flatOf(l: Load): Affine {
    const stride = strides(this.tensors.get(l.tensor)!.shape);
    return l.indices.reduce<Affine>(
      (a, index, d) => (index.kind === 'affine' ? add(a, scale(index, stride[d]!)) : a),
      affine(0),
    );
  }

  private joinRow(tensor: Tensor): boolean {
    const equations = equationsOf(tensor);
    if (equations.length !== 1 || tensor.dtype !== 'f32' || hasGather(equations[0]!)) return false;
    const [equation] = equations as [Equation];
    const first = Math.max(0, this.readyAt(equations));
    for (let index = this.kernels.length - 1; index >= first; index--) {
      const kernel = this.kernels[index]!;
      if (kernel.family !== 'row') continue;
      const statement = this.asStatementOf(kernel, tensor, equation);
      if (!statement || !this.fitsIn(kernel, tensor)) continue;
      return this.replace(index, { ...kernel, statements: [...kernel.statements, statement] }, tensor.name);
    }
    return false;
  }

  /** The tensor as one more statement of a row kernel, if it keeps to the kernel's rows. */
  private asStatementOf(kernel: RowKernel, tensor: Tensor, equation: Equation): RowStatement | undefined {
    const related = readTensors(equation).some((name) =>
      kernel.statements.some((s) => s.tensor === name || readTensors(s.equation).includes(name)),
    );
    if (!related) return undefined;
    const reduce = this.asReduce(tensor);
    if (reduce && sameShape(tensor.shape, kernel.rows)) {
      const isReduction = reducedAxes(equation).some((axis) => equation.axes[axis]!.extent > 1);
      if (isReduction && !this.readsRowsInOrder(reduce)) return undefined;
      return this.keepsToRows(kernel, reduce) ? reduce : undefined;
    }
    if (!isPointwise(equation, tensor.shape)) return undefined;
    const rowAxes = this.rowAxesOfMap(kernel, equation);
    if (!rowAxes || this.wouldStarve(kernel, tensor)) return undefined;
    const statement: RowStatement = {
      kind: 'map',
      tensor: tensor.name,
      equation,
      rowAxes,
      stored: true,
    };
    return this.keepsToRows(kernel, statement) ? statement : undefined;
  }

  /** A large tensor over a few rows would be left to a few workgroups. */
  private wouldStarve(kernel: RowKernel, tensor: Tensor): boolean {
    const rows = elementCount(kernel.rows);
    const few = this.options.target.class === 'gpu' ? fewRows : fewRowsOnCpu;
    return rows < few && elementCount(tensor.shape) > rows * longRowMap;
  }

  /** The axes of a pointwise equation that are the kernel's rows, as something that the kernel makes is read there. */
  private rowAxesOfMap(kernel: RowKernel, equation: Equation): readonly number[] | undefined {
    for (const l of loads(equation.value)) {
      const maker = kernel.statements.find((s) => s.tensor === l.tensor);
      if (!maker) continue;
      const axes = l.indices.map((i) => (i.kind === 'affine' ? asAxis(i) : undefined));
      const rows = maker.kind === 'reduce' ? axes : rowDimensions(maker).map((d) => (d < 0 ? undefined : axes[d]));
      const fits = rows.every((axis, d) => axis !== undefined && equation.axes[axis]!.extent === kernel.rows[d]);
      if (fits && rows.length === kernel.rows.length && new Set(rows).size === rows.length) return rows as number[];
    }
    return undefined;
  }

  /** What the kernel itself makes is read in the statement's own row only. */
  private keepsToRows(kernel: RowKernel, statement: RowStatement): boolean {
    if (readAsIndex(statement.equation).some((name) => kernel.statements.some((s) => s.tensor === name))) return false;
    return loads(statement.equation.value).every((l) => {
      const maker = kernel.statements.find((s) => s.tensor === l.tensor);
      if (!maker) return true;
      const axes = l.indices.map((i) => (i.kind === 'affine' ? asAxis(i) : undefined));
      if (maker.kind === 'reduce') return axes.every((axis, d) => axis === statement.rowAxes[d]);
      return rowDimensions(maker).every((dimension, d) => dimension >= 0 && axes[dimension] === statement.rowAxes[d]);
    });
  }

  private joinLoop(tensor: Tensor): boolean {
    const equations = equationsOf(tensor);
    const points = (list: readonly Equation[]): number =>
      list.reduce((n, e) => n + elementCount(reducedAxes(e).map((axis) => e.axes[axis]!.extent)), 0);
    const first = Math.max(0, this.readyAt(equations));
    for (let index = this.kernels.length - 1; index >= first; index--) {
      const kernel = this.kernels[index]!;
      if (kernel.family !== 'loop' || !sameShape(kernel.shape, tensor.shape)) continue;
      const made = new Set(kernel.statements.map((s) => s.tensor));
      const last = kernel.statements.every((s) => this.madeIn(s.tensor) === index);
      if (!last || !equations.every((e) => this.readsOwnElement(e, tensor.shape, made)) || !this.fitsIn(kernel, tensor))
        continue;
      if (points(kernel.statements.flatMap((s) => [...s.equations])) + points(equations) > sharedLoopPoints) continue;
      const joined: LoopKernel = { ...kernel, statements: [...kernel.statements, this.statement(tensor)] };
      return this.replace(index, joined, tensor.name);
    }
    return false;
  }
}

/** The dimensions of a map statement's tensor that run over the rows; -1 where there is none. */
function rowDimensions(maker: RowStatement): readonly number[] {
  return maker.rowAxes.map((row) => maker.equation.store.findIndex((i) => i.kind === 'affine' && asAxis(i) === row));
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, d) => extent === b[d]);
}

function hasGather(equation: Equation): boolean {
  return readAsIndex(equation).length > 0;
}
