/**
 * A kernel before it is WGSL: which equations one dispatch computes, and in what form. The scheduler (`compiler/schedule`)
 * makes these, one file a family turns them into code.
 *
 *   loop         one thread an element of the output; reduced axes are loops inside the thread. Takes any equation at all.
 *   row          several reductions and maps over the same rows, one row a workgroup (or a thread).
 *   contraction  sum of products in register tiles, with an epilogue over the finished elements.
 *   stream       rows made by walking along tensors that are computed tile by tile and never stored, such as attention.
 *   resident     contractions and rows that depend on one another only within a piece (some tokens, a sequence and a head), stage by stage.
 *   halves       tensors as two f16 an element, as products on tensor cores want them.
 *
 * In all of them `Statement`s come in the order of computation; a later one may read what an earlier one made, at the same
 * element (loop, contraction epilogue) or in the same row (row, contraction epilogue), without a trip through memory.
 */
import type { Axis, Dtype, Equation, Expression } from '../compiler/ir/program.ts';
import type { ContractionTuning } from './families/contraction/tuning.ts';
import type { RowTuning } from './families/row.ts';
import type { StreamTuning } from './families/stream/tuning.ts';

/** What the scheduler decided, and under which key its table of decisions has it (`compiler/schedule/choose.ts`). */
export interface KernelChoice<T> {
  readonly key: string;
  readonly tuning: T;
}

/** Computes one whole tensor: the sum over `equations`. `stored` is false when nothing outside the kernel reads it. */
export interface Statement {
  readonly tensor: string;
  readonly equations: readonly Equation[];
  readonly stored: boolean;
}

/** One thread an element of a tensor of `shape`; every statement's tensor has this shape. */
export interface LoopKernel {
  readonly family: 'loop';
  readonly shape: readonly number[];
  readonly statements: readonly Statement[];
}

/**
 * One equation over rows and, inside a row, points. `rowAxes[d]` is the equation's axis that runs over row dimension d.
 * `reduce`: the tensor has one element a row. `map`: it has one element a point, stored through the equation's store map.
 */
export interface RowStatement {
  readonly kind: 'reduce' | 'map';
  readonly tensor: string;
  readonly equation: Equation;
  readonly rowAxes: readonly number[];
  readonly stored: boolean;
  /** Of a map: nobody reads its elements outside the equation's domain, so they need not be stored. */
  readonly withinDomain?: boolean;
}

export interface RowKernel {
  readonly family: 'row';
  readonly rows: readonly number[];
  readonly statements: readonly RowStatement[];
  /** By the default rules where it is not said. */
  readonly choice?: KernelChoice<RowTuning>;
}

/**
 * A statement over a contraction's elements. Where `inRows` is not said it is pointwise, of the output's shape. Otherwise its one equation
 * lies over the output by its axes: `steps[a]` elements further for a step of axis a. Rows are `rowLength` elements side by side:
 *
 *   reduce   one value a row, of the row's elements
 *   row      one value a row, of other such values
 *   element  one value an element, of its own element and its row's values
 */
export interface EpilogueStatement extends Statement {
  /** Nobody reads its elements outside the domain, which is that of the contraction too, so they need not be stored. */
  readonly withinDomain?: boolean;
  readonly inRows?: { readonly kind: 'reduce' | 'row' | 'element'; readonly steps: readonly number[] };
}

/**
 * `tensor (+)= Σ a·b`, an equation with a sum reducer whose store map is injective. `accumulate` adds to what the buffer
 * holds. `products` are further such equations whose terms go into the same sums (`scaleRatio`). `addends` are pointwise equations of the same tensor with one axis per dimension, added to each element.
 * `epilogue` are statements that read the finished element, or the row that it is in.
 */
export interface ContractionKernel {
  readonly family: 'contraction';
  readonly tensor: string;
  readonly equation: Equation;
  readonly products: readonly Equation[];
  readonly addends: readonly Equation[];
  readonly accumulate: boolean;
  readonly stored: boolean;
  /** Nobody reads the tensor's elements outside the equation's domain, so they need not be stored. */
  readonly withinDomain?: boolean;
  readonly epilogue: readonly EpilogueStatement[];
  /** Elements of a row, where the epilogue has rows. */
  readonly rowLength?: number;
  /** By the default rules where it is not said. */
  readonly choice?: KernelChoice<ContractionTuning>;
}

/**
 * One tensor of a stream. All its equations begin with the kernel's own axes: `batch`, `outer`, `row`, `walk`; what follows is
 * contracted (tile) or a column of the result (sum).
 *
 *   tile     an element for each point of row and walk, made in registers, never in memory
 *   extreme  the largest or least of a row, of what has been seen of it so far
 *   total    a sum over a row
 *   row      made from what else is known of the row
 *   map      an element for each point of row and walk that is stored
 *   sum      tensor[row, column] = Σ over the walk of (something of row and walk) · (something of walk and column)
 *   across   tensor[walk, column] = Σ over the rows of (something of row and walk) · (something of row and column)
 *
 * What lies across is added up in memory, tile by tile of rows, so that one workgroup takes all rows that add to it (`StreamPieces`).
 * A total or sum that `follows` row tensors holds `exp(… - shift)` of each as a factor: while the shift moves with an extreme, what
 * was added up is rescaled by `exp(old - new)`. `finish` is a factor of a row for its finished sums.
 */
export interface StreamStatement {
  readonly kind: 'tile' | 'extreme' | 'total' | 'row' | 'map' | 'sum' | 'across';
  readonly tensor: string;
  readonly equations: readonly Equation[];
  readonly stored: boolean;
  readonly follows: readonly string[];
  readonly finish?: Expression;
}

/**
 * How the rows of a batch are shared out where a kernel has sums across. Rows come in blocks of `rows`, which go to `count` pieces in turns,
 * back and forth (`families/stream/pieces.ts`); a workgroup takes the blocks of one piece one after another. Of more pieces than one each has
 * a sum of its own: the tensor's first dimension, which its equations leave out.
 */
export interface StreamPieces {
  readonly count: number;
  readonly rows: number;
}

/** A workgroup takes a tile of rows of one batch, or tile after tile of a piece, and walks along `walk` (for each value of `outer`) in tiles. */
export interface StreamKernel {
  readonly family: 'stream';
  readonly batch: readonly Axis[];
  readonly outer: readonly Axis[];
  readonly row: Axis;
  readonly walk: Axis;
  readonly statements: readonly StreamStatement[];
  /** Where there are statements across, and only there; `outer` is empty then. */
  readonly pieces?: StreamPieces;
  readonly choice?: KernelChoice<StreamTuning>;
}

/**
 * A kernel as one stage of several. Its workgroups, as it would have them alone, are numbered by what a piece has of them and by pieces:
 * those of piece p are `(o · pieces + p) · inner + i`, for each o of `outer` and i of `inner`.
 */
export interface ResidentStage {
  readonly kernel: ContractionKernel | RowKernel;
  readonly outer: number;
  readonly inner: number;
}

/**
 * A workgroup takes a piece through all stages, one after another: a stage may read what the ones before have made of the same piece, from
 * memory, and nothing that another piece has of it.
 */
export interface ResidentKernel {
  readonly family: 'resident';
  readonly pieces: number;
  readonly workgroupSize: number;
  readonly stages: readonly [ResidentStage, ...ResidentStage[]];
}

/**
 * `tensor` has the elements of `of`, each taken apart into two f16 (parts/halves.ts), so that products on tensor cores only copy them. `largest`
 * holds the largest magnitudes of stretches of `of`, of which the scale of all of it comes.
 */
export interface HalvesStatement extends Statement {
  readonly of: string;
  readonly largest: string;
}

/** All statements' tensors are of one shape. */
export interface HalvesKernel {
  readonly family: 'halves';
  readonly statements: readonly [HalvesStatement, ...HalvesStatement[]];
}

export type Kernel = LoopKernel | RowKernel | ContractionKernel | StreamKernel | ResidentKernel | HalvesKernel;

/** What code generation must know of a tensor. */
export interface TensorLayout {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
  /** The binding that it lies in. Tensors may lie there side by side, or be the same memory (in-place updates). */
  readonly slot: string;
  /** Its first element in the binding; even for f16. */
  readonly start: number;
  /** Two f16 an element: parts/halves.ts. */
  readonly inHalves?: true;
  /** The binding ends inside four elements: bound as quads it would end before them. */
  readonly cutsQuad?: boolean;
}

export type Layouts = (tensor: string) => TensorLayout;
export type Shapes = (tensor: string) => Pick<TensorLayout, 'shape'>;
export type Arrays = (tensor: string) => Pick<TensorLayout, 'shape' | 'dtype' | 'inHalves'>;

export interface KernelBinding {
  readonly slot: string;
  /** Tensors that the code reads or writes in it. */
  readonly tensors: readonly string[];
  readonly access: 'read' | 'read_write';
  readonly dtype: Dtype;
}

/** WGSL (u32) of the number of a workgroup that does several of a body's side by side. */
export const packNumber = 'pack';

/**
 * What a family writes: a body that stands in a dispatch alone or beside others. `emit.ts` writes `main`, the grid, the
 * declarations and the library around it.
 *
 * `body` is statements that know two u32: `group`, the number of the workgroup among this body's own, and `lane`, the
 * invocation's number in it. It may end early by `return` where no barrier follows. Module-wide names are the emitter's
 * (`Emitter.global`), so that bodies can stand side by side.
 */
export interface KernelBody {
  /** Whole functions that the body calls. */
  readonly functions: readonly string[];
  /** Elements, vec4<f32>, that it needs of the workgroup memory `scratch`. */
  readonly sharedQuads: number;
  readonly workgroupSize: number;
  readonly groups: number;
  /**
   * So many of its workgroups are done side by side by a larger one; 1 where it is not said. Their `lane` is their own, they all meet
   * the same barriers, their part of `scratch` begins at `scratch_from` (i32), and what barriers depend on goes by `packNumber`, not by
   * `group`.
   */
  readonly sideBySide?: number;
  /** Kernels that a workgroup does one after another; 1 where it is not said. */
  readonly stages?: number;
  /** Whether each of its workgroups takes next to nothing, so that they fill what others leave of the device. */
  readonly isBrief?: boolean;
  readonly body: string;
  /** WGSL extensions that it needs. */
  readonly enables: readonly string[];
  readonly tuning: Readonly<Record<string, number | string>>;
  /** Points of the contraction loops that the code runs, padding of tiles not counted; 0 where nothing is contracted. */
  readonly multiplyAdds: number;
}

/** The whole code of a dispatch. */
export interface DispatchCode {
  readonly wgsl: string;
  /** Hash of the code with all names taken out: dispatches of one key can share a pipeline. */
  readonly key: string;
  readonly bindings: readonly KernelBinding[];
  readonly workgroups: readonly [number, number, number];
  readonly tuning: Readonly<Record<string, number | string>>;
  readonly multiplyAdds: number;
}
