/** What of a plan the runtime looks at. */
import type { PlanBinding, PlanBuffer, PlanKernel, PlanTensor } from '../compiler/schedule/plan.ts';

/** The part of a plan that the executor looks at, so that a hand-written kernel need not invent the rest. */
export type ExecutableKernel = Pick<PlanKernel, 'label' | 'wgsl' | 'entryPoint' | 'key' | 'workgroups'> & {
  readonly bindings: readonly Omit<PlanBinding, 'tensors'>[];
};

export interface ExecutablePlan {
  readonly buffers: readonly Omit<PlanBuffer, 'role'>[];
  readonly kernels: readonly ExecutableKernel[];
  readonly tensors: Readonly<Record<string, PlanTensor>>;
}
