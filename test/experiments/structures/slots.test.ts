/** The library's matrices in a slot of two axes before the features: as by themselves over the two taken together, and as cheap. */
import { describe, expect, test } from 'vitest';
import { multiplyAdds } from '../../../compiler/analysis/cost.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import type { NdArray } from '../../../compiler/ir/ndarray.ts';
import type { Program } from '../../../compiler/ir/program.ts';
import { optimise } from '../../../compiler/passes/pipeline.ts';
import { structurePath } from '../../../experiments/library.ts';
import { analyseSource } from '../../../experiments/models/analyse.ts';
import { readSource, resolveFile } from '../../../experiments/models/resolve.ts';
import { expectSameOutputs } from '../../compiler/passes/agree.ts';
import { normals } from '../../support/random-values.ts';

const model = {
  file: 'model.mlbtc',
  text: `structure Model {
  axis n: N, t: T, i: I, f: 16
  slot Up(w[n, t, i]) -> z[n, t, f]
  input w[n, t, i]
  use Up(w = w) as up
  z[n, t, f] = up.z[n, t, f]
  output z
}
`,
};

const matrices: Readonly<Record<string, Readonly<Record<string, number | readonly number[]>>>> = {
  dense: { I: 16, O: 16 },
  low_rank: { D: 16, rank: 3 },
  block_diagonal: { blocks: 4, height: 4 },
  btt: { D: 16, s: 2 },
  butterfly: { depth: 4 },
  kronecker: { a: 4, b: 4, c: 4, d: 4 },
  mlbtc: { D: 16, outer: [1, 2], inner: [4, 1], ranks: [1, 2] },
  mlr: { D: 16, ranks: [2, 1, 1] },
  monarch: { D: 16 },
  tensor_train: { rows: [2, 2, 4], columns: [4, 2, 2] },
};

function paramValues(program: Program): Map<string, NdArray> {
  const params = program.tensors.filter(({ source }) => source.kind === 'param');
  return new Map(params.map(({ name, shape }, i) => [name.replace(/^up\./, ''), normals(shape, i)]));
}

describe.each(Object.keys(matrices))('%s', (name) => {
  const sizes = matrices[name] ?? {};
  const source = readSource(structurePath(name));
  const alone = analyseSource(source, { sizes, inputShapes: { x: [6, 16] }, resolve: resolveFile });
  const inSlot = analyseSource(model, {
    sizes: Object.fromEntries(Object.entries(sizes).map(([size, value]) => [`up.${size}`, value])),
    slots: { up: source },
    inputShapes: { w: [2, 3, 16] },
    resolve: resolveFile,
  });
  const values = paramValues(alone);
  const w = normals([2, 3, 16], 99);

  test('gives the same', () => {
    const y = interpret(alone, new Map([...values, ['x', { ...w, shape: [6, 16] }]])).get(alone.outputs[0] ?? '');
    const given = new Map([['w', w], ...[...values].map(([param, value]) => [`up.${param}`, value] as const)]);
    const z = interpret(inSlot, given).get('z');
    expect(z?.shape).toEqual([2, 3, 16]);
    expect([...(z?.data ?? [])]).toEqual([...(y?.data ?? [])]);
    expectSameOutputs(inSlot, optimise(inSlot), given);
  });

  test('at the same cost, with no tensor between', () => {
    const [slotted, plain] = [optimise(inSlot), optimise(alone)];
    expect(multiplyAdds(slotted)).toBe(multiplyAdds(plain));
    expect(slotted.tensors).toHaveLength(plain.tensors.length);
  });
});
