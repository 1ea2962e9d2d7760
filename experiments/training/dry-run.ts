/**
 * What a training step is, without a device: how often something is dispatched, how much is multiplied, what lies in memory. Counted
 * from the plans that training would run.
 *
 * `bytes.peak` is everything that training holds at once: params and optimizer and the step's other buffers. `bytes.evaluation` comes
 * to that from the first evaluation on.
 * `flopsPerToken` is of one forward pass, in multiply-adds as the reference counts: `reference` what its code counts where it has the
 * score (and five for each element that is layer-normed), `actual` what the ordered program multiplies within its domains.
 */
import { bytesText } from '../../compiler/command-line/amounts.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { type Plan, planMultiplyAdds, usesTensorCores } from '../../compiler/schedule/plan.ts';
import type { Target } from '../../kernels/target.ts';
import { planOf } from './plans.ts';

/** A program of a step, and how often a step runs it. */
export interface StepPart {
  readonly program: Program;
  readonly times: number;
}

/** What training runs on the device. */
export interface StepPrograms {
  readonly parts: readonly StepPart[];
  readonly evaluation: Program;
}

export interface DryStep extends StepPrograms {
  readonly flopsPerToken: DryRunReport['flopsPerToken'];
  /** Stages of a curriculum; the step is that of the last. */
  readonly stages: readonly Readonly<Record<string, number>>[];
}

export interface DryRunReport {
  readonly dispatches: number;
  /** Those of them that multiply on tensor cores. */
  readonly tensorCoreDispatches: number;
  readonly pipelines: number;
  readonly multiplyAdds: number;
  /** Where `--memory` says what may be taken. The multiply-adds are among those of the step. */
  readonly recomputed: { readonly tensors: number; readonly bytes: number; readonly multiplyAdds: number };
  readonly bytes: {
    readonly params: number;
    readonly optimizer: number;
    readonly activations: number;
    readonly data: number;
    readonly peak: number;
    readonly evaluation: number;
  };
  readonly flopsPerToken: { readonly reference: number | null; readonly actual: number };
  readonly stages: readonly Readonly<Record<string, number>>[];
}

/** States that a run keeps from step to step. */
export const stateBuffers = new Set(['params', 'm', 'v', 'diverged', 'sum', 'lossSum']);

export function dryRun(step: DryStep, target: Target): DryRunReport {
  const { parts, flopsPerToken, stages } = step;
  const plans = parts.map(({ program, times }) => ({ plan: planOf(program, target), times }));
  const total = (of: (plan: Plan) => number) => plans.reduce((sum, { plan, times }) => sum + times * of(plan), 0);
  return {
    dispatches: total((plan) => plan.kernels.length),
    tensorCoreDispatches: total((plan) => plan.kernels.filter((kernel) => usesTensorCores(kernel, plan)).length),
    pipelines: new Set(plans.flatMap(({ plan }) => plan.kernels.map(({ key }) => key))).size,
    multiplyAdds: total(planMultiplyAdds),
    recomputed: {
      tensors: total(({ recomputed }) => recomputed.tensors.length),
      bytes: total(({ recomputed }) => recomputed.sizeBytes),
      multiplyAdds: total(({ recomputed }) => recomputed.multiplyAdds),
    },
    bytes: stepBytes(step, target),
    flopsPerToken,
    stages,
  };
}

/** What lies in memory, in bytes. */
export function stepBytes({ parts, evaluation }: StepPrograms, target: Target): DryRunReport['bytes'] {
  const buffers = new Map<string, { readonly bytes: number; readonly role: string }>();
  for (const [n, { program }] of parts.entries()) {
    for (const { id, sizeBytes, role } of planOf(program, target).buffers) {
      // States are shared between the programs, the rest is each one's own.
      buffers.set(stateBuffers.has(id) ? id : `${n} ${id}`, { bytes: sizeBytes, role });
    }
  }
  const sum = (keep: (name: string, role: string) => boolean) =>
    [...buffers].reduce((bytes, [name, buffer]) => (keep(name, buffer.role) ? bytes + buffer.bytes : bytes), 0);
  const isState = (name: string) => stateBuffers.has(name);
  const ofEvaluation = planOf(evaluation, target).buffers.filter(({ id }) => !isState(id));
  return {
    params: sum((name) => name === 'params'),
    optimizer: sum((name) => isState(name) && name !== 'params'),
    activations: sum((name, role) => !isState(name) && role !== 'input'),
    data: sum((name, role) => !isState(name) && role === 'input'),
    peak: sum(() => true),
    evaluation: ofEvaluation.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0),
  };
}

const count = (value: number): string => Math.round(value).toLocaleString('en');

/** The report for people. */
export function dryRunLines(report: DryRunReport): readonly string[] {
  const { dispatches, tensorCoreDispatches, pipelines, multiplyAdds, recomputed, bytes, flopsPerToken, stages } =
    report;
  const row = (name: string, value: string) => `  ${name.padEnd(18)}${value}`;
  return [
    `a step${stages.length > 1 ? ' of the last stage' : ''}`,
    row('dispatches', count(dispatches)),
    ...(tensorCoreDispatches > 0 ? [row('  on tensor cores', count(tensorCoreDispatches))] : []),
    row('pipelines', count(pipelines)),
    row('multiply-adds', count(multiplyAdds)),
    ...(recomputed.tensors === 0 ? [] : [row('computed again', recomputedText(report))]),
    row('params', bytesText(bytes.params)),
    row('optimizer', bytesText(bytes.optimizer)),
    row('activations', `${bytesText(bytes.activations)}, gradients among them`),
    row('data', bytesText(bytes.data)),
    row('all together', bytesText(bytes.peak)),
    row('evaluation', `${bytesText(bytes.evaluation)} more`),
    row('forward, a token', `${count(flopsPerToken.actual)} multiply-adds`),
    row(
      '',
      flopsPerToken.reference === null
        ? 'unknown to the reference'
        : `${count(flopsPerToken.reference)} as the reference counts`,
    ),
    ...(stages.length > 1 ? ['stages', ...stages.map(stageLine)] : []),
  ];
}

/** `48 tensors, 1.2 GiB that need not be kept, by 75,161,927,680 of the multiply-adds (12 %)`. */
function recomputedText({ recomputed, multiplyAdds }: DryRunReport): string {
  const percent = Math.round((100 * recomputed.multiplyAdds) / multiplyAdds);
  return (
    `${recomputed.tensors} tensors, ${bytesText(recomputed.bytes)} that need not be kept, ` +
    `by ${count(recomputed.multiplyAdds)} of the multiply-adds (${percent} %)`
  );
}

function stageLine(stage: Readonly<Record<string, number>>): string {
  const what = Object.entries(stage).map(([name, value]) => `${name} ${value}`);
  return `  ${what.join(', ')}`;
}
