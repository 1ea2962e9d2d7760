/** Token by token is what all at once is, for scores of every kind: the interpreter runs both. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../../compiler/ir/ndarray.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { incremental } from '../../../../compiler/passes/incremental/incremental.ts';
import { NotIncremental } from '../../../../compiler/passes/incremental/token-time.ts';
import { optimise } from '../../../../compiler/passes/pipeline.ts';
import { limited } from '../../../../compiler/schedule/normalise/normalise.ts';
import { model, projections, scores } from '../../../support/attention-models.ts';
import { lowered } from '../../../support/lowered.ts';
import { tokenByToken, valuesOf } from '../../../support/token-by-token.ts';

describe('token by token', () => {
  test.each(Object.entries(scores))('%s', (_, [text, lengths]) => {
    const program = limited(optimise(lowered(model(text), { B: 2 })));
    const step = incremental(program, { inputs: new Map([['x', 1]]), outputs: ['logits'] });
    expect([verify(step.program), verify(step.prepared)]).toEqual([[], []]);
    expect(step.pasts.slice(0, lengths.length).map(({ length }) => length)).toEqual(lengths);
    const params = new Map(
      program.tensors
        .filter(({ source }) => source.kind === 'param')
        .map(({ name }) => [name, valuesOf(program, name)]),
    );
    const x = valuesOf(program, 'x');
    const whole = interpret(program, new Map([...params, ['x', x]]), ['logits']).get('logits') as NdArray;
    const [batch, tokens, classes] = whole.shape;
    for (const [t, row] of tokenByToken(step, params, 'x', x).entries()) {
      for (let b = 0; b < batch; b += 1) {
        for (let c = 0; c < classes; c += 1) {
          expect(row[b * classes + c]).toBeCloseTo(whole.data[(b * tokens + t) * classes + c], 9);
        }
      }
    }
  });

  test('a score that sees later tokens is refused, with the equation', () => {
    const text = `${projections}  A[b, h, t, u] = softmax[u](q[b, h, t, r] * k[b, h, u, r])`;
    const program = limited(optimise(lowered(model(text), { B: 1 })));
    expect(() => incremental(program, { inputs: new Map([['x', 1]]), outputs: ['logits'] })).toThrow(NotIncremental);
  });
});
