/** The same program gives the same bytes and the same bits; kernels of equal structure are one pipeline. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { at, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { product, unary } from '../../../compiler/ir/expression.ts';
import type { Program, Tensor } from '../../../compiler/ir/program.ts';
import { contractionChoice, createChooser, layoutsOf } from '../../../compiler/schedule/choose.ts';
import { groupKernels } from '../../../compiler/schedule/group/group.ts';
import { normalise } from '../../../compiler/schedule/normalise/normalise.ts';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { findStreams } from '../../../compiler/schedule/streams/streams.ts';
import { emitDispatch } from '../../../kernels/emit.ts';
import type { ContractionKernel, Layouts } from '../../../kernels/kernel.ts';
import { createEmitter } from '../../../kernels/same-code.ts';
import { portableTarget } from '../../../kernels/target.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { randomProgram } from '../../support/random-program.ts';
import { runOnDevice } from '../../support/run-on-device.ts';

const gpu = { ...portableTarget, class: 'gpu' as const };
const cpu = { ...portableTarget, class: 'cpu' as const };

test('two schedules of a program are the same bytes', () => {
  fc.assert(
    fc.property(randomProgram(), ({ program: p }) => {
      for (const target of [gpu, cpu]) {
        const again = structuredClone(p);
        expect(JSON.stringify(schedule(again, { target }))).toBe(JSON.stringify(schedule(p, { target })));
      }
    }),
    { numRuns: 60, seed: 3, endOnFailure: true },
  );
});

/** Long sums in pieces, a softmax row and a scatter: everything whose order of summation could vary. */
function sums(): Program {
  return program(
    [
      input('x', [40, 50, 9]),
      input('d', [40, 50, 8]),
      input('ids', [600], 'i32'),
      input('g', [600, 4]),
      computed(
        'dW',
        [8, 9],
        [
          over({ b: 40, t: 50, i: 8, j: 9 }, ({ b, t, i, j }) => ({
            store: [i, j],
            value: product([at('d', b, t, i), at('x', b, t, j)]),
          })),
        ],
      ),
      computed(
        'norm',
        [],
        [
          over({ b: 40, t: 50, j: 9 }, ({ b, t, j }) => ({
            store: [],
            value: product([at('x', b, t, j), at('x', b, t, j)]),
          })),
        ],
      ),
      computed(
        'L',
        [40, 50],
        [
          over({ b: 40, t: 50, j: 9 }, ({ b, t, j }) => ({
            store: [b, t],
            reducer: 'logsumexp',
            value: at('x', b, t, j),
          })),
        ],
      ),
      computed(
        'E',
        [5, 4],
        [
          over({ n: 600, i: 4 }, ({ n, i }) => ({
            store: [{ kind: 'gather', tensor: 'ids', indices: [n] }, i],
            value: at('g', n, i),
          })),
        ],
      ),
    ],
    ['dW', 'norm', 'L', 'E'],
  );
}

test('two runs give the same bits, in both classes', async () => {
  const opened = await testDevice();
  for (const kind of ['cpu', 'gpu'] as const) {
    const options = { target: { ...opened.target, class: kind } };
    const [first, second] = [
      await runOnDevice(opened, sums(), feed(sums()), options),
      await runOnDevice(opened, sums(), feed(sums()), options),
    ];
    expect(second.values).toEqual(first.values);
  }
});

function layer(n: number, rows: number): Tensor[] {
  const w = `h.${n}.W`;
  return [
    input(w, [16, 16]),
    computed(
      `h.${n}.y`,
      [rows, 16],
      [
        over({ t: rows, i: 16, j: 16 }, ({ t, i, j }) => ({
          store: [t, i],
          value: product([at(w, i, j), at(n === 0 ? 'x' : `h.${n - 1}.z`, t, j)]),
        })),
      ],
    ),
    computed(
      `h.${n}.z`,
      [rows, 16],
      [over({ t: rows, i: 16 }, ({ t, i }) => ({ store: [t, i], value: unary('gelu', at(`h.${n}.y`, t, i)) }))],
    ),
    computed(
      `h.${n}.L`,
      [rows],
      [over({ t: rows, i: 16 }, ({ t, i }) => ({ store: [t], reducer: 'logsumexp', value: at(`h.${n}.z`, t, i) }))],
    ),
  ];
}

test('layers of equal structure share their kernels and those alone', () => {
  for (const target of [gpu, cpu]) {
    const p = program(
      [input('x', [8, 16]), ...[0, 1, 2, 3].flatMap((n) => layer(n, 8))],
      ['h.3.z', 'h.0.L', 'h.1.L', 'h.2.L', 'h.3.L'],
    );
    const { kernels } = schedule(p, { target, combine: false });
    expect(kernels.length).toBe(8);
    expect(new Set(kernels.map((kernel) => kernel.key)).size).toBe(2);
    for (const kernel of kernels)
      expect(kernels.filter((k) => k.key === kernel.key).every((k) => k.wgsl === kernel.wgsl)).toBe(true);
    const other = program([input('x', [9, 16]), ...layer(0, 9)], ['h.0.L']);
    const keys = new Set(kernels.map((kernel) => kernel.key));
    expect(schedule(other, { target }).kernels.some((kernel) => keys.has(kernel.key))).toBe(false);
  }
});

test('a code that is written once has the bindings and the grid that it would have alone', () => {
  const layers = program([input('x', [8, 16]), ...[0, 1, 2].flatMap((n) => layer(n, 8))], ['h.2.z', 'h.0.L', 'h.2.L']);
  const p = normalise(layers);
  for (const target of [gpu, cpu]) {
    const remade = { streams: findStreams(p, 'never', target), after: new Map(), units: [] };
    const own = layoutsOf(p);
    const chooser = createChooser({ target });
    const tuningOf = (kernel: ContractionKernel) => contractionChoice(kernel, own, chooser, target).tuning;
    const kernels = groupKernels(remade, { target, fuse: true, tuningOf });
    const layouts: Layouts = (name) => ({ ...own(name), slot: `place of ${name}`, start: 64 });
    const options = { target, layouts, readWrite: (slot: string) => slot.endsWith('z') };
    const emit = createEmitter();
    const codes = kernels.map((kernel) => {
      const [once, alone] = [emit([kernel], options), emitDispatch([kernel], options)];
      expect({ ...once, wgsl: '', key: '' }).toEqual({ ...alone, wgsl: '', key: '' });
      return once.wgsl;
    });
    expect(new Set(codes).size).toBeLessThan(codes.length);
  }
});

test('twice the layers: no code more to write', () => {
  const codes = (layers: number): number => {
    const p = program(
      [input('x', [8, 16]), ...Array.from({ length: layers }, (_, n) => layer(n, 8)).flat()],
      [`h.${layers - 1}.z`, ...Array.from({ length: layers }, (_, n) => `h.${n}.L`)],
    );
    return new Set(schedule(p, { target: gpu }).kernels.map(({ key }) => key)).size;
  };
  expect(codes(12)).toBe(codes(6));
});
