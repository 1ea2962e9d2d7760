/**
 * The training steps that are compared with PyTorch, of two layers, on tensor cores where a device has them, skipped elsewhere: their
 * gradients are those of the f32 units. Whole models reach sizes, spreads of values and dispatches that no test of one product does.
 */
import { expect, test } from 'vitest';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { hasTensorCores, type Target } from '../../../kernels/target.ts';
import { createExecutor } from '../../../runtime/executor.ts';
import { targetUsing } from '../../../runtime/tensor-cores.ts';
import { type StepCase, stepCases } from '../../bench/step-cases.ts';
import { testDevice } from '../../support/device.ts';

const opened = await testDevice();

/** The first moments after a step from zero moments: the gradients, clipped, by a constant. */
async function gradientsOf({ program, input }: StepCase, target: Target) {
  const plan = schedule(program(2), { target });
  const executor = await createExecutor(opened, plan);
  try {
    for (const name of plan.inputs) executor.upload(name, input(name, plan.tensors[name]));
    executor.run();
    const { m, diverged } = Object.fromEntries(await executor.download('m', 'diverged'));
    return { gradients: Float64Array.from(m), diverged: diverged[0] };
  } finally {
    executor.destroy();
  }
}

const norm = (values: Float64Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

test.skipIf(!hasTensorCores(opened.target)).each(stepCases)('$name', async (one) => {
  const onTensorCores = await gradientsOf(one, opened.target);
  const onUnits = await gradientsOf(one, targetUsing(opened.target, 'never'));
  expect(onTensorCores.diverged).toBe(0);
  const difference = onTensorCores.gradients.map((value, i) => value - onUnits.gradients[i]);
  expect(norm(onUnits.gradients)).toBeGreaterThan(0);
  expect(norm(difference) / norm(onUnits.gradients)).toBeLessThan(1e-5);
});
