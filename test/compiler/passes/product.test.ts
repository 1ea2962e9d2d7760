/** `prod`: its value over what is present, and its gradient where no factor, one or several are 0. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives } from '../../../compiler/passes/pipeline.ts';
import { analysed, nested, run } from '../semantics/support.ts';

const text = `structure S {
  axis t: 4, i: 3
  input x[t, i]
  y[t] = prod[i](x[t, i] + 0)
  output y
}`;
const rows = [2, 3, 5, 2, 0, 5, 0, 0, 5, -1, 1, 4];

describe('prod', () => {
  test('of what is present; of nothing it is 0', () => {
    const values = run(
      `axis t: 3, i: 4
      input x[i]
      a[t] = prod[i](x[i] where i < t)
      b = prod[*](x[i]) + prod[i](x[i] where i != 2)
      c[t] = 2 * prod[i](x[i])
      output a, b, c`,
      { x: [2, 3, 0, 5] },
    );
    expect(nested(values.a)).toEqual([0, 2, 6]);
    expect(nested(values.b)).toEqual(30);
    expect(nested(values.c)).toEqual([0, 0, 0]);
  });

  test('each factor gets the product of the others', () => {
    const program = analysed(text).program!;
    const seeds = { y: 'input' as const };
    const given = new Map([
      ['x', ndarray([4, 3], rows)],
      ['cot.y', ndarray([4], [1, 1, 1, 10])],
    ]);
    const want = [15, 10, 6, 0, 10, 0, 0, 0, 0, 40, -40, -10];
    for (const derived of [
      differentiate(program, { seeds, wrt: ['x'] }),
      optimiseDerivatives(differentiate(optimise(program), { seeds, wrt: ['x'] })),
    ]) {
      expect([...interpret(derived, given, ['grad.x']).get('grad.x')!.data]).toEqual(want);
    }
  });

  test('what is absent is no factor, and has no gradient', () => {
    const program = analysed(`axis i: 4 input x[i] input k[i]: i32 y = prod[i](1 / x[i] where k[i] == 1) output y`)
      .program!;
    const derived = differentiate(program, { seeds: { y: 'one' }, wrt: ['x'] });
    const given = new Map([
      ['x', ndarray([4], [2, 0, 4, 0])],
      ['k', ndarray([4], [1, 0, 1, 2])],
    ]);
    const found = interpret(derived, given, ['y', 'grad.x']);
    expect([...found.get('y')!.data]).toEqual([0.125]);
    expect([...found.get('grad.x')!.data]).toEqual([-0.0625, 0, -0.03125, 0]);
  });
});
