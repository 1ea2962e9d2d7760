/** Which tensors share a binding where a dispatch has more of them than a device binds: their like, so that what goes in quads stays so. */
import { expect, test } from 'vitest';
import { elementCount } from '../../../../compiler/ir/program.ts';
import type { Plan, PlanKernel } from '../../../../compiler/schedule/plan.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { stepCases } from '../../../bench/step-cases.ts';
import { h100 } from '../../../support/h100-target.ts';

/** How many times as large the largest tensor is as the least of those that the dispatch makes in one of its bindings. */
function unlike({ bindings, makes }: PlanKernel, { tensors }: Plan): number {
  const ratios = bindings.map((binding) => {
    const sizes = binding.tensors
      .filter((name) => makes.includes(name))
      .map((name) => elementCount(tensors[name].shape));
    return sizes.length < 2 ? 1 : Math.max(...sizes) / Math.min(...sizes);
  });
  return Math.max(...ratios);
}

test.each(['icl bilinear_BTT 16 64', 'icl bilinear_BTT 64 256'])('what products of %s make', (name) => {
  const plan = schedule(stepCases.find((one) => one.name === name)!.program(), { target: h100 });
  const products = plan.kernels.filter(({ family }) => /contraction|resident/.test(family));
  const full = products.filter(({ bindings }) => bindings.length === h100.limits.maxStorageBuffersPerShaderStage);
  expect(full.length).toBeGreaterThan(0);
  expect(Math.max(...products.map((kernel) => unlike(kernel, plan)))).toBeLessThanOrEqual(64);
});

test('a block forward of 16 tokens writes by elements only values of rows, and what others read so', () => {
  const { program } = stepCases.find(({ name }) => name === 'icl bilinear_BTT 16 64')!;
  const block = schedule(program(), { target: h100 }).kernels.find(({ makes }) => makes.includes('body.block.0.next'))!;
  const byElements = [...block.wgsl.matchAll(/read_write> (\w+): array<f32>/g)].map(([, name]) => name);
  expect(byElements).toEqual(['block_w_mean_', 'block_x_mean_', 'attn_k_3_', 'attn_S_2_', 'attn_S_var_']);
});
