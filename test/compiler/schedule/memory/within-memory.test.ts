/** What is computed again for a budget, and when; and what is said where no plan keeps to it. */
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../../compiler/compile.ts';
import { MemoryShortage } from '../../../../compiler/schedule/memory/within-memory.ts';
import { type Plan, planBytes } from '../../../../compiler/schedule/plan.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { isWorkspace } from '../../../../compiler/schedule/workspaces.ts';
import { portableTarget } from '../../../../kernels/target.ts';
import { h100 } from '../../../support/h100-target.ts';
import { memoryRange } from '../../../support/least-memory.ts';
import { lowered } from '../../../support/lowered.ts';

const target = portableTarget;

/** So many layers of an MLP that is added to what it reads. */
function layers(count: number): string {
  const names = Array.from({ length: count }, (_, l) => (l === 0 ? 'x' : `h${l}`));
  const lines = names.map(
    (x, l) => `
      param U${l}[f, i] ~ normal(fan_in = i)
      param V${l}[i, f] ~ normal(fan_in = f)
      up${l}[n, f] = U${l}[f, i] * ${x}[n, i]
      active${l}[n, f] = gelu(up${l}[n, f])
      h${l + 1}[n, i] = ${x}[n, i] + V${l}[i, f] * active${l}[n, f]`,
  );
  return `structure Layers {
    size D = 64, N = 4096
    axis n: N, i: D, f: 4 * D
    input x[n, i]
    ${lines.join('')}
    output h${count}
  }`;
}

const programOf = (count: number) => compileProgram(lowered(layers(count)), { target, gradients: true }).program;
const madeIn = (plan: Plan, tensor: string) => plan.kernels.findIndex(({ makes }) => makes.includes(tensor));

describe('within a budget', () => {
  const program = programOf(4);
  // Kernels of several stages give way first; what is said here is of what comes after that.
  const residents = 'never';
  const plain = schedule(program, { target, residents });

  test('what saves most for its time is computed again first: a map of one element', () => {
    const plan = schedule(program, { target, residents, memoryBytes: planBytes(plain) - 1 });
    const { tensors, multiplyAdds } = plan.recomputed;
    expect(tensors.length).toBeGreaterThan(0);
    expect(tensors.filter((name) => !name.startsWith('active'))).toEqual([]);
    expect(multiplyAdds).toBeLessThan(0.01 * plan.kernels.reduce((n, kernel) => n + kernel.multiplyAdds, 0));
  });

  test('it is computed late, once what it is read together with is there', () => {
    const plan = schedule(program, { target, residents, memoryBytes: planBytes(plain) - 1 });
    for (const tensor of plan.recomputed.tensors) {
      const again = madeIn(plan, `${tensor}~again`);
      expect(again).toBeGreaterThan(madeIn(plan, 'h4'));
      const firstReader = plan.kernels.findIndex(
        ({ bindings, makes }) =>
          !makes.includes(`${tensor}~again`) && bindings.some(({ tensors }) => tensors.includes(`${tensor}~again`)),
      );
      expect(firstReader - again).toBeLessThan(4);
    }
  });

  test('then products, as few as it takes', () => {
    const { least, plain } = memoryRange(program, { target, residents });
    expect(least).toBeLessThan(0.56 * plain);
    const work = [plain, 0.9 * plain, 0.75 * plain, 0.6 * plain].map(
      (memoryBytes) => schedule(program, { target, residents, memoryBytes }).recomputed.multiplyAdds,
    );
    expect(work).toEqual([...work].sort((a, b) => a - b));
    // At most one more forward half.
    expect(work[3]).toBeLessThan(4 * 2 * 4096 * 64 * 256);
  });

  test('what dispatches make lies beside what they read where all of that is not enough', () => {
    const { least } = memoryRange(program, { target, residents });
    const sharing = [planBytes(plain), 0.6 * planBytes(plain), least].map((memoryBytes) => {
      const { kernels } = schedule(program, { target, residents, memoryBytes });
      const shares = ({ bindings, makes }: Plan['kernels'][number]): boolean =>
        bindings.some(
          ({ buffer, access, tensors }) =>
            isWorkspace(buffer) && access === 'read_write' && tensors.some((name) => !makes.includes(name)),
        );
      return kernels.filter(shares).length;
    });
    expect(sharing.slice(0, 2)).toEqual([0, 0]);
    expect(sharing[2]).toBeGreaterThan(0);
  });

  test('the same plan comes out every time', () => {
    const { least } = memoryRange(program, { target, residents });
    const texts = [1, 2].map(() => JSON.stringify(schedule(program, { target, residents, memoryBytes: least })));
    expect(texts[0]).toBe(texts[1]);
  });

  test('enough memory changes nothing', () => {
    expect(schedule(program, { target, residents, memoryBytes: planBytes(plain) })).toEqual(plain);
  });
});

test('deep towers keep a part of their layers', () => {
  const program = programOf(24);
  const { least, plain } = memoryRange(program, { target });
  expect(least).toBeLessThan(0.45 * plain);
});

test('too little is refused with the least that is enough', () => {
  const program = programOf(2);
  const { least, plain } = memoryRange(program, { target });
  expect(() => schedule(program, { target, memoryBytes: least - 1 })).toThrow(MemoryShortage);
  expect(planBytes(schedule(program, { target, memoryBytes: least }))).toBeLessThanOrEqual(least);
  expect(planBytes(schedule(program, { target }))).toBe(plain);
});

test('kernels of several stages give way before anything is computed again', () => {
  const program = programOf(4);
  const [free, tight] = (['auto', 'never'] as const).map((residents) => schedule(program, { target: h100, residents }));
  expect(free.kernels.length).toBeLessThan(tight.kernels.length);
  expect(planBytes(free)).toBeGreaterThan(planBytes(tight));
  const within = (memoryBytes: number) => schedule(program, { target: h100, memoryBytes });
  expect(within(planBytes(free)).kernels).toEqual(free.kernels);
  expect(within(planBytes(free) - 1).kernels).toEqual(tight.kernels);
  expect(within(planBytes(tight)).recomputed.tensors).toEqual([]);
});
