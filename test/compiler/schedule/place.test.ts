/** Where tensors lie: nothing live is overwritten, updates go in place only where that is right, arenas hold their parts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { add, affine, axisIndex, scale, subtract } from '../../../compiler/ir/affine.ts';
import { at, computed, gather, input, over, param, program } from '../../../compiler/ir/build.ts';
import { pointwise, tensorMap } from '../../../compiler/ir/equation.ts';
import { binary, constant, load, product, sum, unary } from '../../../compiler/ir/expression.ts';
import { interpret, nextInputs } from '../../../compiler/ir/interpret.ts';
import { ndarray } from '../../../compiler/ir/ndarray.ts';
import { printProgram } from '../../../compiler/ir/print.ts';
import type { Equation, Expression, Program, Tensor } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { Plan } from '../../../compiler/schedule/plan.ts';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import { portableTarget } from '../../../kernels/target.ts';
import { createExecutor } from '../../../runtime/executor.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { randomProgram } from '../../support/random-program.ts';
import { relativeError } from '../../support/run-on-device.ts';

const targets = (['cpu', 'gpu'] as const).map((kind) => ({ ...portableTarget, class: kind }));

/** y[i] = f(x[i]) over one dimension. */
function mapped(extent: number, value: (i: Parameters<typeof at>[1]) => Expression): Equation {
  return over({ i: extent }, ({ i }) => ({ store: [i], value: value(i) }));
}

/** Complaints about a plan: what a kernel reads, or the caller, must not have been overwritten since it was made. */
function conflicts(p: Program, plan: Plan): string[] {
  const found: string[] = [];
  const tensors = tensorMap(p);
  const writes: { kernel: number; name: string; buffer: string; from: number; to: number }[] = [];
  const rangeOf = (name: string) => {
    const { buffer, offsetBytes, dtype, shape } = plan.tensors[name];
    return { buffer, from: offsetBytes, to: offsetBytes + elementCount(shape) * (dtype === 'f16' ? 2 : 4) };
  };
  const madeAt = (name: string): number => {
    const source = tensors.get(name)?.source;
    if (source?.kind === 'view') return madeAt(source.base);
    if (source?.kind === 'concat')
      return Math.max(-1, ...source.parts.map((part) => madeAt(part.tensor)), lastWrite(name));
    return lastWrite(name);
  };
  const lastWrite = (name: string): number =>
    Math.max(-1, ...writes.filter((w) => w.name === name).map((w) => w.kernel));
  const check = (name: string, reader: string): void => {
    const { buffer, from, to } = rangeOf(name);
    const made = madeAt(name);
    for (const w of writes)
      if (w.kernel > made && w.buffer === buffer && w.from < to && w.to > from && w.name !== name)
        found.push(`${reader} reads ${name}, over which ${w.name} was written`);
  };
  plan.kernels.forEach((kernel, i) => {
    const made = kernel.makes;
    for (const { tensors: names, buffer, offsetBytes, sizeBytes } of kernel.bindings) {
      const whole = plan.buffers.find((b) => b.id === buffer)!;
      if (offsetBytes % 256 !== 0) found.push(`${kernel.label} binds at ${offsetBytes}`);
      if (offsetBytes + sizeBytes > whole.sizeBytes) found.push(`${kernel.label} binds beyond ${buffer}`);
      for (const name of names) if (!made.includes(name) || lastWrite(name) >= 0) check(name, kernel.label);
    }
    // Two bindings may meet if both are only read.
    kernel.bindings.forEach((a, k) => {
      for (const b of kernel.bindings.slice(k + 1)) {
        const meet = a.offsetBytes < b.offsetBytes + b.sizeBytes && b.offsetBytes < a.offsetBytes + a.sizeBytes;
        if (a.buffer === b.buffer && meet && [a, b].some(({ access }) => access === 'read_write'))
          found.push(`${kernel.label} binds ${a.buffer} twice in one place`);
      }
    });
    for (const name of made) if (plan.tensors[name]) writes.push({ kernel: i, name, ...rangeOf(name) });
    // Kernels of one dispatch run at the same time.
    const read = kernel.bindings.flatMap(({ tensors: names }) => names.filter((name) => !made.includes(name)));
    for (const name of read) {
      const { buffer, from, to } = rangeOf(name);
      for (const w of writes) {
        const isOver = w.kernel === i && w.buffer === buffer && w.from < to && w.to > from;
        const isUpdate = p.updates.some(({ state, next }) => state === name && next === w.name);
        if (isOver && !isUpdate) found.push(`${kernel.label} reads ${name} while ${w.name} is written there`);
      }
    }
  });
  for (const name of plan.outputs) check(name, 'the caller');
  return found;
}

/** Complaints about what a plan says of how long temporary tensors last: beside what kernels bind, and beside where they lie. */
function wrongLifetimes(plan: Plan): string[] {
  const temporary = new Set(plan.buffers.filter(({ role }) => role === 'temporary').map(({ id }) => id));
  const placed = Object.entries(plan.tensors).flatMap(([name, { buffer, offsetBytes: from, dtype, shape, lasts }]) =>
    lasts === undefined
      ? []
      : [{ name, buffer, from, to: from + elementCount(shape) * (dtype === 'f16' ? 2 : 4), ...lasts }],
  );
  const unplaced = placed.filter(({ buffer }) => !temporary.has(buffer)).map(({ name }) => `${name} is not temporary`);
  const outlived = plan.kernels.flatMap(({ bindings }, i) =>
    bindings
      .flatMap((binding) => binding.tensors)
      .filter((name) => temporary.has(plan.tensors[name].buffer))
      .filter((name) => {
        const { buffer, offsetBytes } = plan.tensors[name];
        const isThere = (t: (typeof placed)[number]) =>
          t.buffer === buffer && t.from <= offsetBytes && offsetBytes < t.to && t.first <= i && i <= t.last;
        return !placed.some(isThere);
      })
      .map((name) => `kernel ${i} binds ${name}, which is not there`),
  );
  const meeting = placed.flatMap((a, n) =>
    placed
      .slice(n + 1)
      .filter((b) => a.buffer === b.buffer && a.from < b.to && b.from < a.to && a.first <= b.last && b.first <= a.last)
      .map((b) => `${a.name} lies where ${b.name} does`),
  );
  return [...unplaced, ...outlived, ...meeting];
}

test('random programs: nothing live is overwritten, bindings are aligned and inside their buffers', () => {
  fc.assert(
    fc.property(randomProgram(), ({ program: p }) => {
      for (const target of targets)
        for (const fuse of [true, false])
          for (const combine of [true, false]) {
            const plan = schedule(p, { target, fuse, combine });
            expect([...conflicts(p, plan), ...wrongLifetimes(plan)], printProgram(p)).toEqual([]);
          }
    }),
    { numRuns: 150, seed: 4, endOnFailure: true },
  );
});

test('temporaries are shared in a long chain', () => {
  const axes = [{ name: 'i', extent: 4096 }];
  const tensors: Tensor[] = [input('t0', [4096])];
  for (let n = 1; n <= 20; n++) {
    // Each reads its neighbour, so that no two can be one kernel.
    const next = load(`t${n - 1}`, [add(scale(axisIndex(0), -1), affine(4095))]);
    tensors.push(computed(`t${n}`, [4096], [pointwise(axes, unary('sin', next))]));
  }
  const p = program(tensors, ['t20']);
  const plan = schedule(p, { target: targets[0] });
  expect(plan.kernels.length).toBe(20);
  expect(plan.buffers.filter((b) => b.role === 'temporary').map((b) => b.sizeBytes)).toEqual([4 * 4096, 4 * 4096]);
  expect(conflicts(p, plan)).toEqual([]);
});

/** Runs a program several times, its states carried on, beside the interpreter. */
async function holdRuns(p: Program, rounds = 3): Promise<Plan> {
  const opened = await testDevice();
  const plan = schedule(p, { target: opened.target });
  const executor = await createExecutor(opened, plan);
  try {
    let inputs = feed(p, 3);
    for (const [name, { data }] of inputs) {
      const { dtype } = p.tensors.find((t) => t.name === name)!;
      executor.upload(name, dtype === 'i32' ? Int32Array.from(data) : Float32Array.from(data));
    }
    inputs = new Map([...inputs].map(([name, v]) => [name, ndarray(v.shape, v.data.map(Math.fround))]));
    for (let round = 0; round < rounds; round++) {
      const values = interpret(p, inputs);
      executor.run();
      inputs = nextInputs(p, inputs, values);
      const names = [...p.outputs, ...p.updates.map((u) => u.state)];
      for (const [name, have] of await executor.download(...names)) {
        const want = p.outputs.includes(name) ? values.get(name)! : inputs.get(name)!;
        expect(relativeError(have as Float32Array, want.data), `${name} after run ${round}`).toBeLessThan(1e-5);
      }
    }
    return plan;
  } finally {
    executor.destroy();
  }
}

const isInput = (plan: Plan, name: string): boolean =>
  plan.tensors[name].buffer === plan.tensors[name.replace('next ', '')].buffer;

test('a workspace is no larger than one binding may be', () => {
  const extent = 1024;
  const names = ['a', 'b', 'c', 'd', 'e'];
  const p = program(
    [
      input('x', [extent]),
      ...names.map((name, n) => computed(name, [extent], [mapped(extent, (i) => product([constant(n), at('x', i)]))])),
      computed(
        'y',
        [extent],
        [mapped(extent, (i) => sum(names.map((name) => at(name, subtract(affine(extent - 1), i as never)))))],
      ),
    ],
    ['y'],
  );
  const maxStorageBufferBindingSize = 2 * 4 * extent;
  for (const target of targets) {
    const { buffers } = schedule(p, {
      target: { ...target, limits: { ...target.limits, maxStorageBufferBindingSize } },
    });
    const sizes = buffers.filter(({ role }) => role === 'temporary').map(({ sizeBytes }) => sizeBytes);
    expect(sizes.length).toBeGreaterThanOrEqual(3);
    expect(Math.max(...sizes)).toBe(maxStorageBufferBindingSize);
  }
});

describe('updates over several runs', () => {
  test('an optimiser step goes in place, in one kernel', async () => {
    const n = 70;
    const p = program(
      [
        param('w', [n]),
        input('m', [n]),
        input('v', [n]),
        input('g', [n]),
        input('step', [], 'i32'),
        computed('next step', [], [over({}, () => ({ store: [], value: sum([at('step'), constant(1)]) }))], 'i32'),
        computed(
          'next m',
          [n],
          [mapped(n, (i) => sum([product([constant(0.9), at('m', i)]), product([constant(0.1), at('g', i)])]))],
        ),
        computed(
          'next v',
          [n],
          [
            mapped(n, (i) =>
              sum([
                product([constant(0.95), at('v', i), at('v', i)]),
                product([constant(0.05), at('g', i), at('g', i)]),
              ]),
            ),
          ],
        ),
        computed(
          'next w',
          [n],
          [
            mapped(n, (i) =>
              sum([
                at('w', i),
                product([
                  constant(-0.01),
                  binary('divide', at('next m', i), sum([unary('sqrt', at('next v', i)), constant(0.1)])),
                ]),
                product([constant(0.001), at('next step')]),
              ]),
            ),
          ],
        ),
      ],
      ['next m'],
      ['w', 'm', 'v', 'step'].map((state) => ({ state, next: `next ${state}` })),
    );
    const plan = await holdRuns(p);
    expect(plan.kernels.length).toBe(2);
    for (const name of ['next w', 'next m', 'next v', 'next step']) expect(isInput(plan, name), name).toBe(true);
  });

  const n = 6;
  const illegal: Record<string, Program> = {
    'the old value is read at another element': program(
      [input('s', [n]), computed('next s', [n], [mapped(n, (i) => at('s', subtract(affine(n - 1), i as never)))])],
      ['next s'],
      [{ state: 's', next: 'next s' }],
    ),
    'a later kernel reads the old value': program(
      [
        input('s', [n]),
        computed('next s', [n], [mapped(n, (i) => unary('sin', at('s', i)))]),
        computed(
          'y',
          [3],
          [over({ i: 3 }, ({ i }) => ({ store: [i], value: sum([at('s', i), at('next s', add(i, affine(2)))]) }))],
        ),
      ],
      ['y'],
      [{ state: 's', next: 'next s' }],
    ),
    'a later statement of the kernel reads the old value': program(
      [
        input('s', [n]),
        computed('next s', [n], [mapped(n, (i) => unary('cos', at('s', i)))]),
        computed('y', [n], [mapped(n, (i) => sum([at('s', i), at('next s', i)]))]),
      ],
      ['y'],
      [{ state: 's', next: 'next s' }],
    ),
    'two states exchange their values': program(
      [
        input('a', [n]),
        input('b', [n]),
        computed('next a', [n], [mapped(n, (i) => product([constant(2), at('b', i)]))]),
        computed('next b', [n], [mapped(n, (i) => sum([at('a', i), constant(1)]))]),
      ],
      [],
      [
        { state: 'a', next: 'next a' },
        { state: 'b', next: 'next b' },
      ],
    ),
    'one value for two states': program(
      [input('a', [n]), input('b', [n]), computed('c', [n], [mapped(n, (i) => sum([at('a', i), at('b', i)]))])],
      [],
      [
        { state: 'a', next: 'c' },
        { state: 'b', next: 'c' },
      ],
    ),
    'the old value is gathered through itself': program(
      [
        input('s', [3], 'i32'),
        input('x', [3]),
        computed(
          'next s',
          [3],
          [over({ i: 3 }, ({ i }) => ({ store: [i], value: load('s', [gather('s', i)]) }))],
          'i32',
        ),
        computed('y', [3], [over({ i: 3 }, ({ i }) => ({ store: [i], value: load('x', [gather('s', i)]) }))]),
      ],
      ['y'],
      [{ state: 's', next: 'next s' }],
    ),
    'the old value is read through a view, elsewhere': program(
      [
        input('s', [128]),
        { name: 'w', dtype: 'f32', shape: [8, 8], source: { kind: 'view', base: 's', offset: 64 } },
        computed(
          'next s',
          [128],
          [
            over({ i: 128 }, ({ i }) => ({ store: [i], value: sum([at('s', i), constant(1)]) })),
            over({ i: 8, j: 8 }, ({ i, j }) => ({ store: [add(scale(i, 8), j)], value: at('w', j, i) })),
          ],
        ),
      ],
      [],
      [{ state: 's', next: 'next s' }],
    ),
    'the next value is a part of an arena': program(
      [
        input('s', [64]),
        // Made before, so that nothing else keeps the next value from the state's place.
        computed('t', [5], [mapped(5, (i) => at('s', i))]),
        computed('next s', [64], [mapped(64, (i) => unary('sin', at('s', i)))]),
        {
          name: 'arena',
          dtype: 'f32',
          shape: [69],
          source: {
            kind: 'concat',
            parts: [
              { tensor: 'next s', offset: 0 },
              { tensor: 't', offset: 64 },
            ],
          },
        },
      ],
      ['arena'],
      [{ state: 's', next: 'next s' }],
    ),
    'the next value is a contraction that adds to itself': program(
      [
        input('s', [8, 8]),
        computed(
          'next s',
          [8, 8],
          [
            over({ i: 8, j: 8 }, ({ i, j }) => ({ store: [i, j], value: product([constant(0.5), at('s', i, j)]) })),
            over({ i: 8, j: 8, k: 8 }, ({ i, j, k }) => ({
              store: [i, j],
              value: product([constant(0.1), at('s', i, k), at('s', k, j)]),
            })),
          ],
        ),
      ],
      [],
      [{ state: 's', next: 'next s' }],
    ),
  };
  test.each(Object.entries(illegal))('%s', async (_, p) => {
    await holdRuns(p);
  });
});

describe('arenas', () => {
  const flat = (parts: readonly (readonly [string, number])[], extent: number): Tensor => ({
    name: 'arena',
    dtype: 'f32',
    shape: [extent],
    source: { kind: 'concat', parts: parts.map(([tensor, offset]) => ({ tensor, offset })) },
  });
  const f = (name: string, source: string, extent: number): Tensor =>
    computed(name, [extent], [mapped(extent, (i) => unary('cos', at(source, i)))]);

  test('parts lie where they are made, one kernel reads one and writes another', async () => {
    const p = program(
      [
        input('x', [70]),
        f('a', 'x', 70),
        computed('b', [70], [mapped(70, (i) => sum([at('a', subtract(affine(69), i as never)), constant(1)]))]),
        flat(
          [
            ['a', 0],
            ['b', 128],
          ],
          198,
        ),
        computed('y', [198], [mapped(198, (i) => product([constant(2), at('arena', i)]))]),
      ],
      ['y', 'arena'],
    );
    const plan = await holdRuns(p, 2);
    expect(plan.tensors.a!.buffer).toBe('arena');
    expect(plan.tensors.b).toMatchObject({ buffer: 'arena', offsetBytes: 512 });
    expect(plan.kernels.length).toBe(3);
    expect(plan.kernels[1].bindings.map((b) => b.access)).toEqual(['read_write', 'read_write']);
  });

  test('given parts, parts used twice and odd offsets are copied', async () => {
    const p = program(
      [
        input('x', [6]),
        f('a', 'x', 6),
        f('b', 'x', 6),
        flat(
          [
            ['x', 0],
            ['a', 64],
            ['a', 128],
            ['b', 192],
          ],
          200,
        ),
        {
          ...flat(
            [
              ['a', 3],
              ['b', 11],
            ],
            20,
          ),
          name: 'odd',
        },
        {
          ...flat(
            [
              ['b', 64],
              ['x', 0],
            ],
            70,
          ),
          name: 'again',
        },
      ],
      ['arena', 'odd', 'again'],
    );
    await holdRuns(p, 2);
  });

  test('a kernel does not read an arena or a view while it makes what lies there', async () => {
    const p = program(
      [
        input('x', [64]),
        f('a', 'x', 64),
        flat([['a', 0]], 64),
        computed('y', [64], [mapped(64, (i) => at('arena', subtract(affine(63), i as never)))]),
        f('base', 'x', 64),
        { name: 'v', dtype: 'f32', shape: [8, 8], source: { kind: 'view', base: 'base', offset: 0 } },
        computed(
          'z',
          [64],
          [over({ i: 8, j: 8 }, ({ i, j }) => ({ store: [add(scale(i, 8), j)], value: at('v', j, i) }))],
        ),
      ],
      ['y', 'z'],
    );
    await holdRuns(p, 2);
  });

  test('views: of an input, at an odd offset, as an output, of a temporary', async () => {
    const view = (name: string, base: string, offset: number, shape: number[]): Tensor => ({
      name,
      dtype: 'f32',
      shape,
      source: { kind: 'view', base, offset },
    });
    const p = program(
      [
        input('x', [200]),
        view('u', 'x', 64, [3, 5]),
        view('odd', 'x', 7, [5, 3]),
        view('out', 'x', 128, [4]),
        f('base', 'x', 200),
        view('t', 'base', 64, [3, 5]),
        computed(
          'y',
          [3, 5],
          [
            over({ i: 3, j: 5 }, ({ i, j }) => ({
              store: [i, j],
              value: sum([at('u', i, j), at('odd', j, i), at('t', i, j)]),
            })),
          ],
        ),
      ],
      ['y', 'out'],
    );
    await holdRuns(p, 2);
  });
});

test('what other data left behind does not show', async () => {
  const opened = await testDevice();
  await fc.assert(
    fc.asyncProperty(randomProgram(), async ({ program: p, inputs }) => {
      opened.pipelines.clear();
      const plan = schedule(p, { target: opened.target });
      const executor = await createExecutor(opened, plan);
      const upload = (poison?: number): void => {
        for (const [name, { data }] of inputs) {
          const { dtype } = p.tensors.find((t) => t.name === name)!;
          if (dtype === 'i32') executor.upload(name, Int32Array.from(data));
          else
            executor.upload(
              name,
              Float32Array.from(data, (x) => poison ?? x),
            );
        }
      };
      try {
        const results: unknown[] = [];
        for (const poison of [undefined, Number.NaN, undefined]) {
          upload(poison);
          executor.run();
          const read = await executor.download(...p.outputs);
          if (poison === undefined) results.push(Object.fromEntries(read));
        }
        expect(results[1]).toEqual(results[0]);
      } finally {
        executor.destroy();
      }
    }),
    { numRuns: 25, seed: 9, endOnFailure: true },
  );
});
