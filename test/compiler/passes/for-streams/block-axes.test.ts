/** Axes inside of blocks become axes over all blocks, for the same values. */
import { expect, test } from 'vitest';
import { equationsOf } from '../../../../compiler/ir/equation.ts';
import { interpret } from '../../../../compiler/ir/interpret.ts';
import { printEquation } from '../../../../compiler/ir/print.ts';
import { verify } from '../../../../compiler/ir/verify.ts';
import { wholeAxes } from '../../../../compiler/passes/for-streams/block-axes.ts';
import { feed } from '../../../support/feed.ts';
import { lowered } from '../../../support/lowered.ts';
import { relativeError } from '../../../support/relative-error.ts';

function whole(text: string): string {
  const program = lowered(text);
  const tensors = program.tensors.map((tensor) =>
    tensor.source.kind === 'computed'
      ? { ...tensor, source: { ...tensor.source, equations: tensor.source.equations.map(wholeAxes) } }
      : tensor,
  );
  const after = { ...program, tensors };
  expect(verify(after)).toEqual([]);
  const inputs = feed(program);
  const [want, have] = [program, after].map((p) => interpret(p, inputs, p.outputs));
  for (const name of program.outputs)
    expect(relativeError(have.get(name)!.data, want.get(name)!.data)).toBeLessThan(1e-12);
  return equationsOf(after.tensors.find(({ name }) => name === 'S')!)
    .map((e) => printEquation(e, 'S'))
    .join('\n');
}

test('a level of a score: blocks on the diagonal', () => {
  const text = `structure L {
    axis t, u: 12, c: 3, y, z: 4, r: 2
    input q[t, r]
    input k[u, r]
    S[(c y), (c z)] = q[(c y), r] * k[(c z), r]
    output S
  }`;
  expect(whole(text)).toBe(
    'S[y, z] sum= q[y, r] * k[z, r]   over y: 12, z: 12, r: 2   where quotient(index(y), 4) == quotient(index(z), 4)',
  );
});

test('blocks that the block’s own number stands beside stay as they are', () => {
  const text = `structure L {
    axis t, u: 12, c: 3, y, z: 4
    input q[t]
    input k[u]
    input g[c]
    S[(c y), (c z)] = q[(c y)] * k[(c z)] * g[c]
    output S
  }`;
  expect(whole(text)).toContain('S[4*c + y, 4*c + z]');
});
