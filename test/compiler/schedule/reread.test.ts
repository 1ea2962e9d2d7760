/** Row kernels that make again what they would read, where they read all that it is made from anyway; and those that do not. */
import { expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, negate, product, sum, unary } from '../../../compiler/ir/expression.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { compare } from '../../support/run-on-device.ts';

const opened = await testDevice();
const [t, i] = [150, 36];

/**
 * Y = (X - m) / exp(s), P = Y · W and, of rows, v = Σ_i dY · Y and dX = s · dY + v · m · `other`. Y comes with Z = s · Y out of a loop kernel:
 * alone it would be made in the rows that reduce it.
 */
function norm(other: 'X' | 'dY'): Program {
  const points = { t, i };
  return program(
    [
      input('X', [t, i]),
      input('m', [t]),
      input('s', [t]),
      input('dY', [t, i]),
      input('W', [i, i]),
      computed(
        'Y',
        [t, i],
        [
          over(points, (a) => ({
            store: [a.t, a.i],
            value: binary('divide', sum([at('X', a.t, a.i), negate(at('m', a.t))]), unary('exp', at('s', a.t))),
          })),
        ],
      ),
      computed(
        'Z',
        [t, i],
        [over(points, (a) => ({ store: [a.t, a.i], value: product([at('s', a.t), at('Y', a.t, a.i)]) }))],
      ),
      computed(
        'P',
        [t, i],
        [over({ t, o: i, i }, (a) => ({ store: [a.t, a.o], value: product([at('Y', a.t, a.i), at('W', a.i, a.o)]) }))],
      ),
      computed(
        'v',
        [t],
        [over(points, (a) => ({ store: [a.t], value: product([at('dY', a.t, a.i), at('Y', a.t, a.i)]) }))],
      ),
      computed(
        'dX',
        [t, i],
        [
          over(points, (a) => ({
            store: [a.t, a.i],
            value: sum([
              product([at('dY', a.t, a.i), at('s', a.t)]),
              product([at('v', a.t), at('m', a.t), at(other, a.t, a.i)]),
            ]),
          })),
        ],
      ),
    ],
    ['Z', 'P', 'dX'],
  );
}

async function readBy(p: Program, device: 'gpu' | 'cpu'): Promise<readonly string[]> {
  const options = { target: { ...opened.target, class: device }, combine: false };
  const { worst, worstOutput, plan } = await compare(opened, p, feed(p), options);
  expect(worst, worstOutput).toBeLessThan(5e-6);
  const rows = plan.kernels.find(({ makes }) => makes.includes('dX'))!;
  expect(rows.family).toBe('row');
  return rows.bindings.flatMap(({ tensors }) => tensors);
}

test('what is made of that which the rows read anyway is not read', async () => {
  expect(await readBy(norm('X'), 'gpu')).not.toContain('Y');
});

test('else it is, and on a software device, where a read costs less than a quotient', async () => {
  expect(await readBy(norm('dY'), 'gpu')).toContain('Y');
  expect(await readBy(norm('X'), 'cpu')).toContain('Y');
});
