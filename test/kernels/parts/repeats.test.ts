/** What a value computes or reads more than once is computed once; and the case that took a minute to compile. */
import { describe, expect, test } from 'vitest';
import { affine, type axisIndex, subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../../compiler/ir/expression.ts';
import type { Expression, Program } from '../../../compiler/ir/program.ts';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { compare } from '../../support/run-on-device.ts';

const opened = await testDevice();

function mainOf(p: Program): string {
  const [kernel] = schedule(p, { target: { ...opened.target, class: 'cpu' } }).kernels;
  return kernel.wgsl.slice(kernel.wgsl.indexOf('fn main'));
}

const pointwise = (value: (i: ReturnType<typeof axisIndex>) => Expression, extent = 8): Program =>
  program(
    [input('x', [8]), computed('y', [extent], [over({ i: extent }, ({ i }) => ({ store: [i], value: value(i) }))])],
    ['y'],
  );

describe('repeats', () => {
  test('are named from the inside out; what stands once, and constant factors, stay where they are', async () => {
    const p = pointwise((i) => {
      const log = unary('log', sum([binary('power', at('x', i), constant(2)), constant(1)]));
      return sum([
        product([log, unary('exp', log)]),
        product([constant(-1), log]),
        unary('sin', product([constant(2), at('x', i)])),
      ]);
    });
    expect(mainOf(p)).toContain(
      `let x_value = x[element];
  let reused = log_f32(square_f32(x_value) + 1.0);
  let y_value = reused * exp_f32(reused) - reused + sincos_f32(2.0 * x_value).x;`,
    );
    expect((await compare(opened, p, feed(p))).worst).toBeLessThan(1e-5);
  });

  test('in a branch alone they are kept inside their tensor', async () => {
    const p = pointwise((i) => {
      const before = at('x', subtract(i, affine(3)));
      const square = product([before, before]);
      return select({ kind: 'domain', constraints: [atLeastZero(subtract(i, affine(3)))] }, square, constant(7));
    });
    expect(mainOf(p)).toContain('let x_value = x[clamp(element - 3, 0, 7)];');
    expect((await compare(opened, p, feed(p))).worst).toBeLessThan(1e-6);
  });

  test('none: the text is as it was', () => {
    expect(mainOf(pointwise((i) => product([at('x', i), constant(3)])))).toContain('let y_value = 3.0 * x[element];');
  });
});

test.each(['log', 'sin', 'gelu', 'tanh', 'power'] as const)(
  'sixteen %s in a loop compile within seconds',
  async (operator) => {
    const terms = (d: ReturnType<typeof axisIndex>) =>
      Array.from({ length: 16 }, (_, n) => {
        const operand = sum([product([at('a', d), at('a', d)]), constant(n + 1)]);
        return operator === 'power' ? binary('power', operand, constant(1.3)) : unary(operator, operand);
      });
    const p = program(
      [
        input('a', [4]),
        computed('y', [4], [over({ i: 4, d: 4 }, ({ i, d }) => ({ store: [i], value: sum(terms(d)) }))]),
      ],
      ['y'],
    );
    const before = process.cpuUsage().user;
    const { worst } = await compare(opened, p, feed(p));
    expect(worst).toBeLessThan(3e-5);
    // Alone it takes a second and less; the bound is for a busy machine.
    expect(process.cpuUsage().user - before).toBeLessThan(10e6);
  },
);
