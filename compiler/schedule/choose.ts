/**
 * The one table of decisions: in which form and tile a kernel computes, over how many lanes, in how many pieces a long sum is made, or
 * kernels that depend on one another piece by piece. None of them changes what is computed, all of them how fast and in which order it is added up.
 *
 *   a problem (extents, strides, masks, dtypes) and the target ──hash──▶ key ──▶ what the given table says, else the default rules
 *
 * The table is an input of the scheduler: a tuner fills it, a run that goes on pins the one that it began with. What was decided
 * comes back in the plan (`Plan.choices`); given that table the scheduler makes the same plan, whatever the rules have become.
 *
 * The trap: a key must say everything that the rules look at, and no name, so that the layers of a model share their choices.
 */
import { contractionRule } from '../../kernels/families/contraction/matrix-tile-sizes.ts';
import { productShapes } from '../../kernels/families/contraction/shape.ts';
import type { ContractionTuning } from '../../kernels/families/contraction/tuning.ts';
import { defaultRowTuning, type RowTuning } from '../../kernels/families/row.ts';
import { defaultStreamTuning, type StreamTuning } from '../../kernels/families/stream/tuning.ts';
import type { ContractionKernel, Kernel, KernelChoice, Layouts, StreamKernel } from '../../kernels/kernel.ts';
import { flattenLoads } from '../../kernels/parts/linear.ts';
import { spaceTexts } from '../../kernels/same-code.ts';
import type { Target } from '../../kernels/target.ts';
import { tensorMap } from '../ir/equation.ts';
import { equationKey, hashText } from '../ir/hash.ts';
import type { Equation, Program } from '../ir/program.ts';

/** Choices by kind and key: plain data, JSON-able. */
export interface Choices {
  readonly contractions: Readonly<Record<string, ContractionTuning>>;
  readonly rows: Readonly<Record<string, RowTuning>>;
  readonly streams: Readonly<Record<string, StreamTuning>>;
  /**
   * In how many pieces a long sum is made, or kernels are taken one after another by one; 1 is as they stand. Of streams that walk one space both
   * ways in how many one makes the other's sums across; 0 is as they stand.
   */
  readonly pieces: Readonly<Record<string, number>>;
}

/** A tuning for all kernels of a family. */
export interface Override {
  readonly contraction?: ContractionTuning;
  readonly row?: RowTuning;
  readonly stream?: StreamTuning;
}

export interface ChooseOptions {
  readonly target: Target;
  /** What is decided already; other keys in it do no harm. */
  readonly choices?: Partial<Choices>;
  /** Forced on every kernel of a family: tests force each form on small ragged shapes. */
  readonly override?: Override;
}

/** The choice for a problem; the rule is asked where the table does not know it. */
type Decide<T> = (problem: string, byRule: () => T) => KernelChoice<T>;

/** Decides, and keeps what was decided. */
export interface Chooser {
  readonly contraction: Decide<ContractionTuning>;
  readonly row: Decide<RowTuning>;
  readonly stream: Decide<StreamTuning>;
  readonly pieces: Decide<number>;
  /** Everything decided so far. */
  readonly made: () => Choices;
}

export function createChooser({ target, choices = {}, override = {} }: ChooseOptions): Chooser {
  const contractions = decisions(target, choices.contractions, override.contraction);
  const rows = decisions(target, choices.rows, override.row);
  const streams = decisions(target, choices.streams, override.stream);
  const pieces = decisions(target, choices.pieces);
  return {
    contraction: contractions.decide,
    row: rows.decide,
    stream: streams.decide,
    pieces: pieces.decide,
    made: () => ({ contractions: contractions.made, rows: rows.made, streams: streams.made, pieces: pieces.made }),
  };
}

function decisions<T>(target: Target, given: Readonly<Record<string, T>> = {}, forced?: T) {
  const made: Record<string, T> = {};
  const of = targetKey(target);
  const keys = new Map<string, string>();
  const decide: Decide<T> = (problem, byRule) => {
    const key = keys.get(problem) ?? hashText(`${problem}\n${of}`);
    keys.set(problem, key);
    made[key] ??= forced ?? given[key] ?? byRule();
    return { key, tuning: made[key] };
  };
  return { decide, made };
}

/** What the rules look at of a target, and its name, which tells the rest: tiles are measured on a device. */
function targetKey({ name, class: kind, limits, features, subgroupSize }: Target): string {
  return JSON.stringify([name, kind, Object.entries(limits).sort(), [...features].sort(), subgroupSize ?? null]);
}

/** Every kernel with what was decided for it. */
export function withChoices(kernels: readonly Kernel[], layouts: Layouts, chooser: Chooser, target: Target): Kernel[] {
  return kernels.map((kernel): Kernel => {
    switch (kernel.family) {
      case 'loop':
        return kernel;
      case 'row': {
        const statements = kernel.statements.map(
          (s) => `${s.kind} ${s.rowAxes} ${problemOf(s.equation, layouts(s.tensor).shape, layouts)}`,
        );
        const problem = [kernel.rows.join('x'), ...statements].join('\n');
        return { ...kernel, choice: chooser.row(problem, () => defaultRowTuning(kernel, target)) };
      }
      case 'contraction':
        return { ...kernel, choice: contractionChoice(kernel, layouts, chooser, target) };
      case 'stream': {
        const byRule = () => defaultStreamTuning(kernel, layouts, target);
        return { ...kernel, choice: chooser.stream(streamProblem(kernel, layouts), byRule) };
      }
      case 'resident':
      case 'halves':
        return kernel;
      default:
        return kernel satisfies never;
    }
  });
}

export function streamProblem(kernel: StreamKernel, layouts: Layouts): string {
  const equations = kernel.statements.flatMap((s) =>
    s.equations.map((e) => `${s.kind} ${problemOf(e, layouts(s.tensor).shape, layouts)}`),
  );
  return [...spaceTexts(kernel), ...equations].join('\n');
}

/** Of the epilogue it matters which rows it has; whether they join is decided by what the choice holds. */
export function contractionChoice(
  kernel: ContractionKernel,
  layouts: Layouts,
  chooser: Chooser,
  target: Target,
): KernelChoice<ContractionTuning> {
  const { shape: stored } = layouts(kernel.tensor);
  const shapes = productShapes(kernel, layouts);
  const others = kernel.products.map((e) => problemOf(e, stored, layouts));
  const { rowLength } = kernel;
  const rows = rowLength === undefined ? [] : [`rows of ${rowLength}`];
  const problem = [problemOf(shapes[0].equation, [], layouts), ...others, ...rows].join('\n');
  return chooser.contraction(problem, () => contractionRule(shapes, layouts, target, rowLength));
}

/** Shapes and dtypes of a program's tensors, each in memory of its own. */
export function layoutsOf(program: Program): Layouts {
  const tensors = tensorMap(program);
  return (name) => {
    const { shape, dtype } = tensors.get(name)!;
    return { shape, dtype, slot: name, start: 0 };
  };
}

/** An equation as a problem: its loads flat, its tensors by the order in which they are met, with what is known of their memory. */
export function problemOf(equation: Equation, shape: readonly number[], layouts: Layouts): string {
  const numbers = new Map<string, number>();
  const text = equationKey(flattenLoads(equation, layouts)).replaceAll(/'([^']*)'/g, (_, name: string) => {
    const number = numbers.get(name) ?? numbers.size;
    numbers.set(name, number);
    const { shape, dtype } = layouts(name);
    return `'${number} ${dtype} ${shape.join('x')}'`;
  });
  return `${shape.join('x')} ${text}`;
}
