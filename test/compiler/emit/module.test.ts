/** What `build --emit ts` writes: type-checked as it stands, loaded, run on the device, and held against the interpreter. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { mlbtcc } from '../../support/command-line.ts';
import { testDevice } from '../../support/device.ts';
import { inFolder } from '../../support/folder.ts';
import { relativeError } from '../../support/run-on-device.ts';
import { interpreted, randomTensors, type Sizes, writtenProgram } from '../../support/run-structure.ts';

const shared = (name: string): string => new URL(`../../structures/${name}.mlbtc`, import.meta.url).pathname;
const root = new URL('../../../', import.meta.url).pathname;

type Arrays = Record<string, Float32Array | Int32Array | Uint16Array>;
interface Emitted {
  run(device: GPUDevice, inputs: Arrays): Promise<Arrays>;
  load(device: GPUDevice): Promise<{ run(inputs: Arrays): Promise<Arrays>; destroy(): void }>;
}

const withTokens = `structure Tokens {
  axis v: 3, i: 4, b: 5
  input t[b]: i32
  input half[b]: f16
  param E[v, i] ~ normal(std = 1)
  y[b, i] = E[t[b], i] * half[b]
  output y, t
}`;

const cases: readonly (readonly [string, Sizes])[] = [
  ['btt', { D: 16, N: 3 }],
  ['mlr', { D: 16, B: 2, ranks: [2, 1] }],
];

function sizeArgs(sizes: Sizes): string[] {
  return Object.entries(sizes).flatMap(([name, value]) => ['-s', `${name}=${JSON.stringify(value)}`]);
}

async function emitted(file: string, args: readonly string[], folder: string): Promise<Emitted> {
  const { code, err } = await mlbtcc(['build', file, ...args, '--emit', 'ts', '-o', folder]);
  expect([code, err]).toEqual([0, '']);
  const [name] = readdirSync(folder).filter((path) => path.endsWith('.ts'));
  const text = readFileSync(join(folder, name), 'utf8');
  expect(text).not.toMatch(/^import/m);
  return import(join(folder, name));
}

test.each(cases)('%s %o with gradients', async (name, sizes) => {
  await inFolder(async (folder) => {
    const program = writtenProgram(shared(name), sizes);
    const tensors = randomTensors(program);
    const wanted = interpreted(program, tensors);
    const module = await emitted(shared(name), [...sizeArgs(sizes), '--grad'], join(folder, 'out'));
    const { device } = await testDevice();
    const inputs = Object.fromEntries([...tensors].map(([key, { data }]) => [key, data])) as Arrays;
    const loaded = await module.load(device);
    const first = await loaded.run(inputs);
    const second = await loaded.run(inputs);
    loaded.destroy();
    expect(Object.keys(first).sort()).toEqual([...wanted.keys()].sort());
    for (const [key, { data }] of wanted) {
      expect(relativeError(first[key], data), key).toBeLessThan(2e-5);
      expect(second[key]).toEqual(first[key]);
    }
    await expect(module.run(device, { ...inputs, x: new Float32Array(1) })).rejects.toThrow(
      'x must be a Float32Array of',
    );
  });
});

test('integers, halves and an output that is an input', async () => {
  await inFolder(async (folder) => {
    const file = join(folder, 'tokens.mlbtc');
    writeFileSync(file, withTokens);
    const module = await emitted(file, [], join(folder, 'out'));
    const { device } = await testDevice();
    const E = Float32Array.from({ length: 12 }, (_, i) => i);
    // 1, 2, 0.5, -1, 0 as binary16.
    const half = Uint16Array.of(0x3c00, 0x4000, 0x3800, 0xbc00, 0);
    const t = Int32Array.of(2, 0, 1, 2, 1);
    const { y, t: back } = await module.run(device, { E, half, t });
    expect([...y]).toEqual([8, 9, 10, 11, 0, 2, 4, 6, 2, 2.5, 3, 3.5, -8, -9, -10, -11, 0, 0, 0, 0]);
    expect(back).toEqual(t);
  });
});

test('type-checks in the strictest setting, with nothing but the types of WebGPU', async () => {
  await inFolder(async (folder) => {
    await mlbtcc(['build', shared('mlr'), '-s', 'B=2', '--grad', '--emit', 'ts', '-o', folder]);
    // The example of its header is TypeScript, too.
    const [header = ''] = readFileSync(join(folder, 'MLR.ts'), 'utf8').split('Arrays are row-major');
    const example = [...header.matchAll(/^ \* {3}(.*)$/gm)].map(([, line]) => line).join('\n');
    expect(example).toContain("'U.0': new Float32Array(");
    const head = "import { load } from './MLR';\ndeclare const device: GPUDevice;\n";
    writeFileSync(join(folder, 'example.ts'), `${head}${example}\nexport {};\n`);
    const require = createRequire(import.meta.url);
    const options = { strict: true, noUnusedLocals: true, erasableSyntaxOnly: true, noEmit: true, skipLibCheck: true };
    const config = {
      compilerOptions: {
        ...options,
        target: 'es2023',
        lib: ['es2023'],
        module: 'esnext',
        moduleResolution: 'bundler',
        typeRoots: [join(root, 'node_modules')],
        types: ['@webgpu/types'],
      },
      include: ['*.ts'],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');
    const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([0, '']);
  });
});
