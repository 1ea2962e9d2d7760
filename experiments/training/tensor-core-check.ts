/**
 * Whether a step on tensor cores comes to what it comes to on the f32 units, asked once before a training. Kernels of
 * attention have come out wrong on an NVIDIA GPU whose text differs in nothing that matters from others that come out right: gradients 0, not
 * finite or off by half, the loss as it should be. Which texts these are only their values tell, and a run would learn from them without a word.
 *
 *   params, moved off 0 ──one step──▶ m on tensor cores ┐
 *                       └─one step──▶ m on f32 units    ┴──▶ params whose gradients differ
 *
 * The trap: at the beginning of a training what ends a branch is 0, and with it all gradients of the branch. So all params are moved.
 */
import { elementCount } from '../../compiler/ir/program.ts';
import { hasStreamOnTensorCores } from '../../compiler/schedule/plan.ts';
import { hasTensorCores } from '../../kernels/target.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { availableBytes } from '../../runtime/device-memory.ts';
import { stagedAsync } from '../../runtime/stages.ts';
import { targetUsing } from '../../runtime/tensor-cores.ts';
import type { EvaluationRecord, TrainRecord } from '../runs/metrics.ts';
import type { Arena } from './arena.ts';
import { planOf } from './plans.ts';
import { refuseWithoutMemory } from './room.ts';
import { downloadState, newState, uploadState } from './state.ts';
import type { CompiledTask, Phase, Task } from './task.ts';

/** What the check must know of a training. */
type Checked<P extends Phase, C extends CompiledTask<P>> = Pick<
  Task<P, C, TrainRecord, EvaluationRecord>,
  'opened' | 'demand' | 'phases' | 'compile' | 'initialValue'
>;

/** First moments after one step, in the arena's order. */
export interface Moments {
  readonly arena: Arena;
  readonly m: Float32Array;
}

/** A param whose gradient is not the same. */
export interface Difference {
  readonly param: string;
  /** Relative, of its L2 norm; infinite where values are not finite on tensor cores alone. */
  readonly error: number;
}

/** Products of two f16 parts are off by some 1e-6, gradients that cancel by 1e-3. What came out wrong was off by 0.06 and more. */
const allowed = 0.02;
/** Gradients that are less of the whole than that are what rounding left. */
const counts = 1e-5;

/**
 * The param whose gradient differs most, where one differs by more than rounding; undefined where all agree, and where no stream of the
 * training's step runs on tensor cores. `make` makes the same training on another target. The task may train afterwards: what it planned is
 * planned.
 */
export async function differenceOnTensorCores<P extends Phase, C extends CompiledTask<P>>(
  task: Checked<P, C>,
  make: (opened: OpenedDevice) => Checked<P, C>,
): Promise<Difference | undefined> {
  const { opened, demand } = task;
  if (!hasTensorCores(opened.target)) return undefined;
  const plans = demand.programs(demand.batch).parts.map(({ program }) => planOf(program, opened.target));
  if (!plans.some((plan) => plan.kernels.some((kernel) => hasStreamOnTensorCores(kernel, plan)))) return undefined;
  await refuseWithoutMemory(demand, opened, (bytes) => availableBytes(opened, bytes));
  const onUnits = make({ ...opened, target: targetUsing(opened.target, 'never') });
  return stagedAsync('check tensor cores', () => differenceAfterStep(task, onUnits));
}

/** The same of two trainings of one model, the second of which is right. */
export async function differenceAfterStep<P extends Phase, C extends CompiledTask<P>>(
  have: Checked<P, C>,
  want: Checked<P, C>,
): Promise<Difference | undefined> {
  return largestDifference(await momentsAfterStep(have), await momentsAfterStep(want));
}

/** The param whose moments differ most, where any differ by more than rounding does. */
export function largestDifference({ arena, m: have }: Moments, { m: want }: Moments): Difference | undefined {
  const whole = norm(want);
  const differences = arena.slots.map(({ param, offset }): Difference => {
    const size = elementCount(param.shape);
    const [a, b] = [have, want].map((values) => values.subarray(offset, offset + size));
    const of = Math.max(norm(b), counts * whole);
    if (!Number.isFinite(of)) return { param: param.name, error: 0 };
    const error = norm(a.map((value, i) => value - b[i]));
    return { param: param.name, error: of === 0 ? 0 : Number.isFinite(error) ? error / of : Number.POSITIVE_INFINITY };
  });
  const worst = differences.reduce((most, one) => (one.error > most.error ? one : most));
  return worst.error > allowed ? worst : undefined;
}

/** What a person is told. */
export function differenceText({ param, error }: Difference): string {
  const off = Number.isFinite(error) ? `is off by ${(100 * error).toPrecision(2)} %` : 'is not finite';
  return (
    `warning: on the tensor cores of this device the gradient of ${param} ${off}: a kernel of this step comes out wrong there; ` +
    'the run takes the f32 units (--tensor_cores never does so without asking)'
  );
}

function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

/** After the first step of the last phase, which is the largest. */
async function momentsAfterStep<P extends Phase, C extends CompiledTask<P>>(task: Checked<P, C>): Promise<Moments> {
  const phase = task.phases[task.phases.length - 1];
  const { compiled, state } = await task.compile(phase, undefined);
  try {
    const { arena } = compiled;
    const { params, ...moments } = newState(arena, task.initialValue);
    uploadState(state, { params: params.map((value, i) => value + away(i)), ...moments });
    compiled.enter(phase);
    compiled.run(0);
    return { arena, m: (await downloadState(state)).m };
  } finally {
    compiled.destroy();
    state.executor.destroy();
  }
}

/** About ±0.02, as even as the digits of the golden ratio's multiples. */
function away(i: number): number {
  return 0.04 * (((i + 1) * 0.618_033_988_749_895) % 1) - 0.02;
}
