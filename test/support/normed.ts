/** A product and the norm of its rows. */
import { at, computed, input, over, program } from '../../compiler/ir/build.ts';
import { binary, constant, divide, negate, product, sum, unary } from '../../compiler/ir/expression.ts';
import type { Program } from '../../compiler/ir/program.ts';

/** y[t, h, e] = Σ_i x[t, i] W[h, e, i], and the norm of each of its rows of e. */
export function normed(t: number, h: number, e: number, i: number): Program {
  const all = { t, h, e };
  return program(
    [
      input('x', [t, i]),
      input('W', [h, e, i]),
      computed(
        'y',
        [t, h, e],
        [
          over({ ...all, i }, ({ t, h, e, i }) => ({
            store: [t, h, e],
            value: product([at('x', t, i), at('W', h, e, i)]),
          })),
        ],
      ),
      computed(
        'mean',
        [t, h],
        [over(all, ({ t, h, e }) => ({ store: [t, h], value: product([constant(0.1), at('y', t, h, e)]) }))],
      ),
      computed(
        'var',
        [t, h],
        [
          over(all, ({ t, h, e }) => ({
            store: [t, h],
            value: binary('power', sum([at('y', t, h, e), negate(at('mean', t, h))]), constant(2)),
          })),
        ],
      ),
      computed(
        'q',
        [t, h, e],
        [
          over(all, ({ t, h, e }) => ({
            store: [t, h, e],
            value: divide(
              sum([at('y', t, h, e), negate(at('mean', t, h))]),
              unary('sqrt', sum([at('var', t, h), constant(1)])),
            ),
          })),
        ],
      ),
    ],
    ['y', 'q'],
  );
}
