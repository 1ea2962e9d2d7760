/** `mlbtc run` on the device against the interpreter, for structures of every kind; and what it says of tensors that do not fit. */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../compiler/command-line/errors.ts';
import { registerRun, runStructure } from '../../runtime/run.ts';
import { readSafetensors, type StoredTensor, writeSafetensors } from '../../runtime/safetensors.ts';
import { testDevice } from '../support/device.ts';
import { inFolder } from '../support/folder.ts';
import { relativeError } from '../support/run-on-device.ts';
import {
  f32,
  i32,
  interpreted,
  randomTensors,
  runTensors,
  type Sizes,
  withFile,
  writtenProgram,
} from '../support/run-structure.ts';

const shared = (name: string): string => fileURLToPath(new URL(`../structures/${name}.mlbtc`, import.meta.url));

async function holds(file: string, sizes: Sizes, tolerance = 2e-5): Promise<void> {
  const program = writtenProgram(file, sizes);
  const tensors = randomTensors(program);
  const wanted = interpreted(program, tensors);
  const results = await runTensors({ file, sizes, tensors, vjp: true });
  expect([...results.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [name, { shape, data }] of wanted) {
    expect(results.get(name)!.shape).toEqual(shape);
    expect(relativeError(results.get(name)!.data as Float32Array, data), name).toBeLessThan(tolerance);
  }
}

describe('shared structures, values and gradients', () => {
  const cases: readonly (readonly [string, Sizes])[] = [
    ['btt', { D: 36, N: 3 }],
    ['mlr', { D: 24, ranks: [3, 1], B: 5 }],
    ['butterfly', { depth: 2, N: 3 }],
    ['sliding_window', { D: 12, H: 3, B: 2, T: 7, w: 3 }],
    ['bilinear_btt', { D: 12, H: 2, N: 2, T: 5 }],
  ];
  test.each(cases)('%s %o', async (name, sizes) => {
    await holds(shared(name), sizes, 1e-4);
  });
});

describe('every program that check accepts', () => {
  const programs: Readonly<Record<string, readonly [string, Sizes]>> = {
    'a scalar output': [
      'structure S { axis i: I  input x[i]  param g ~ ones  loss = g * sum[i](x[i]^2)  output loss }',
      { I: 5 },
    ],
    'an output that is an input': ['structure S { axis i: I  input x[i]  y[i] = 2 * x[i]  output x, y }', { I: 4 }],
    'an output that is a param, read twice': [
      'structure S { axis i: I  param w[i] ~ zeros  y[i] = w[i] * w[i]  output w, y, w }',
      { I: 3 },
    ],
    'an input that nothing reads': [
      'structure S { axis i: I  input x[i], z[i]  y[i] = x[i]  output y }'.replace(', z[i]', ' input z[i]'),
      { I: 3 },
    ],
    'a constant, nothing given': ['structure S { axis i: 4  y[i] = i^2 + 1  output y }', {}],
    'an output of zeros': ['structure S { axis i: I  input x[i]  y[i] = x[i] where i < 0  output y }', { I: 3 }],
    'a gather and a scatter-add': [
      'structure S { axis v: 3, i: 4, b: B  input t[b]: i32  param E[v, i] ~ normal(std = 1)  y[b, i] = E[t[b], i]  output y }',
      { B: 7 },
    ],
    'integers as numbers, and put out': [
      'structure S { axis b: B  input t[b]: i32  input x[b]  y[b] = x[b] * t[b]  output y, t }',
      { B: 6 },
    ],
    'a structure in a structure': [
      `import "btt"
       structure S { axis n: N, i: 16  input z[n, i]  use BTT(D = 16, x = z) as m  y[n, i] = tanh(m.y[n, i])  output y, m.y }`,
      { N: 2 },
    ],
    'levels with members named': [
      'structure S { size depth = 3 axis i, j: 5 input x[i] z.0[i] = x[i] level l in 0 .. depth - 1 { param U[i, j] ~ ones z.(l + 1)[i] = sin(U[i, j] * z.l[j]) } output z.depth }',
      {},
    ],
    'names with a taken look': [
      'structure S { axis i: 3  input grad[i]  param cot[i] ~ ones  y[i] = grad[i] * cot[i]  output y }',
      {},
    ],
  };
  test.each(Object.entries(programs))('%s', async (_, [text, sizes]) => {
    await withFile(text, (file) => holds(file, sizes));
  });
});

const scaled = `structure Scaled {
  axis b: B, i: D
  input x[b, i]
  input t[b]: i32
  param E[v, i] ~ ones
  axis v: 4
  y[b, i] = x[b, i] * E[t[b], i]
  output y
}`;

const right = new Map([
  ['x', f32([2, 3], [1, 2, 3, 4, 5, 6])],
  ['t', i32([2], [3, 0])],
  ['E', f32([4, 3], [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])],
]);

/** The message of the error that a run with other tensors gives. */
async function refusal(
  change: (tensors: Map<string, StoredTensor>) => void,
  run: Partial<Parameters<typeof runTensors>[0]> = {},
): Promise<string> {
  const tensors = new Map(right);
  change(tensors);
  return withFile(scaled, async (file) => {
    const message = await runTensors({ file, tensors, ...run }).then(
      () => 'it ran',
      (error: Error) => {
        expect(error).toBeInstanceOf(UserError);
        return error.message;
      },
    );
    return message.replaceAll(dirname(file), '').replace(/\S*in\.safetensors/, 'in.safetensors');
  });
}

describe('sizes', () => {
  test('come from the shapes of the inputs', async () => {
    const results = await withFile(scaled, (file) => runTensors({ file, tensors: right }));
    expect([...results.keys()]).toEqual(['y']);
    expect([...results.get('y')!.data]).toEqual([4, 8, 12, 4, 5, 6]);
  });

  test('a bound size that the shapes contradict', async () => {
    const message = await refusal(() => {}, { sizes: { D: 4 } });
    expect(message).toContain('E0312');
    expect(message).toContain('the given `x` has 3 elements along `i` (position 2), and the input `x` has D = 4 there');
  });

  test('an input of another rank is the only thing told', async () => {
    const message = await refusal((t) => t.set('x', f32([6], [1, 2, 3, 4, 5, 6])));
    expect(message).toContain('the given `x` has 1 axis, and the input `x` has 2');
    expect(message).toContain('1 error');
  });

  test('a size that nothing gives', async () => {
    const text =
      'structure S { size r axis i: 3, k: r param A[i, k] ~ ones input x[i] y[k] = A[i, k] * x[i] output y }';
    const tensors = new Map([['x', f32([3], [1, 2, 3])]]);
    await withFile(text, async (file) => {
      await expect(runTensors({ file, tensors })).rejects.toThrow('bind it: `-s r=…`');
      tensors.set('A', f32([3, 2], [1, 2, 3, 4, 5, 6]));
      const results = await runTensors({ file, tensors, sizes: { r: 2 } });
      expect([...results.get('y')!.data]).toEqual([22, 28]);
    });
  });
});

describe('tensors that do not fit', () => {
  test('a missing input is told before the sizes that it would settle', async () => {
    expect(await refusal((t) => t.delete('x'))).toBe(
      `in.safetensors: the input \`x\` is missing; the file holds t, E
  inputs of Scaled:
    x  f32[2, D]
    t  i32[2]`,
    );
  });

  test('everything that is wrong at once, and the whole list', async () => {
    const message = await refusal((t) => {
      t.delete('E');
      t.set('e', f32([4, 3], new Float32Array(12)));
      t.set('t', f32([2], [0, 1]));
    });
    expect(message).toBe(
      `in.safetensors: \`t\` holds F32, expected integers (I32)
  the param \`E\` is missing (there is a \`e\`)
  \`e\` is no tensor of the structure
  expected:
    x  f32[2, 3]  input
    t  i32[2]     input
    E  f32[4, 3]  param`,
    );
  });

  test('a param of another shape', async () => {
    const message = await refusal((t) => t.set('E', f32([3, 4], new Float32Array(12))));
    expect(message).toContain('`E` has the shape (3, 4), expected (4, 3)');
  });

  test('a missing cotangent', async () => {
    expect(await refusal(() => {}, { vjp: true })).toContain('the cotangent `cot.y` is missing');
  });

  test('a cotangent that is not asked for does no harm', async () => {
    expect(await refusal((t) => t.set('cot.y', f32([2, 3], new Float32Array(6))))).toBe('it ran');
  });

  test.each([
    [[3, 4], '`t`[1] is 4, and it indexes dimension 0 of `E`, where only 0 to 3 exist'],
    [[-1, 0], '`t`[0] is -1'],
  ])('an index out of range: %j', async (values, told) => {
    expect(await refusal((t) => t.set('t', i32([2], values)))).toContain(told);
  });

  test('a file that is no safetensors file, and one that is not there', async () => {
    await inFolder(async (folder) => {
      const file = join(folder, 's.mlbtc');
      writeFileSync(file, scaled);
      const common = { sizes: {}, vjp: false, out: join(folder, 'out'), file };
      await expect(runStructure({ ...common, in: file }, testDevice)).rejects.toThrow('not a valid safetensors file');
      await expect(runStructure({ ...common, in: join(folder, 'gone') }, testDevice)).rejects.toThrow('ENOENT');
      await expect(runStructure({ ...common, file: `${file}x`, in: file }, testDevice)).rejects.toThrow('E0001');
    });
  });
});

describe('dtypes', () => {
  const halves = 'structure S { axis i: 3 input h[i]: f16 y[i] = h[i]^2 output y, h }';
  test('a half as it is and from floats, its gradient in f32', async () => {
    await withFile(halves, async (file) => {
      const bits: StoredTensor = { dtype: 'F16', shape: [3], data: Uint16Array.of(0x3c00, 0xc000, 0x3800) };
      const cot = new Map([
        ['cot.y', f32([3], [1, 10, 100])],
        ['cot.h', f32([3], [0, 0, 1])],
      ]);
      for (const h of [bits, f32([3], [1, -2, 0.5])]) {
        const results = await runTensors({ file, tensors: new Map([['h', h], ...cot]), vjp: true });
        expect([...results.get('y')!.data]).toEqual([1, 4, 0.25]);
        expect(results.get('h')).toEqual(bits);
        expect(results.get('grad.h')).toEqual(f32([3], [2, -40, 101]));
      }
    });
  });

  test('other integers and floats are converted, integers that do not fit are refused', async () => {
    const change = (values: readonly bigint[]) => (t: Map<string, StoredTensor>) => {
      t.set('t', { dtype: 'I64', shape: [2], data: BigInt64Array.from(values) });
      t.set('x', { dtype: 'F64', shape: [2, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6) });
    };
    expect(await refusal(change([3n, 0n]))).toBe('it ran');
    expect(await refusal(change([3n, 2n ** 40n]))).toContain('`t`[1] is 1099511627776, which is no 32-bit integer');
  });
});

test('the command itself', async () => {
  await inFolder(async (folder) => {
    const paths = { file: join(folder, 's.mlbtc'), in: join(folder, 'in'), out: join(folder, 'out') };
    writeFileSync(paths.file, scaled);
    writeSafetensors(paths.in, right);
    const program = new Command().exitOverride().configureOutput({ writeErr: () => {} });
    registerRun(program);
    const run = (...args: string[]) => program.parseAsync(['run', paths.file, ...args], { from: 'user' });
    await run('-s', 'D=3', '-s', 'B=2', '--in', paths.in, '--out', paths.out);
    expect([...readSafetensors(paths.out).tensors.keys()]).toEqual(['y']);
    await expect(run('--in', paths.in)).rejects.toThrow("'--out <file>' not specified");
    await expect(run('--in', paths.in, '--out', paths.out, '-s', 'D')).rejects.toThrow('there is no `=` in it');
  });
});

describe('what is not finite is told', () => {
  const text = 'structure S { axis i: I  input x[i]  input m[i]: f16  y[i] = log(x[i])  z[i] = 2 * m[i]  output y, z }';
  const told = async (x: readonly number[], m: readonly number[]): Promise<string[]> =>
    withFile(text, async (file) => {
      const paths = { in: join(dirname(file), 'in.safetensors'), out: join(dirname(file), 'out.safetensors') };
      const half: StoredTensor = { dtype: 'F16', shape: [m.length], data: Uint16Array.from(m) };
      writeSafetensors(
        paths.in,
        new Map([
          ['x', f32([x.length], x)],
          ['m', half],
        ]),
      );
      const lines: string[] = [];
      await runStructure({ file, sizes: {}, vjp: false, ...paths }, testDevice, (line) =>
        lines.push(line.replace(dirname(file), '')),
      );
      return lines;
    });

  test('of what is given and of what comes out, with the first place', async () => {
    expect(await told([1, 0, -1, Number.POSITIVE_INFINITY], [0x3c00, 0x7c00, 0xfe00, 0xfc00])).toEqual([
      'warning: not finite in /in.safetensors: `x` (1 of 4 elements, the first at [3], ∞), `m` (3 of 4 elements, the first at [1], ∞)',
      'warning: not finite in the result: `y` (3 of 4 elements, the first at [1], -∞), `z` (3 of 4 elements, the first at [1], ∞)',
    ]);
  });

  test('and nothing where all is', async () => {
    expect(await told([1, 2], [0x3c00, 0x7bff])).toEqual([]);
  });
});
