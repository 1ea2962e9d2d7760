/** Rewriting: nothing is made anew where nothing changes, so that what is remembered of an expression stays known. */
import { expect, test } from 'vitest';
import { affine } from '../../../compiler/ir/affine.ts';
import { at } from '../../../compiler/ir/build.ts';
import {
  binary,
  constant,
  loads,
  product,
  rewriteExpression,
  select,
  sum,
  unary,
} from '../../../compiler/ir/expression.ts';
import type { Expression } from '../../../compiler/ir/program.ts';

const [i, j] = [affine(0, [{ axis: 0, coefficient: 1 }]), affine(0, [{ axis: 1, coefficient: 1 }])];
const causal = { kind: 'domain', constraints: [{ kind: 'nonnegative', affine: i }] } as const;
const value = select(
  causal,
  sum([product([constant(2), at('x', i), unary('exp', at('y', j))]), constant(1)]),
  binary('divide', at('x', j), at('z', i)),
);

test('an expression in which no tensor is renamed is the same object', () => {
  expect(rewriteExpression(value, { tensor: (name) => name })).toBe(value);
});

test('where a tensor is renamed, all that does not read it stays the same object', () => {
  const renamed = rewriteExpression(value, { tensor: (name) => (name === 'z' ? 'w' : name) });
  expect(loads(renamed).map(({ tensor }) => tensor)).toEqual(['x', 'y', 'x', 'w']);
  expect((renamed as { then: Expression }).then).toBe((value as { then: Expression }).then);
});

test('a sum or a product that is not as its builder would write it is written anew', () => {
  const nested: Expression = { kind: 'sum', terms: [sum([at('x', i), at('y', i)]), constant(0)] };
  expect(rewriteExpression(nested, {})).toEqual(sum([at('x', i), at('y', i)]));
  const unit: Expression = { kind: 'product', factors: [constant(1), at('x', i)] };
  expect(rewriteExpression(unit, {})).toEqual(at('x', i));
});
