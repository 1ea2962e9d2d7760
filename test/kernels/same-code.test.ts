/** Whoever asks for a code that is known gets what would be written anew: everything that the families look at tells codes apart. */
import { describe, expect, test } from 'vitest';
import { axisIndex } from '../../compiler/ir/affine.ts';
import { at, over } from '../../compiler/ir/build.ts';
import { load, negate, product, sum, unary } from '../../compiler/ir/expression.ts';
import { type EmitOptions, emitDispatch } from '../../kernels/emit.ts';
import type {
  ContractionKernel,
  Kernel,
  LoopKernel,
  RowKernel,
  StreamKernel,
  TensorLayout,
} from '../../kernels/kernel.ts';
import { createEmitter } from '../../kernels/same-code.ts';
import { portableTarget } from '../../kernels/target.ts';

const shapes: Readonly<Record<string, readonly number[]>> = {
  x: [4, 8],
  W: [8, 8],
  m: [4],
  l: [4],
  Q: [4, 8],
  K: [8, 8],
};

type Changed = Readonly<Record<string, Partial<TensorLayout>>>;

/** Every tensor in a buffer of its own, but for what is changed. */
function optionsWith(changed: Changed = {}, written: readonly string[] = []): EmitOptions {
  return {
    target: { ...portableTarget, features: ['subgroups'] },
    layouts: (name) => ({ shape: shapes[name] ?? [4, 8], dtype: 'f32', slot: name, start: 0, ...changed[name] }),
    readWrite: (slot) => written.includes(slot),
  };
}

const contraction: ContractionKernel = {
  family: 'contraction',
  tensor: 'y',
  equation: over({ t: 4, i: 8, k: 8 }, ({ t, i, k }) => ({
    store: [t, i],
    value: product([at('x', t, k), at('W', k, i)]),
  })),
  products: [],
  addends: [],
  accumulate: false,
  stored: true,
  epilogue: [],
  choice: { key: '', tuning: { form: 'tiled', tileM: 4, tileN: 8, tileK: 4, rows: 4, columns: 4 } },
};

/** What its epilogue makes of a row, and of each of its elements. */
const inRows = (steps: readonly number[], of: 'element' | 'row' = 'element'): ContractionKernel => ({
  ...contraction,
  rowLength: 8,
  epilogue: [
    {
      tensor: 'm',
      stored: true,
      equations: [over({ t: 4, i: 8 }, ({ t, i }) => ({ store: [t], value: at('y', t, i) }))],
      inRows: { kind: 'reduce', steps: [8, 1] },
    },
    of === 'element'
      ? {
          tensor: 'z',
          stored: true,
          equations: [over({ a: 4, b: 8 }, ({ a, b }) => ({ store: [a, b], value: at('v', a, b) }))],
          inRows: { kind: 'element', steps },
        }
      : {
          tensor: 'l',
          stored: true,
          equations: [over({ t: 4 }, ({ t }) => ({ store: [t], value: unary('exp', at('m', t)) }))],
          inRows: { kind: 'row', steps },
        },
  ],
});

const row: RowKernel = {
  family: 'row',
  rows: [4],
  choice: { key: '', tuning: { lanes: 2, workgroupSize: 4, shuffle: false } },
  statements: [
    {
      kind: 'reduce',
      tensor: 'm',
      equation: over({ t: 4, k: 8 }, ({ t, k }) => ({ store: [t], reducer: 'max', value: at('x', t, k) })),
      rowAxes: [0],
      stored: true,
    },
  ],
};

const loop: LoopKernel = {
  family: 'loop',
  shape: [4, 8],
  statements: [
    {
      tensor: 'y',
      equations: [over({ t: 4, i: 8 }, ({ t, i }) => ({ store: [t, i], value: unary('exp', at('x', t, i)) }))],
      stored: true,
    },
    {
      tensor: 'z',
      equations: [over({ t: 4, i: 8 }, ({ t, i }) => ({ store: [t, i], value: negate(at('y', t, i)) }))],
      stored: true,
    },
  ],
};

/** The rows' extremes and what follows them: `l[t] = Σ_u exp(S[t, u] - m[t])`. */
const stream: StreamKernel = {
  family: 'stream',
  batch: [],
  outer: [],
  row: { name: 't', extent: 4 },
  walk: { name: 'u', extent: 8 },
  choice: { key: '', tuning: { threadRows: 1, threadColumns: 2, rowQuads: 1, depth: 4 } },
  statements: [
    {
      kind: 'tile',
      tensor: 'S',
      equations: [
        over({ t: 4, u: 8, k: 8 }, ({ t, u, k }) => ({
          store: [t, u],
          value: product([at('Q', t, k), at('K', u, k)]),
        })),
      ],
      stored: false,
      follows: [],
    },
    {
      kind: 'extreme',
      tensor: 'e',
      equations: [over({ t: 4, u: 8 }, ({ t, u }) => ({ store: [t], reducer: 'max', value: at('S', t, u) }))],
      stored: false,
      follows: [],
    },
    {
      kind: 'row',
      tensor: 'm',
      equations: [over({ t: 4, u: 1 }, ({ t }) => ({ store: [t], value: at('e', t) }))],
      stored: true,
      follows: [],
    },
    {
      kind: 'total',
      tensor: 'l',
      equations: [
        over({ t: 4, u: 8 }, ({ t, u }) => ({
          store: [t],
          value: unary('exp', sum([at('S', t, u), negate(at('m', t))])),
        })),
      ],
      stored: true,
      follows: ['m'],
    },
  ],
};

/** A stream whose last statement is otherwise. */
const lastWith = (change: Partial<StreamKernel['statements'][number]>): StreamKernel => ({
  ...stream,
  statements: [...stream.statements.slice(0, -1), { ...stream.statements.at(-1)!, ...change }],
});

const finish = unary('exp', load('m', [axisIndex(0)]));

interface Variation {
  readonly of: Kernel;
  /** The kernel itself, where it is not said. */
  readonly kernel?: Kernel;
  readonly options?: EmitOptions;
}

const variations: Readonly<Record<string, Variation>> = {
  'where a tensor begins': { of: contraction, options: optionsWith({ x: { start: 64 } }) },
  'where a result begins': { of: loop, options: optionsWith({ z: { start: 64 } }) },
  'the shape of what is read': { of: contraction, options: optionsWith({ x: { shape: [4, 16] } }) },
  'two tensors in one buffer': { of: contraction, options: optionsWith({ W: { slot: 'x', start: 64 } }) },
  'what is read is written too': { of: contraction, options: optionsWith({}, ['x']) },
  'a type': { of: loop, options: optionsWith({ x: { dtype: 'i32' } }) },
  'a sum is added to': { of: contraction, kernel: { ...contraction, accumulate: true } },
  'a tile': {
    of: contraction,
    kernel: { ...contraction, choice: { key: '', tuning: { ...contraction.choice!.tuning, tileN: 16 } } },
  },
  'what is no more stored': {
    of: loop,
    kernel: { ...loop, statements: [{ ...loop.statements[0], stored: false }, loop.statements[1]] },
  },
  'a product for an addend': {
    of: { ...contraction, products: [contraction.equation] },
    kernel: {
      ...contraction,
      addends: [over({ t: 4, i: 8 }, ({ t, i }) => ({ store: [t, i], value: at('z', t, i) }))],
    },
  },
  'the order of an element’s digits': { of: inRows([8, 1]), kernel: inRows([1, 4]) },
  'an epilogue that knows rows': { of: inRows([8, 1]), kernel: inRows([8], 'row') },
  'lanes of a row': {
    of: row,
    kernel: { ...row, choice: { key: '', tuning: { lanes: 4, workgroupSize: 4, shuffle: false } } },
  },
  'what a sum follows': { of: stream, kernel: lastWith({ follows: [] }) },
  'what a finished sum is multiplied by': { of: stream, kernel: lastWith({ finish }) },
  'a walk': { of: stream, kernel: { ...stream, walk: { name: 'u', extent: 6 } } },
};

describe('a dispatch that differs in', () => {
  test.each(Object.entries(variations))('%s', (_, { of, kernel = of, options = optionsWith() }) => {
    const emit = createEmitter();
    const before = emit([of], optionsWith());
    const [given, anew] = [emit([kernel], options), emitDispatch([kernel], options)];
    expect(given).toEqual(anew);
    const shown = ({ wgsl, key, bindings }: typeof anew) => ({ wgsl, key, bindings });
    expect(shown(anew)).not.toEqual(shown(before));
  });
});

test('one that differs in names alone is written once', () => {
  const emit = createEmitter();
  const renamed: LoopKernel = {
    ...loop,
    statements: [
      {
        tensor: 'a',
        equations: [over({ p: 4, q: 8 }, ({ p, q }) => ({ store: [p, q], value: unary('exp', at('b', p, q)) }))],
        stored: true,
      },
      {
        tensor: 'c',
        equations: [over({ p: 4, q: 8 }, ({ p, q }) => ({ store: [p, q], value: negate(at('a', p, q)) }))],
        stored: true,
      },
    ],
  };
  const [first, second] = [emit([loop], optionsWith()), emit([renamed], optionsWith())];
  expect(second.wgsl).toBe(first.wgsl);
  expect(second.bindings.map(({ tensors }) => tensors)).toEqual([['b'], ['a'], ['c']]);
});
