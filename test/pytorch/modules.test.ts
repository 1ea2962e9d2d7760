/**
 * Modules that `mlbtc export --to pytorch` writes, run by PyTorch in float64 where it is installed and held to the interpreter: outputs
 * and gradients.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type OpenedSource, openSource } from '../../compiler/command-line/source.ts';
import { freeSizes } from '../../compiler/emit/pytorch/free-sizes.ts';
import { pytorchModule } from '../../compiler/emit/pytorch/module.ts';
import { NotExpressible } from '../../compiler/emit/pytorch/scope.ts';
import { tensorMap } from '../../compiler/ir/equation.ts';
import { interpret } from '../../compiler/ir/interpret.ts';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import { printProgram } from '../../compiler/ir/print.ts';
import type { Program, Tensor } from '../../compiler/ir/program.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import { analyse } from '../../compiler/semantics/analyse.ts';
import type { StructureInterface } from '../../compiler/semantics/interface.ts';
import { structureModule } from '../../experiments/exchange/structure-module.ts';
import { structurePath } from '../../experiments/library.ts';
import { resolveFile } from '../../experiments/models/resolve.ts';
import { constructsOf } from '../support/constructs.ts';
import { inFolder } from '../support/folder.ts';
import { randomProgram } from '../support/random-program.ts';
import { integers, normals } from '../support/random-values.ts';

const python = ['python3', '/usr/bin/python3'].find((name) => spawnSync(name, ['-c', 'import torch']).status === 0);

/** A module, the program that it is to compute, and what it is given. */
interface Case {
  readonly name: string;
  readonly text: string;
  readonly program: Program;
  readonly inputs: ReadonlyMap<string, NdArray>;
}

interface Answer {
  readonly error?: string;
  readonly outputs: readonly (readonly number[])[];
  readonly shapes: readonly (readonly number[])[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

type Sizes = Readonly<Record<string, number | readonly number[]>>;

const library = Object.entries(
  JSON.parse(readFileSync('test/pytorch/structures.json', 'utf8')) as Record<string, Sizes>,
);

/** What neither the library nor a random program has: names, nesting, dtypes, and sizes that stay open. */
const written: Readonly<
  Record<string, { readonly text: string; readonly sizes?: Sizes; readonly open?: Readonly<Record<string, number>> }>
> = {
  'names that Python or a module has already': {
    text: `structure class {
      size D = 3
      axis b: B, i, j: D
      input lambda[b, j]  input self[i]
      param type[i, j] ~ normal(std = 0.5)
      param torch[i] ~ ones
      param U[i] ~ ones
      level l in 0 .. 1 { param U[i] ~ constant(l + 2)  s[i] += U[i] * self[i] }
      dtype[b, i] = type[i, j] * lambda[b, j] * torch[i]
      device[b, i] = dtype[b, i] + s[i] * U[i]
      output device
    }`,
  },
  'levels in levels, instances in levels': {
    text: `structure Inner { size D = 2  axis n: N, i, j: D  input x[n, j]  param W[i, j] ~ normal(fan_in = j)  y[n, i] = W[i, j] * x[n, j]  output y }
    structure Outer {
      size D = 2
      axis n: N, i, j: D
      input x[n, j]
      level l in 1 .. 2 {
        param g[i] ~ ones
        level k in 0 .. 1 { param V[i] ~ ones  y[n, i] += g[i] * V[i] * x[n, i] }
        use Inner(D = D, x = x) as m
        y[n, i] += m.y[n, i]
      }
      use Inner(D = D, x = y) as eval
      output eval.y, y
    }`,
  },
  'tokens, a gather, a condition on data, whole numbers as numbers': {
    text: `structure Tokens {
      size V = 3, D = 4, T = 5
      axis b: B, t, u: T, i: D
      input tokens[b, t]: i32  input seg[b, t]: i32
      axis v: V, k: 3
      param E[v, i] ~ normal(std = 1)
      param bias[k] ~ zeros
      near[t, u]: i32 = min(t - u, 2) where u <= t
      x[b, t, i] = E[tokens[b, t], i]
      A[b, t, u] = softmax[u](x[b, t, i] * x[b, u, i] + bias[near[t, u]] where u <= t and seg[b, t] == seg[b, u])
      y[b, t] = mean[u](A[b, t, u] * (t - u)) + tokens[b, t] / 3 + exp(0 - seg[b, t])
      output y, A
    }`,
  },
  'a size that is asked for has its number, one that is not is open': {
    text: `structure Open {
      axis b: B, t: T, u: T, i: I
      input x[b, t, i]  input z[b, i]  input c[t]
      y[b, t, i] = x[b, t, i] * z[b, i] + cumulated[t]
      cumulated[t] = sum[u](c[u] where u <= t)
      output y
    }`,
    sizes: { T: 4 },
    open: { B: 2, I: 3 },
  },
  'what is excluded is absent from values and gradients': {
    text: `structure Absent {
      size D = 4
      axis b: B, t, u: D
      input x[b, u]
      input s
      r[b, u] = sqrt(x[b, u]^2 * u) where u > 0
      z[b, u] = 1 / u + x[b, u]
      y[b, t] = sum[u](s * x[b, u] / (u - t) + (x[b, u]^2 * (t - u))^0.5 where u < t) + select(x[b, t] > 0, log(x[b, t]), s)
      w[b, t] = sum[u]((t - u) * s * z[b, u] where u > t)
      v[b, t] = logsumexp[u](log(x[b, u]^2 * u) where u > 0)
      e[b] = max[u](exp(1000 * x[b, u]^2 * (1 - u)) / u where u > 1)
      output r, y, w, v, e
    }`,
  },
  'scalars, fixed params, halves, powers, several outputs': {
    text: `structure Scalars {
      size D = 3
      const gamma = 0.5
      axis i: D
      input x[i]: f16  input s
      param g ~ ones
      param m[i] ~ constant(2), fixed
      total = sum[i](m[i] * x[i]^2) * s
      y[i] = g * gamma^2 * x[i] + max(x[i], 0.25) - min(s, x[i]) + prod[i](2 + 0.1 * x[i])
      output total, y
    }`,
  },
};

/** All in one process, since PyTorch takes seconds to begin. */
test.skipIf(python === undefined)('modules in PyTorch give what the interpreter gives', () => {
  expect(library.map(([name]) => `${name}.mlbtc`)).toEqual(readdirSync('experiments/structures').sort());
  const random = randomCases(60, 7);
  expect([...wanted].filter((kind) => !random.some(({ program }) => constructsOf(program).has(kind)))).toEqual([]);
  return expectSame([
    ...library.map(([name, sizes]) => fileCase(name, openSource(structurePath(name)), sizes)),
    ...Object.entries(written).map(([name, { text, sizes = {}, open }]) =>
      fileCase(name, { source: { file: 'here.mlbtc', text }, resolve: resolveFile, slots: {} }, sizes, open),
    ),
    ...random,
  ]);
});

/** What random programs must have met, so that they say something. */
const wanted = [
  ...[
    'reducer max',
    'reducer min',
    'reducer product',
    'reducer logsumexp',
    'domain nonnegative',
    'domain zero',
    'domain nonzero',
  ],
  ...[
    'store gather',
    'store group',
    'store strided or offset',
    'store diagonal',
    'select domain',
    'select compare',
    'load gather',
  ],
];

function randomCases(count: number, seed: number): readonly Case[] {
  return fc.sample(randomProgram(), { numRuns: count, seed }).flatMap(({ program, inputs }, i) => {
    const kinds = constructsOf(program);
    const isUsers = !['tensor view', 'tensor concat', 'random uniform', 'random normal'].some((kind) =>
      kinds.has(kind),
    );
    return isUsers ? programCase(`random ${i}`, program, optimise(program), inputs) : [];
  });
}

/** Of the sizes that a file leaves open. */
const batch = { B: 3, N: 3 };

function fileCase(
  name: string,
  opened: OpenedSource,
  sizes: Sizes,
  open: Readonly<Record<string, number>> = batch,
): Case {
  const { text } = structureModule(opened, { sizes });
  const known = analyse({ ...opened, sizes, unbound: 'one' }).interface?.sizes ?? [];
  const unbound = known.flatMap((size) => (size.unbound ? [[size.name, open[size.name]] as const] : []));
  const { program } = analyse({ ...opened, sizes: { ...sizes, ...Object.fromEntries(unbound) }, unbound: 'refuse' });
  if (program === undefined) throw new Error(`${name} is no structure`);
  const given = program.tensors.filter(({ source }) => source.kind !== 'computed');
  return { name, text, program, inputs: new Map(given.map((tensor, i) => [tensor.name, numbersOf(tensor, i)])) };
}

const noInterface: StructureInterface = {
  name: 'Random',
  doc: undefined,
  sizes: [],
  consts: [],
  inputs: [],
  params: [],
  outputs: [],
};

function programCase(
  name: string,
  written: Program,
  program: Program,
  inputs: ReadonlyMap<string, NdArray>,
): readonly Case[] {
  const free = freeSizes(program, [], () => false);
  const subject = { written, program, interface: noInterface, free, file: 'random.mlbtc', originOf: () => undefined };
  try {
    return [{ name, text: pytorchModule(subject), program: written, inputs }];
  } catch (problem) {
    if (problem instanceof NotExpressible) return [];
    throw problem;
  }
}

async function expectSame(cases: readonly Case[]): Promise<void> {
  const failures = await inFolder((folder) => {
    const prepared = cases.map((each, i) => prepare(each, join(folder, `module_${i}.py`)));
    const input = prepared.map(({ request }) => `${JSON.stringify(request)}\n`).join('');
    const options = { input, encoding: 'utf8', maxBuffer: 2 ** 30 } as const;
    const lines = execFileSync(python as string, ['test/pytorch/compare.py'], options)
      .trim()
      .split('\n');
    return prepared.flatMap(({ check }, i) => check(parsed(lines[i])).map((line) => `${cases[i].name}: ${line}`));
  });
  expect(failures).toEqual([]);
}

/** Python writes what is no number as JavaScript does not. */
function parsed(line: string): Answer {
  return JSON.parse(line.replace(/NaN|-?Infinity/g, 'null'));
}

function prepare({ name, text, program, inputs }: Case, path: string) {
  writeFileSync(path, text);
  const expected = expectedOf(program, inputs);
  const json = ({ shape, data }: NdArray, integer = false) => ({ shape, data: [...data], integer });
  const of = (kind: string) =>
    program.tensors.flatMap((tensor) =>
      tensor.source.kind === kind
        ? [[tensor.name, json(inputs.get(tensor.name) as NdArray, tensor.dtype === 'i32')] as const]
        : [],
    );
  // What is called otherwise there, the module's text says.
  const stored = new Map([...text.matchAll(/^ {4}(\S+): .*, here (\S+)$/gm)].map(([, ours, theirs]) => [ours, theirs]));
  const storedAs = (param: string) => stored.get(param) ?? param;
  const request = {
    ...{ name, path, class: /^class ([^(]+)/m.exec(text)?.[1] },
    params: Object.fromEntries(of('param').map(([param, value]) => [storedAs(param), value])),
    inputs: of('input').map(([, value]) => value),
    inputNames: of('input').map(([input]) => input),
    cotangents: expected.cotangents.map((c) => json(c)),
  };
  const check = ({ error, outputs, shapes, gradients }: Answer): readonly string[] => {
    if (error !== undefined) return [`${error}\n${text}\n${printProgram(program)}`];
    const found = [
      ...expected.outputs.flatMap(({ shape, data }, i) => [
        ...(shapes[i].join() === shape.join() ? [] : [`output ${i}: shape ${shapes[i]}, not ${shape}`]),
        ...apart(`output ${i}`, outputs[i], data),
      ]),
      ...[...expected.gradients].flatMap(([of, { data }]) => apart(`gradient of ${of}`, gradients[storedAs(of)], data)),
    ];
    return found.length === 0 ? [] : [`${found.join('; ')}\n${text}`];
  };
  return { request, check };
}

/** Errors beside the largest element; where all are noise, beside 1/10,000. */
function apart(what: string, found: readonly number[] | undefined, wanted: ArrayLike<number>): readonly string[] {
  const size = Math.max(1e-4, ...Array.from(wanted, Math.abs));
  const errors = Array.from(wanted, (value, i) => Math.abs(value - (found?.[i] ?? Number.NaN)) / size);
  return errors.every((error) => error < 1e-9) ? [] : [`${what} apart by ${Math.max(...errors)}`];
}

function numbersOf({ shape, dtype, name }: Tensor, seed: number): NdArray {
  return dtype === 'i32' ? integers(shape, seed + name.length, 3) : normals(shape, seed);
}

function expectedOf(program: Program, given: ReadonlyMap<string, NdArray>) {
  const tensors = tensorMap(program);
  const isReal = (name: string) => tensors.get(name)?.dtype !== 'i32';
  const wrt = program.tensors.flatMap(({ name, source }) => (source.kind !== 'computed' && isReal(name) ? [name] : []));
  const seeds = Object.fromEntries(program.outputs.filter(isReal).map((name) => [name, 'input' as const]));
  const backward = differentiate(program, { seeds, wrt });
  const cotangents = program.outputs.map((name, i) => normals((tensors.get(name) as Tensor).shape, 50 + i));
  const inputs = new Map([...given, ...program.outputs.map((name, i) => [`cot.${name}`, cotangents[i]] as const)]);
  const found = interpret(backward, inputs);
  const gradients = backward.outputs.slice(program.outputs.length);
  return {
    cotangents,
    outputs: program.outputs.map((name) => found.get(name) as NdArray),
    gradients: new Map(wrt.map((name, i) => [name, found.get(gradients[i]) as NdArray])),
  };
}
