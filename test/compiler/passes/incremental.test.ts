/** Token by token is what all at once is, for scores of every kind: the interpreter runs both. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../compiler/ir/ndarray.ts';
import { elementCount, type Program, type Tensor } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { type Incremental, incremental, now } from '../../../compiler/passes/incremental.ts';
import { optimise } from '../../../compiler/passes/pipeline.ts';
import { NotIncremental } from '../../../compiler/passes/token-time.ts';
import { limited } from '../../../compiler/schedule/normalise.ts';
import { model, projections, scores } from '../../support/attention-models.ts';
import { lowered } from '../../support/lowered.ts';
import { normals } from '../../support/random-values.ts';

function tokenByToken(
  { program, prepared, pasts, tokens }: Incremental,
  params: ReadonlyMap<string, NdArray>,
  x: NdArray,
) {
  const still = interpret(prepared, params, prepared.outputs);
  const [batch, , width] = x.shape;
  const given = new Map<string, NdArray>([...params, ...still]);
  const nothingYet = (name: string) => {
    const { shape } = program.tensors.find((tensor) => tensor.name === name) as Tensor;
    return ndarray(shape, new Float64Array(elementCount(shape)).fill(Number.NaN));
  };
  for (const { name } of pasts) given.set(name, nothingYet(name));
  const rows: Float64Array[] = [];
  for (let t = 0; t < tokens; t += 1) {
    const row = Float64Array.from({ length: batch * width }, (_, n) => {
      const [b, i] = [Math.floor(n / width), n % width];
      return x.data[(b * tokens + t) * width + i];
    });
    given.set('x', ndarray([batch, width], row));
    given.set(now, ndarray([], [t]));
    const values = interpret(program, given);
    rows.push(values.get('logits')?.data as Float64Array);
    for (const { name, row: from, length } of pasts) {
      const past = given.get(name) as NdArray;
      const made = values.get(from) as NdArray;
      past.data.set(made.data, (t % length) * made.data.length);
    }
  }
  return rows;
}

function valuesOf(program: Program, name: string): NdArray {
  const { shape } = program.tensors.find((tensor) => tensor.name === name) ?? { shape: [] };
  return normals(shape, name.length + shape.length);
}

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
    for (const [t, row] of tokenByToken(step, params, x).entries()) {
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
