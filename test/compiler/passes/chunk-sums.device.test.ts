/** Running sums in chunks, forward and backward, on the device. */
import { expect, test } from 'vitest';
import { subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { product, unary } from '../../../compiler/ir/expression.ts';
import { chunkTensor } from '../../../compiler/passes/chunk-sums.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives } from '../../../compiler/passes/pipeline.ts';
import { testDevice } from '../../support/device.ts';
import { compare } from '../../support/run-on-device.ts';
import { randomInputs } from './agree.ts';

const opened = await testDevice();

test.each([
  [24, 8, 1],
  [37, 8, 1],
  [37, 5, -1],
])('T = %d in chunks of %d, direction %d', async (T, size, direction) => {
  const y = over({ b: 2, t: T, e: 8, u: T, k: 4 }, ({ b, t, e, u, k }) => ({
    store: [b, t, e],
    domain: [atLeastZero(direction === 1 ? subtract(t, u) : subtract(u, t))],
    value: product([unary('sigmoid', at('q', b, t, k)), at('key', b, u, k), at('v', b, u, e)]),
  }));
  const inputs = [input('q', [2, T, 4]), input('key', [2, T, 4]), input('v', [2, T, 8])];
  const taken = new Set<string>();
  const chunks = chunkTensor(computed('y', [2, T, 8], [y]), taken, ({ extent }) => (extent > size ? size : undefined));
  expect(chunks.length).toBeGreaterThan(2);
  const forward = optimise(program([...inputs, ...chunks], ['y']), { disabled: new Set(['inline']) });
  const settings = { seeds: { y: 'input' as const }, wrt: ['q', 'key', 'v'] };
  const both = optimiseDerivatives(differentiate(forward, settings));
  const { worst } = await compare(opened, both, randomInputs(both, 7));
  expect(worst).toBeLessThan(1e-5);
});
