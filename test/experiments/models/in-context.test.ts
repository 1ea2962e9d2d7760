import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashProgram } from '../../../compiler/ir/hash.ts';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { drawNormal } from '../../../compiler/ir/philox.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import { inContextProgram } from '../../../experiments/models/model.ts';
import { referenceParameters } from '../../../experiments/models/parameters.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { iclOptions, resolveIcl } from '../../../experiments/options/icl.ts';
import { mixers } from '../../../experiments/options/mixers.ts';
import { optionsFromRecord } from '../../../experiments/options/parse.ts';
import { initialValue, paramsOf, rateFactor } from '../../../experiments/training/mup.ts';

interface GoldenModel {
  readonly config: Record<string, unknown>;
  readonly count: { readonly params: number };
  readonly mup: Record<string, { shape: number[]; init: number | 'ones' | 'zeros'; lr_mult: number }>;
}
const { tables } = JSON.parse(readFileSync('test/golden/tables/case.json', 'utf8')) as {
  tables: { models: GoldenModel[] };
};
const supported = tables.models.filter(
  ({ config }) => config.kind === 'icl' && String(config.token_mixing_struct) in mixers,
);

describe('muP of the golden tables', () => {
  test('has cases', () => expect(supported.length).toBeGreaterThan(2));

  test.each(supported.map((model) => [String(model.config.token_mixing_struct), model] as const))('%s', (_, golden) => {
    const options = optionsFromRecord(iclOptions, golden.config, 'tables');
    const model = inContextProgram(options, scoreOf(options, {}), { batch: 2, points: 3 });
    const params = new Map(paramsOf(model).map((param) => [param.name, param]));
    const total = [...params.values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect(total).toBe(golden.count.params);
    const seen = new Set<string>();
    for (const { reference, ours } of referenceParameters('in-context', options)) {
      // The table shows the first layer for all.
      const shown = reference.replace(/\.h\.\d+\./, '.h.0.');
      const want = golden.mup[shown];
      seen.add(shown);
      for (const name of ours) {
        const param = params.get(name);
        if (param === undefined) throw new Error(`no param ${name}`);
        expect(elementCount(param.shape)).toBe(elementCount(want.shape));
        expect(rateFactor(param)).toBeCloseTo(want.lr_mult, 9);
        const values = initialValue(param, 1);
        if (want.init === 'ones') expect(values.every((value) => value === 1)).toBe(true);
        else if (want.init === 'zeros') expect(values.every((value) => value === 0)).toBe(true);
        else if (values.length > 500) {
          const rms = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
          expect(rms / want.init).toBeCloseTo(1, 0);
        }
      }
    }
    expect([...seen].sort()).toEqual(Object.keys(golden.mup).sort());
  });
});

test('signs: the loss is the cross-entropy of the reference, its slope is there at a prediction of 0, the error counts mistakes', () => {
  const words = '--n_dims 2 --d_model 4 --n_head 1 --n_layer 1 --token_mixing_struct low_rank'.split(' ');
  const { options } = resolveIcl(words);
  const [batch, points] = [2, 3];
  const model = inContextProgram(options, scoreOf(options, {}), { batch, points, answers: 'signs' });
  const backward = differentiate({ ...model, outputs: ['loss'] }, { seeds: { loss: 'one' }, wrt: ['read_out'] });
  const ys = [1, -1, -1, 1, 1, -1];
  const draw = (name: string, elements: number) =>
    Array.from({ length: elements }, (_, e) => drawNormal(name.length, 7, 0, e));
  const lossOf = (readOut: readonly number[]) => {
    const given = model.tensors.filter(({ source }) => source.kind === 'param' || source.kind === 'input');
    const values = new Map(
      given.map(({ name, shape }) => {
        const data = name === 'ys' ? ys : name === 'read_out' ? readOut : draw(name, elementCount(shape));
        return [name, ndarray(shape, data)] as const;
      }),
    );
    const found = interpret(backward, values);
    const value = (name: string) => [...(found.get(name)?.data ?? [])];
    return { pred: value('pred'), loss: value('loss')[0], error: value('error'), slope: value(backward.outputs[1]) };
  };
  for (const readOut of [draw('out', 4), [300, -200, 500, 100], [0, 0, 0, 0]]) {
    const { pred, loss, error, slope } = lossOf(readOut);
    // −log σ(y · pred) = −y' log σ(pred) − (1 − y') log (1 − σ(pred)), y' = (y + 1) / 2
    const terms = pred.map((z, i) => (ys[i] * z < -30 ? -ys[i] * z : Math.log1p(Math.exp(-ys[i] * z))));
    expect(loss).toBeCloseTo(terms.reduce((sum, term) => sum + term, 0) / 6, 10);
    expect(error).toEqual(pred.map((z, i) => (Math.sign(z) === ys[i] ? 0 : 1)));
    for (const [k, s] of slope.entries()) {
      const moved = [1e-5, -1e-5].map((by) => lossOf(readOut.map((w, j) => (j === k ? w + by : w))).loss);
      expect(s).toBeCloseTo((moved[0] - moved[1]) / 2e-5, 5);
    }
  }
  expect(lossOf([0, 0, 0, 0]).loss).toBeCloseTo(Math.LN2, 12);
  expect(lossOf([0, 0, 0, 0]).slope.some((s) => Math.abs(s) > 1e-3)).toBe(true);
});

describe('a structure of one’s own', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mlbtc-score-'));
  const write = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const programOf = (...words: string[]) => {
    const { options, sizes } = resolveIcl(['--preset=tiny', '--n_dims=4', '--d_model=16', ...words]);
    return inContextProgram(options, scoreOf(options, sizes), { batch: 2, points: 8 });
  };

  test.each([['experiments/structures/bilinear_btt.mlbtc'], ['test/experiments/structures/shared_bilinear_btt.mlbtc']])(
    'a copy of %s in another folder is the built-in score',
    (path) => {
      const copy = write('mine.mlbtc', readFileSync(path, 'utf8'));
      expect(hashProgram(programOf(`--structure=${copy}`))).toBe(hashProgram(programOf()));
    },
  );

  const trivial = (body: string) => `structure Mine {\n  size H = 1\n${body}\n}\n`;
  const messageOf = (text: string, ...words: string[]): string => {
    try {
      programOf(`--structure=${write('bad.mlbtc', text)}`, ...words);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('no error');
  };

  test('names are the structure’s own', () => {
    const path = write(
      'other.mlbtc',
      trivial(`  axis q: Q, s, e: S, f: F, k: H
  input features[q, s, f]
  param M[k, f] ~ normal(fan_in = f)
  scores[q, k, s, e] = features[q, s, f] * M[k, f] * features[q, e, f]
  out[q, k, s, e] = softmax[e](scores[q, k, s, e] where e <= s)
  output out`),
    );
    const program = programOf(`--structure=${path}`);
    expect(paramsOf(program).map(({ name }) => name)).toContain('body.block.0.attn.M');
  });

  test('a score learns its layer, and binds its consts', () => {
    const path = write(
      'layered.mlbtc',
      `structure Layered {
  size layer, layers, block_size, first = 1
  const damping = 1
  axis b: B, t, u: T, i: D, h: H
  input x[b, t, i]
  param P[h, i] ~ normal(fan_in = i)
  S[b, h, t, u] = P[h, i] * x[b, u, i] * damping / block_size
  if layer >= first {
    param slope[h] ~ constant(layer / layers)
    S[b, h, t, u] += slope[h] * (u - t)
  }
  A[b, h, t, u] = softmax[u](S[b, h, t, u] where u <= t)
  output A
}
`,
    );
    const params = (...words: string[]) =>
      paramsOf(programOf(`--structure=${path}`, '--n_layer=3', '-s', 'H=2', ...words)).filter(({ name }) =>
        name.includes('slope'),
      );
    expect(params('-s', 'damping=0.25').map(({ name, init }) => [name, init])).toEqual([
      ['body.block.1.attn.slope', { kind: 'constant', value: 1 / 3 }],
      ['body.block.2.attn.slope', { kind: 'constant', value: 2 / 3 }],
    ]);
    expect(params('-s', 'first=2')).toHaveLength(1);
  });

  test('what is no score says why', () => {
    const heads = trivial(`  axis q: Q, s, e: S, f: F, k: 3
  input x[q, s, f]
  A[q, k, s, e] = x[q, s, f] * x[q, e, f] + 0 * k
  output A`);
    expect(messageOf(heads)).toMatch(
      /bad\.mlbtc:6:10: error E0208: `Mine` fills the slot `Score`: `A` has the shape \[2, 3, 16, 16\], and `A\[n, h, t, u\]` \[2, 2, 16, 16\]/,
    );
    const matrix = trivial('  axis b: B, t: T, i, j: D\n  input x[b, t, i]\n  y[b, t, j] = x[b, t, j]\n  output y');
    expect(messageOf(matrix)).toMatch(
      /bad\.mlbtc:6:10: .*`y` has the shape \[2, 16, 16\], and `A\[n, h, t, u\]` \[2, 2, 16, 16\]/,
    );
    const two = trivial(
      '  axis b: B, t: T, i: D\n  input x[b, t, i]\n  input z[b, t, i]\n  y[b] = x[b, 0, 0]\n  output y',
    );
    expect(messageOf(two)).toMatch(
      /bad\.mlbtc:5:9: error E0208: `Mine` fills the slot `Score`, which gives it 1 input, and has 2: `x`, `z`/,
    );
    expect(messageOf('structure Mine {')).toMatch(/bad\.mlbtc/);
    expect(() => programOf('--structure=nowhere.mlbtc')).toThrow(/nowhere\.mlbtc: error E0001: .*no such file/);
    expect(() => programOf('--structure=test')).toThrow(/^test: error E0001: .*is a folder/);
    const integers = trivial('  axis b: B, t: T, i: D\n  input x[b, t, i]: i32\n  y[b] = x[b, 0, 0]\n  output y');
    expect(messageOf(integers)).toMatch(
      /bad\.mlbtc:4:9: error E0312: `x` of the slot `Score` is a float, and the input `x` is i32/,
    );
    const four = trivial('  axis a, b: B, t: T, i: D\n  input x[a, b, t, i]\n  y[b, i] = x[0, b, 0, i]\n  output y');
    expect(messageOf(four)).toMatch(
      /bad\.mlbtc:4:\d+: error E0312: `x` of the slot `Score` has 3 axes, and the input `x` has 4/,
    );
  });

  test('a size that the structure lacks is named', () => {
    expect(() => programOf('-s', 'rnak=3')).toThrow(/rnak/);
  });
});

test('a model beyond indices of 32 bits says what to do, and its first place', () => {
  const { options, sizes } = resolveIcl(['--preset=tiny']);
  const made = () => inContextProgram(options, scoreOf(options, sizes), { batch: 1e9, points: 4 });
  expect(made).toThrow(
    /^the model is too large for indices of 32 bits; a smaller batch, fewer tokens or narrower layers have room\n/,
  );
  expect(made).toThrow(
    /in-context\.mlbtc:\d+:\d+: error E0508: `xs` of shape \[1000000000, 4, 2\] .*\n[\s\S]*\n1 error\n$/,
  );
});
