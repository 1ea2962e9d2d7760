// What a guard excludes contributes nothing on the device either: in loops, rows and contractions, whatever it would compute.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import type { ScheduleOptions } from '../../../compiler/schedule/schedule.ts';
import { testDevice } from '../../support/device.ts';
import { type Data, givenTo, stagesOf } from '../../support/guarded-gradients.ts';
import { guardCases } from '../../support/random-guards.ts';
import { runOnDevice } from '../../support/run-on-device.ts';

const opened = await testDevice();

/** Every output element that is a finite number by the interpreter is that on the device; `least` of them are. */
async function hold(
  program: Program,
  data: Data,
  least: number,
  options: Partial<ScheduleOptions> = {},
): Promise<void> {
  const given = givenTo(program, data);
  const want = interpret(program, given, program.outputs);
  const { values } = await runOnDevice(opened, program, given, options);
  let held = 0;
  for (const [name, { data: right }] of want) {
    const have = values.get(name)!.data;
    const scale = Math.max(1, ...[...right].filter(Number.isFinite).map(Math.abs));
    right.forEach((r, n) => {
      if (!Number.isFinite(r)) return;
      held++;
      expect(Math.abs(have[n] - r) / scale, `${name}[${n}] is ${have[n]}, not ${r}`).toBeLessThan(1e-4);
    });
  }
  expect(held).toBeGreaterThanOrEqual(least);
}

const tokens = 24;
const sized = (f: (n: number) => number, count: number): number[] => Array.from({ length: count }, (_, n) => f(n));
/** Positive, but for 0 from the last quarter on. */
const lateZeros = sized((t) => (t < 18 ? 1 + t / 8 : 0), tokens);

test.each([
  [
    'a contraction whose operand is infinite only where it is excluded',
    `axis t, u: 24, d: 16 input x[u] input L[t, u] input v[u, d] r[u] = 1 / x[u]
     y[t, d] = sum[u](L[t, u] * r[u] * v[u, d] where u <= t)`,
    { x: lateZeros },
    18 * 16 + 18 + 24 * 18 + 18 * 16,
  ],
  [
    'the same under a condition on the summed axes alone',
    `axis b: 8, t, u: 24, k: 2 input x[b, u] input L[t, k, u] q[b, k, u] = log(x[b, u] - k)
     y[b, t] = sum[k, u](L[t, k, u] * q[b, k, u] where 2*k + u < 12)`,
    { x: sized((n) => (n % 24 < 12 ? 2 + n / 64 : 0.5), 8 * 24) },
    8 * 24 + 8 * 24 + 24 * 2 * 24,
  ],
  [
    'a row of roots of nothing',
    'axis t: 9, i: 33 input x[t, i] input g y[t] = rms[i](x[t, i] * g where i + 4 * t < 20)',
    { x: sized((n) => Math.sin(n), 9 * 33) },
    9 + 9 * 33 + 1,
  ],
  [
    'guards inside and around',
    `axis n: 40 input x[n] input z[n] l[n] = log(x[n]) y[n] = sqrt(relu(x[n])) + select(z[n] > 0, l[n], 1) + 1 / max(1, x[n])`,
    { x: sized((n) => (n % 2 === 0 ? -n : 1 + n), 40), z: sized((n) => (n % 2 === 0 ? -1 : 1), 40) },
    120,
  ],
] as const)('%s', async (_, text, data, least) => {
  const { compiled } = stagesOf(text, opened.target);
  await hold(compiled, data, least);
  await hold(compiled, data, least, { contractAll: true });
  await hold(compiled, data, least, { fuse: false });
});

test('random guards', async () => {
  for (const c of fc.sample(guardCases, { numRuns: 12, seed: 3 })) {
    const text = c.text.replace(/^structure S \{\n/, '').replace(/\noutput y\n\}$/, '');
    let program: Program;
    try {
      program = stagesOf(text, opened.target).compiled;
    } catch {
      // A constant came out that is no number.
      continue;
    }
    await hold(program, { ...c.inputs, 'cot.y': c.cotangent }, 0);
  }
});
