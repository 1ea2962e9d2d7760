/** `mlbtcc build`: what is written, that it is the same every time, and that nothing is written by halves. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../../compiler/emit/manifest.ts';
import { portableTarget } from '../../../kernels/target.ts';
import { mlbtcc, writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const shared = (name: string): string => new URL(`../../structures/${name}.mlbtc`, import.meta.url).pathname;
const everything = ['--emit', 'wgsl,ir,json,ts,dot'];

function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

async function built(args: readonly string[]): Promise<Record<string, string>> {
  return inFolder(async (folder) => {
    const out = join(folder, 'a', 'out');
    const { code, err } = await mlbtcc(['build', ...args, '-o', out]);
    expect([code, err]).toEqual([0, '']);
    return contents(out);
  });
}

const manifestOf = (files: Record<string, string>): Manifest => JSON.parse(files['manifest.json']);

describe('what is written', () => {
  test('kernels named after what they make, with their origin, and the manifest', async () => {
    const files = await built([shared('btt'), '-s', 'D=16', '-s', 'N=4', '--grad', ...everything]);
    const manifest = manifestOf(files);
    const kernels = Object.keys(files).filter((name) => name.endsWith('.wgsl'));
    expect(new Set(manifest.kernels.map(({ file }) => file))).toEqual(new Set(kernels));
    expect(Object.keys(files).filter((name) => !kernels.includes(name))).toEqual([
      'BTT.dot',
      'BTT.ir',
      'BTT.ts',
      'manifest.json',
    ]);
    const maker = manifest.kernels.find(({ makes }) => makes.includes('y'))!;
    expect(maker.file).toContain('y');
    expect(files[maker.file]).toContain('// y, from btt.mlbtc:10:13: y[n, i] = W[i, j] * x[n, j]');
    expect(manifest.inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['x', [4, 16]],
      ['cot.y', [4, 16]],
    ]);
    expect(manifest.outputs.map(({ name }) => name)).toEqual(['y', 'grad.x', 'grad.L', 'grad.R']);
    expect(manifest.params.find(({ name }) => name === 'R')).toMatchObject({
      shape: [2, 8, 8, 1],
      dtype: 'f32',
      init: { kind: 'normal', fanIn: 8 },
      fixed: false,
    });
    expect(manifest.sizes).toMatchObject({ D: 16, s: 1, N: 4 });
    for (const { bindings, workgroups, entryPoint } of manifest.kernels) {
      expect(entryPoint).toBe('main');
      expect(Math.min(...workgroups)).toBeGreaterThan(0);
      for (const { buffer, offsetBytes, sizeBytes } of bindings) {
        const whole = manifest.buffers.find(({ name }) => name === buffer)!;
        expect(offsetBytes + sizeBytes).toBeLessThanOrEqual(whole.sizeBytes);
      }
    }
    for (const name of [...manifest.outputs, ...manifest.inputs, ...manifest.params].map((t) => t.name)) {
      expect(files['BTT.dot']).toContain(`"t ${name}"`);
      expect(files['BTT.ir']).toContain(`${name}: f32[`);
    }
  });

  test('no more than was asked for', async () => {
    expect(Object.keys(await built([shared('dense'), '-s', 'B=2', '--emit', 'ir']))).toEqual(['Dense.ir']);
    const files = Object.keys(await built([shared('dense'), '-s', 'B=2']));
    expect(files).toEqual(['manifest.json', 'y.wgsl']);
  });

  const matrices: Readonly<Record<string, string>> = {
    btt: 'N',
    butterfly: 'N',
    kronecker: 'N',
    low_rank: 'B',
    mlbtc: 'N',
    mlr: 'B',
    monarch: 'N',
    tensor_train: 'N',
  };
  test.each(Object.entries(matrices))('%s: no buffer has D² elements', async (name, batch) => {
    for (const grad of [[], ['--grad']]) {
      const manifest = manifestOf(await built([shared(name), '-s', `${batch}=3`, ...grad]));
      const [, width] = manifest.inputs[0].shape;
      for (const { shape, sizeBytes, name: buffer } of manifest.buffers) {
        expect(
          shape.reduce((n, extent) => n * extent, 1),
          buffer,
        ).toBeLessThan(width * width);
        expect(sizeBytes / 4, buffer).toBeLessThan(width * width);
      }
    }
  });

  test('a shared kernel is one file and several dispatches', async () => {
    const manifest = manifestOf(await built([shared('butterfly'), '-s', 'N=2', '-s', 'depth=3']));
    expect(new Set(manifest.kernels.map(({ name }) => name)).size).toBe(manifest.kernels.length);
    expect(manifest.kernels.length).toBeGreaterThanOrEqual(3);
  });
});

describe('the same every time', () => {
  test.each(['mlr', 'attention'])('%s', async (name) => {
    const sizes = ['-s', 'B=2', ...(name === 'attention' ? ['-s', 'T=5', '-s', 'D=16', '-s', 'H=2'] : [])];
    const args = [shared(name), ...sizes, '--grad', ...everything];
    const first = await built(args);
    expect(await built(args)).toEqual(first);
    await inFolder(async (folder) => {
      const copy = join(folder, basename(shared(name)));
      writeFileSync(copy, readFileSync(shared(name)));
      expect(await built([copy, ...args.slice(1)])).toEqual(first);
    });
  });
});

describe('whole or not at all', () => {
  test('an unbound size is refused by name, and nothing is written', async () => {
    await inFolder(async (folder) => {
      const { code, err } = await mlbtcc(['build', shared('attention'), '-o', join(folder, 'out')]);
      expect(code).toBe(1);
      expect(err).toContain('E0302: the size `B` has no value');
      expect(err).toContain('E0302: the size `T` has no value');
      expect(readdirSync(folder)).toEqual([]);
    });
  });

  test('into a folder with other things: they stay, kernels of an earlier build go', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, { 'notes.txt': 'mine', 'mine.wgsl': '// mine' });
      const build = (...args: string[]) => mlbtcc(['build', ...args, '-o', folder]);
      expect((await build(shared('btt'), '-s', 'N=1', '-s', 'D=16', '--grad')).code).toBe(0);
      expect(readdirSync(folder)).toContain('grad.L.wgsl');
      expect((await build(shared('dense'), '-s', 'B=2')).code).toBe(0);
      expect(readdirSync(folder).sort()).toEqual(['manifest.json', 'mine.wgsl', 'notes.txt', 'y.wgsl']);
      expect(contents(folder)).toMatchObject({ 'notes.txt': 'mine', 'mine.wgsl': '// mine' });
      const before = contents(folder);
      expect((await build(shared('dense'))).code).toBe(1);
      expect(contents(folder)).toEqual(before);
    });
  });

  test('an output that is a file', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, { out: 'mine' });
      const { code, err } = await mlbtcc(['build', shared('dense'), '-s', 'B=2', '-o', join(folder, 'out')]);
      expect(code).toBe(1);
      expect(err).toContain('is a file, and the output needs a folder');
      expect(contents(folder)).toEqual({ out: 'mine' });
      const inside = await mlbtcc(['build', shared('dense'), '-s', 'B=2', '-o', join(folder, 'out/deep')]);
      expect(inside).toMatchObject({
        code: 1,
        err: expect.stringContaining('is a file, and a folder is needed there'),
      });
      expect(inside.err).not.toContain('.tmp');
      const nowhere = await mlbtcc(['build', shared('dense'), '-s', 'B=2', '-o', '']);
      expect(nowhere).toMatchObject({ code: 2, err: expect.stringContaining('names no folder') });
      const stream = await mlbtcc(['build', shared('dense'), '-s', 'B=2', '-o', '-']);
      expect(stream).toMatchObject({ code: 2, err: expect.stringContaining('./- is a folder of that name') });
    });
  });
});

describe('targets', () => {
  test('cpu, and a file with a limit of its own; portable unless told', async () => {
    await inFolder(async (folder) => {
      writeFiles(folder, {
        't.json': JSON.stringify({ name: 'mine', limits: { maxStorageBuffersPerShaderStage: 4 } }),
        'doctor.json': JSON.stringify({ devices: [{ target: { ...portableTarget, name: 'found', class: 'cpu' } }] }),
        'wrong.json': JSON.stringify({ class: 'tpu', limits: { maxBufferSize: -1 } }),
        'broken.json': '{',
      });
      const base = [shared('mlr'), '-s', 'B=2', '--target'];
      expect(manifestOf(await built(base.slice(0, 3))).target).toEqual(portableTarget);
      expect(manifestOf(await built([...base, 'cpu'])).target.class).toBe('cpu');
      expect(manifestOf(await built([...base, join(folder, 'doctor.json')])).target.name).toBe('found');
      const small = manifestOf(await built([...base, join(folder, 't.json')]));
      expect(Math.max(...small.kernels.map(({ bindings }) => bindings.length))).toBeLessThanOrEqual(4);
      for (const [name, told, code] of [
        ['wrong.json', 'class', 1],
        ['broken.json', 'is not JSON', 1],
        ['gone.json', 'no such file', 1],
        ['h100', 'none of gpu, cpu', 2],
      ] as const) {
        const path = name.endsWith('.json') ? join(folder, name) : name;
        const result = await mlbtcc(['build', ...base, path, '-o', join(folder, 'out')]);
        expect([result.code, result.err]).toEqual([code, expect.stringContaining(told)]);
      }
    });
  });

  test('a tensor beyond the limits is built, and told', async () => {
    await inFolder(async (folder) => {
      const args = ['build', shared('dense'), '-s', 'B=1', '-s', 'I=8192', '-s', 'O=8192', '-o', join(folder, 'o')];
      const { code, err } = await mlbtcc(args);
      expect(code).toBe(0);
      expect(err).toContain("warning: beyond the limits of the target 'portable'");
      expect(err).toContain('256 MiB');
    });
  });

  test('--memory: the buffers take no more; too little is told with what is enough', async () => {
    await inFolder(async (folder) => {
      const layer = (l: number): string =>
        `param U${l}[f, i] ~ normal(fan_in = i)  param V${l}[i, f] ~ normal(fan_in = f)
         h${l + 1}[n, i] = h${l}[n, i] + V${l}[i, f] * gelu(U${l}[f, j] * h${l}[n, j])\n`;
      const layers = [0, 1, 2].map(layer).join('');
      writeFiles(folder, {
        's.mlbtc': `structure S { axis n: 512, i, j: 16, f: 64  input h0[n, i]\n${layers} output h3 }\n`,
      });
      const args = [join(folder, 's.mlbtc'), '--grad'];
      const taken = (files: Record<string, string>) =>
        manifestOf(files).buffers.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
      const plain = taken(await built(args));
      const allowed = Math.round(0.9 * plain);
      expect(taken(await built([...args, '--memory', `${allowed}`]))).toBeLessThanOrEqual(allowed);
      expect(taken(await built([...args, '--memory', '90%']))).toBeLessThanOrEqual(allowed);
      const short = await mlbtcc(['build', ...args, '--memory', '1kB', '-o', join(folder, 'o')]);
      expect(short.code).toBe(1);
      expect(short.err).toMatch(/^error: --memory: the buffers take \S+ MiB, and \S+ KiB where all is computed again/);
      const [, enough] = /help: --memory (\d+) is enough/.exec(short.err) ?? [];
      expect(taken(await built([...args, '--memory', enough]))).toBeLessThanOrEqual(Number(enough));
      const wrong = await mlbtcc(['build', ...args, '--memory', 'much', '-o', join(folder, 'o')]);
      expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('is no amount such as 2GiB')]);
    });
  });

  test('another structure of the file', async () => {
    await inFolder(async (folder) => {
      const one = (name: string, factor: number): string =>
        `structure ${name} { axis i: 4  input x[i]  y[i] = ${factor} * x[i]  output y }\n`;
      writeFiles(folder, { 's.mlbtc': one('First', 2) + one('Second', 3) });
      const file = join(folder, 's.mlbtc');
      expect(manifestOf(await built([file])).structure).toBe('Second');
      expect(manifestOf(await built([file, '--structure', 'First'])).structure).toBe('First');
      const { code, err } = await mlbtcc(['build', file, '--structure', 'Frist', '-o', join(folder, 'o')]);
      expect([code, err]).toEqual([1, expect.stringContaining('did you mean `First`?')]);
    });
  });
});
