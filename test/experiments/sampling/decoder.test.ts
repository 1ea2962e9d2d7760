/** Reading token by token with a cache gives the logits of the whole program, at every place, on the device. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { cachedDecoder, plainDecoder } from '../../../experiments/sampling/decoder.ts';
import { model, scores } from '../../support/attention-models.ts';
import { testDevice } from '../../support/device.ts';
import { lowered } from '../../support/lowered.ts';
import { integers, normals } from '../../support/random-values.ts';

const opened = await testDevice();
const tokens = integers([2, 12], 5, 5);

describe('cached decoding', () => {
  test.each(Object.entries(scores))('%s', async (_, [text]) => {
    const program = lowered(model(text, { tokens: true }), { B: 2 });
    const decoded = { program, tokens: 'tokens', logits: 'logits' };
    const params = new Map(
      program.tensors
        .filter(({ source }) => source.kind === 'param')
        .map(({ name, shape }, i) => [name, normals(shape, i)] as const),
    );
    const inputs = new Map([...params, ['tokens', ndarray(tokens.shape, tokens.data)] as const]);
    const whole = interpret(program, inputs, ['logits']).get('logits');
    const [cached, plain] = await Promise.all([
      cachedDecoder(opened, decoded, params),
      plainDecoder(opened, decoded, params),
    ]);
    // Twice: what one text has left is not seen by the next.
    for (let round = 0; round < 2; round += 1) {
      for (let t = 0; t < 12; t += 1) {
        const token = Int32Array.from([tokens.data[t], tokens.data[12 + t]]);
        const [a, b] = [await cached.read(token), await plain.read(token)];
        for (let n = 0; n < 6; n += 1) {
          const expected = whole?.data[(Math.floor(n / 3) * 12 + t) * 3 + (n % 3)] ?? Number.NaN;
          expect(Math.abs(a[n] - expected)).toBeLessThan(1e-4);
          expect(Math.abs(b[n] - expected)).toBeLessThan(1e-4);
        }
      }
      await expect(cached.read(Int32Array.from([0, 0]))).rejects.toThrow('no place after 12 tokens');
      cached.reset();
      plain.reset();
    }
    cached.destroy();
    plain.destroy();
  });
});
