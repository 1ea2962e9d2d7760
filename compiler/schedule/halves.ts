/**
 * What is given to a program and many tiles of products on tensor cores read is taken apart into f16 once, in memory, and not by every tile
 * (kernels/parts/halves.ts): kernels → kernels that read it so, behind those that make it.
 *
 *   y = Σ W·x,  ∂x = Σ W·∂y   →   W~largest = max |W|,  W~halves = W,   y = Σ W~halves·x,  ∂x = Σ W~halves·∂y
 *
 * It comes last, when it is known which products are made on tensor cores. All else, an update or a norm, reads the tensor as it was.
 */
import { operandQuads } from '../../kernels/families/contraction/functions.ts';
import {
  type ContractionShape,
  contractionSizes,
  productShapes,
  scaleRatio,
  tileCount,
} from '../../kernels/families/contraction/shape.ts';
import type { ContractionTuning } from '../../kernels/families/contraction/tuning.ts';
import type {
  ContractionKernel,
  HalvesStatement,
  Kernel,
  Layouts,
  ResidentStage,
  RowStatement,
} from '../../kernels/kernel.ts';
import { octet } from '../../kernels/parts/halves.ts';
import { runsIn } from '../../kernels/parts/loads.ts';
import type { Target } from '../../kernels/target.ts';
import { affine, axisIndex } from '../ir/affine.ts';
import { equationsOf, tensorMap, viewBase } from '../ir/equation.ts';
import { constant, load, loads, rewriteExpression, select, unary } from '../ir/expression.ts';
import { addTo } from '../ir/lists.ts';
import { type Equation, elementCount, type Program, type Tensor } from '../ir/program.ts';
import { largestF32 } from '../ir/scalar.ts';
import { copyOf } from '../passes/for-kernels/explicit-copies.ts';
import { freshName } from '../passes/names.ts';
import { type Chooser, layoutsOf, withChoices } from './choose.ts';

/**
 * So many times an element must be read by tiles. To take it apart once more takes 0.24 ps of an H100's time, to take it apart beforehand 4, and
 * about 2 to look for the largest: 19.5 million weights of lm low_rank 1024 512, read 128 times, 0.57 ms and 0.12
 * (test/bench/records/2026-11-28-weights-2.jsonl).
 */
const leastReads = 32;

/** The largest magnitude is looked for in so many stretches of a tensor at most: rows that keep a GPU busy, and soon gone through. */
const mostStretches = 2048;

/** Tensors that one kernel looks through, or takes apart: a dispatch takes only so many kernels, and a kernel so many bindings. */
const mostTogether = 4;

/** A kernel's operand that is given: the tensors of one side, one for each of its products. */
interface GivenSide {
  readonly kernel: ContractionKernel;
  readonly tensors: readonly string[];
  /** Elements of each that tiles read. */
  readonly read: readonly number[];
}

/** Whether tensors that are given are taken apart beforehand: `auto`, where it takes less time. */
export type Halves = 'auto' | 'never' | 'always';

export interface HalvesOptions {
  readonly halves: Halves;
  readonly target: Target;
  readonly chooser: Chooser;
}

export function withHalves(
  program: Program,
  kernels: readonly Kernel[],
  { halves, target, chooser }: HalvesOptions,
): { readonly program: Program; readonly kernels: readonly Kernel[] } {
  if (halves === 'never') return { program, kernels };
  const tensors = tensorMap(program);
  const layouts = layoutsOf(program);
  const isGiven = (name: string): boolean => {
    const { source } = tensors.get(viewBase(name, tensors))!;
    return source.kind === 'input' || source.kind === 'param';
  };
  const sides = kernels.flatMap(contractionsOf).flatMap((kernel) => givenSide(kernel, layouts, isGiven) ?? []);
  const reads = new Map<string, number>();
  for (const { tensors: names, read } of sides)
    for (const [i, name] of names.entries()) reads.set(name, (reads.get(name) ?? 0) + read[i]);
  const least = halves === 'always' ? 0 : leastReads;
  const isWorth = (name: string): boolean => reads.get(name)! >= least * elementCount(tensors.get(name)!.shape);
  const sideOf = new Map(sides.filter((side) => side.tensors.every(isWorth)).map((side) => [side.kernel, side]));
  if (sideOf.size === 0) return { program, kernels };
  const wanted = [...new Set([...sideOf.values()].flatMap((side) => side.tensors))];
  const taken = new Set(tensors.keys());
  const made = new Map(wanted.map((name) => [name, halvesOf(tensors.get(name)!, taken)]));
  const all = program.tensors.flatMap((t) => [t, ...(made.get(t.name)?.tensors ?? [])]);
  const ready: Program = { ...program, tensors: all };
  const shapes = new Map(all.map(({ name, shape }) => [name, shape]));
  const makers = makersOf([...made.values()], (name) => shapes.get(name)!);
  const read = (kernel: ContractionKernel): ContractionKernel => {
    const side = sideOf.get(kernel);
    return side === undefined ? kernel : readingHalves(kernel, side, (name) => made.get(name)!.take.tensor);
  };
  const others = kernels.map((kernel) => eachContraction(kernel, read));
  return { program: ready, kernels: [...withChoices(makers, layoutsOf(ready), chooser, target), ...others] };
}

function contractionsOf(kernel: Kernel): readonly ContractionKernel[] {
  if (kernel.family === 'resident') return kernel.stages.flatMap((stage) => contractionsOf(stage.kernel));
  return kernel.family === 'contraction' ? [kernel] : [];
}

function eachContraction(kernel: Kernel, change: (kernel: ContractionKernel) => ContractionKernel): Kernel {
  if (kernel.family === 'contraction') return change(kernel);
  if (kernel.family !== 'resident') return kernel;
  const [first, ...others] = kernel.stages.map((stage) => ({
    ...stage,
    kernel: eachContraction(stage.kernel, change) as ResidentStage['kernel'],
  }));
  return { ...kernel, stages: [first, ...others] };
}

/** The side of a product on tensor cores that is given, in all that goes into its sums, and could be octets. Of two the right one. */
function givenSide(
  kernel: ContractionKernel,
  layouts: Layouts,
  isGiven: (tensor: string) => boolean,
): GivenSide | undefined {
  const { tuning } = kernel.choice!;
  if (tuning.form !== 'matrix') return undefined;
  const equations = [kernel.equation, ...kernel.products];
  const shapes = productShapes(kernel, layouts);
  // A factor that products differ by is put on what is read of the left one.
  const isScaled = shapes.some((s) => scaleRatio(shapes[0], s) !== 1);
  for (const side of isScaled ? (['right'] as const) : (['right', 'left'] as const)) {
    const found = shapes.map((s) => givenOperand(s, side, tuning, layouts));
    const isWhole = equations.every(({ value }, i) => {
      const name = found[i];
      return name !== undefined && isGiven(name) && loads(value).filter((l) => l.tensor === name).length === 1;
    });
    if (!isWhole) continue;
    const tile = side === 'right' ? tuning.tileN : tuning.tileM;
    const read = shapes.map((s) => {
      const sizes = contractionSizes(s);
      return tileCount(sizes, tuning) * tile * sizes.k;
    });
    return { kernel, tensors: found as string[], read };
  }
  return undefined;
}

/** The tensor that an operand is, where it comes out of memory in octets whatever the tile. */
function givenOperand(
  s: ContractionShape,
  side: 'left' | 'right',
  tuning: ContractionTuning,
  layouts: Layouts,
): string | undefined {
  const { load: wide } = operandQuads(s, tuning, layouts, false)[side];
  if (wide === undefined || s.onLeft.length > 0 || s.onRight.length > 0) return undefined;
  const { axes } = s.equation;
  const isInOctets = runsIn(octet, wide.offset, wide.axis, axes) && axes[wide.axis].extent % octet === 0;
  return isInOctets ? wide.tensor : undefined;
}

function readingHalves(
  kernel: ContractionKernel,
  { tensors }: GivenSide,
  halvesOf: (tensor: string) => string,
): ContractionKernel {
  const [equation, ...products] = [kernel.equation, ...kernel.products].map((e, i): Equation => {
    const value = rewriteExpression(e.value, {
      load: (l) => (l.tensor === tensors[i] ? load(halvesOf(l.tensor), l.indices) : l),
    });
    return { ...e, value };
  });
  return { ...kernel, equation, products };
}

/** A tensor's halves, what is looked for first, and how both are made. */
interface Made {
  readonly tensors: readonly Tensor[];
  readonly look: RowStatement;
  readonly take: HalvesStatement;
}

function halvesOf(tensor: Tensor, taken: Set<string>): Made {
  const largest = largestOf(tensor, freshName(`${tensor.name}~largest`, taken));
  const copy = copyOf(tensor, freshName(`${tensor.name}~halves`, taken));
  const equations = equationsOf(copy);
  return {
    tensors: [largest.tensor, { ...copy, inHalves: true }],
    look: largest.statement,
    take: { tensor: copy.name, equations, stored: true, of: tensor.name, largest: largest.tensor.name },
  };
}

/** Kernels that make them, those of one shape together: what looks for the largest, then what takes apart. */
function makersOf(all: readonly Made[], shapeOf: (tensor: string) => readonly number[]): Kernel[] {
  const byShape = new Map<string, Made[]>();
  for (const made of all) addTo(byShape, shapeOf(made.take.of).join('x'), made);
  const together = [...byShape.values()].flatMap((list) =>
    Array.from({ length: Math.ceil(list.length / mostTogether) }, (_, i) =>
      list.slice(i * mostTogether, (i + 1) * mostTogether),
    ),
  );
  return together.flatMap((list): Kernel[] => {
    const [first, ...others] = list.map(({ take }) => take);
    return [
      { family: 'row', rows: shapeOf(first.largest), statements: list.map(({ look }) => look) },
      { family: 'halves', statements: [first, ...others] },
    ];
  });
}

/** The largest finite magnitude of each stretch of a tensor, as it lies in memory. */
function largestOf(tensor: Tensor, name: string): { readonly tensor: Tensor; readonly statement: RowStatement } {
  const octets = elementCount(tensor.shape) / octet;
  let stretches = Math.min(octets, mostStretches);
  while (octets % stretches !== 0) stretches--;
  const length = elementCount(tensor.shape) / stretches;
  const place = affine(0, [
    { axis: 0, coefficient: length },
    { axis: 1, coefficient: 1 },
  ]);
  const magnitude = unary('abs', load(tensor.name, [place]));
  const equation: Equation = {
    axes: [
      { name: 'stretch', extent: stretches },
      { name: 'element', extent: length },
    ],
    domain: [],
    store: [axisIndex(0)],
    reducer: 'max',
    value: select(
      { kind: 'compare', operator: '<=', left: magnitude, right: constant(largestF32) },
      magnitude,
      constant(0),
    ),
  };
  return {
    tensor: { name, dtype: 'f32', shape: [stretches], source: { kind: 'computed', equations: [equation] } },
    statement: { kind: 'reduce', tensor: name, equation, rowAxes: [0], stored: true },
  };
}
