/**
 * Every matrix of the library in every slot of a model, all six at once, beside the dense model with the same matrices formed: loss,
 * logits and all gradients, those of a matrix's own params by what the dense one's gradient makes of them.
 */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../compiler/ir/ndarray.ts';
import type { Program, Tensor } from '../../../compiler/ir/program.ts';
import { differentiate } from '../../../compiler/passes/differentiate/differentiate.ts';
import { structurePath } from '../../../experiments/library.ts';
import { analyseSource } from '../../../experiments/models/analyse.ts';
import { languageModelProgram } from '../../../experiments/models/model.ts';
import { readSource, resolveFile } from '../../../experiments/models/resolve.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { differentiateLoss } from '../../../experiments/training/differentiate-loss.ts';
import { initialValue, paramsOf, rateFactor } from '../../../experiments/training/mup.ts';
import { normals } from '../../support/random-values.ts';
import { relativeError } from '../../support/relative-error.ts';

const [width, tokens, vocabulary] = [16, 3, 5];
/** Columns and rows of each map, and whether it starts at 0. */
const maps: Readonly<Record<string, { readonly from: number; readonly to: number; readonly zero: number }>> = {
  'attn.wq': { from: width, to: width, zero: 0 },
  'attn.wk': { from: width, to: width, zero: 0 },
  values: { from: width, to: width, zero: 0 },
  attn_out: { from: width, to: width, zero: 1 },
  mlp_up: { from: width, to: 4 * width, zero: 0 },
  mlp_down: { from: 4 * width, to: width, zero: 1 },
};
const prefix = (map: string) => `body.block.0.${map}.`;

function model(...words: string[]): Program {
  const { options, sizes } = resolveLm([`--d_model=${width}`, '--n_head=2', '--n_layer=1', '--block_size=4', ...words]);
  const shape = { batch: 2, tokens, vocabulary, positions: 4 };
  return languageModelProgram(options, scoreOf(options, sizes), shape);
}

const data = new Map([
  ['tokens', ndarray([2, tokens], Int32Array.of(0, 3, 1, 2, 4, 4))],
  ['targets', ndarray([2, tokens], Int32Array.of(3, 1, 2, 4, 4, 0))],
]);

/** Loss, logits and the gradient of every param. */
function results(program: Program, params: ReadonlyMap<string, NdArray>) {
  const { program: whole, gradientOf } = differentiateLoss(program);
  const gradients = [...gradientOf.values()];
  const found = interpret({ ...whole, outputs: ['loss', 'logits', ...gradients] }, new Map([...data, ...params]));
  const at = (name: string) => found.get(name) as NdArray;
  return { loss: at('loss'), logits: at('logits'), gradient: (param: string) => at(gradientOf.get(param) as string) };
}

/** A structure by itself on the unit vectors, and what a cotangent of its output makes of its params. */
function alone(name: string, map: string, params: ReadonlyMap<string, NdArray>) {
  const { from, to, zero } = maps[map];
  const sizes = { I: from, O: to, D: from, zero };
  const source = readSource(structurePath(name));
  const known = new Set(paramsOfText(source.text));
  const given = Object.fromEntries(Object.entries(sizes).filter(([size]) => known.has(size)));
  const program = analyseSource(source, { sizes: given, inputShapes: { x: [from, from] }, resolve: resolveFile });
  const [output] = program.outputs;
  const own = [...params].filter(([param]) => param.startsWith(prefix(map)));
  const values = new Map(own.map(([param, value]) => [param.slice(prefix(map).length), value]));
  const unit = ndarray(
    [from, from],
    Float64Array.from({ length: from ** 2 }, (_, i) => (i % (from + 1) === 0 ? 1 : 0)),
  );
  values.set('x', unit);
  const columns = interpret(program, values).get(output) as NdArray;
  return {
    /** W[o, i], where the program gives y[i, o]. */
    matrix: transposed(columns),
    pulledBack: (cotangent: NdArray) => {
      const wrt = [...values.keys()].filter((param) => param !== 'x');
      const both = differentiate(program, { seeds: { [output]: 'input' }, wrt });
      const isNew = ({ name, source }: Tensor) => source.kind === 'input' && name !== 'x';
      const seed = both.tensors.find(isNew)?.name as string;
      const wanted = both.outputs.slice(program.outputs.length);
      const found = interpret({ ...both, outputs: wanted }, new Map([...values, [seed, transposed(cotangent)]]));
      return new Map(wrt.map((param, i) => [param, found.get(wanted[i]) as NdArray]));
    },
  };
}

/** Sizes that a structure declares. */
function paramsOfText(text: string): readonly string[] {
  return [...text.matchAll(/^ {2}size (.*)$/gm)].flatMap(([, items]) =>
    [...items.matchAll(/(\w+) =/g)].map(([, name]) => name),
  );
}

function transposed({ shape: [rows, columns], data }: NdArray): NdArray {
  return ndarray(
    [columns, rows],
    Float64Array.from({ length: rows * columns }, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]),
  );
}

const close = (found: NdArray, expected: NdArray) =>
  expect(relativeError([...found.data], [...expected.data])).toBeLessThan(1e-10);

describe.each([
  'low_rank',
  'block_diagonal',
  'monarch',
  'butterfly',
  'kronecker',
  'btt',
  'tensor_train',
  'mlr',
  'mlbtc',
])('%s', (name) => {
  const structured = model(`--slot=linear=${name}`);
  const params = new Map(paramsOf(structured).map((param, i) => [param.name, normals(param.shape, 31 + i)]));

  test('in every slot is the dense model with the same matrices', () => {
    const formed = new Map(Object.keys(maps).map((map) => [map, alone(name, map, params)]));
    const isOwn = (param: string) => Object.keys(maps).some((map) => param.startsWith(prefix(map)));
    const shared = [...params].filter(([param]) => !isOwn(param));
    const matrices = [...formed].map(([map, { matrix }]) => [`${prefix(map)}W`, matrix] as const);
    const [ours, dense] = [results(structured, params), results(model(), new Map([...shared, ...matrices]))];
    close(ours.loss, dense.loss);
    close(ours.logits, dense.logits);
    for (const [param] of shared) close(ours.gradient(param), dense.gradient(param));
    for (const [map, { pulledBack }] of formed) {
      for (const [param, expected] of pulledBack(dense.gradient(`${prefix(map)}W`))) {
        close(ours.gradient(prefix(map) + param), expected);
      }
    }
  });

  test('starts at 0 where a branch ends and nowhere else, and learns by the fan_in of each core', () => {
    const start = new Map(
      paramsOf(structured).map((param) => [
        param.name,
        ndarray(param.shape, Float64Array.from(initialValue(param, 5))),
      ]),
    );
    for (const [map, { zero }] of Object.entries(maps)) {
      const { matrix } = alone(name, map, start);
      expect(matrix.data.every((value) => value === 0)).toBe(zero === 1);
    }
    for (const param of paramsOf(structured)) {
      if (!Object.keys(maps).some((map) => param.name.startsWith(prefix(map)))) continue;
      expect(param.init.fanIn).toBeGreaterThan(0);
      expect(rateFactor(param)).toBe(768 / (param.init.fanIn as number));
      if (param.init.kind === 'normal') expect(param.init.std).toBeCloseTo((param.init.fanIn as number) ** -0.5, 12);
    }
  });
});
