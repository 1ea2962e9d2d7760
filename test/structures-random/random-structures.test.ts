/**
 * Random `.mlbtc` files through every stage, from the text to the device and back to the table of what was met. MLBTC_RANDOM_RUNS
 * scales how many (a seventh of it on the device), MLBTC_RANDOM_SEED repeats a run; both are printed. A failure shows the shrunk file.
 *
 *   text = formatted text → program = each pass off = all on (interpreter) = WGSL in every form (device), with gradients
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { leftToRightMultiplyAdds, multiplyAdds } from '../../compiler/analysis/cost.ts';
import { openSource } from '../../compiler/command-line/source.ts';
import { compile, compileProgram } from '../../compiler/compile.ts';
import { hashProgram } from '../../compiler/ir/hash.ts';
import { interpret } from '../../compiler/ir/interpret.ts';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import { printProgram } from '../../compiler/ir/print.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { verify } from '../../compiler/ir/verify.ts';
import { binaryDerivatives, unaryDerivatives } from '../../compiler/passes/differentiate/derivatives.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives, type PassName, passes } from '../../compiler/passes/pipeline.ts';
import type { Plan } from '../../compiler/schedule/plan.ts';
import type { ScheduleOptions } from '../../compiler/schedule/schedule.ts';
import { type Analysis, analyse } from '../../compiler/semantics/analyse.ts';
import { codes } from '../../compiler/syntax/codes.ts';
import { formatSource } from '../../compiler/syntax/format.ts';
import { parse } from '../../compiler/syntax/parser.ts';
import { renderDiagnostics } from '../../compiler/syntax/render.ts';
import { portableTarget, type Target } from '../../kernels/target.ts';
import { expectSameOutputs } from '../compiler/passes/agree.ts';
import { files as exampleFiles, examples } from '../compiler/semantics/code-examples.ts';
import { structuresFolder, file as wholeFile } from '../compiler/semantics/support.ts';
import { single } from '../compiler/syntax/mistakes.ts';
import { withoutPositions } from '../compiler/syntax/support.ts';
import { checkGradients, derivativeAtZero, dot, plus, valueIn } from '../support/check-gradients.ts';
import { constructsOf } from '../support/constructs.ts';
import { testDevice } from '../support/device.ts';
import { normals } from '../support/random-values.ts';
import { asF32, roundingBounds } from '../support/rounding.ts';
import { relativeError, runOnDevice } from '../support/run-on-device.ts';
import { constructs } from './draft.ts';
import { newHits } from './hits.ts';
import { mutated } from './mutations.ts';
import { analyseOptions, leafValues, type RandomStructure, randomStructure } from './structure.ts';

const usual = { runs: 100, seed: 20_261_124 };
const runs = Number(process.env.MLBTC_RANDOM_RUNS ?? usual.runs);
const seed = Number(process.env.MLBTC_RANDOM_SEED ?? usual.seed);
const timeout = 1_800_000;
/** Milliseconds after which a run ends with the smallest failure found so far. */
const shrinkLimit = 300_000;

const hits = newHits();
const passNames = Object.keys(passes) as PassName[];
hits.expect('constructs', constructs);
hits.expect('derivative rules', [
  // A negation in a text is a product with -1; the operator is met by random tensor programs alone.
  ...Object.keys(unaryDerivatives).filter((name) => name !== 'negate'),
  // Whole numbers are not differentiated through.
  ...Object.keys(binaryDerivatives)
    .filter((name) => name !== 'quotient' && name !== 'remainder')
    .flatMap((name) => [`${name}.left`, `${name}.right`]),
  ...['sum', 'product', 'max', 'min', 'logsumexp'].map((reducer) => `reducer ${reducer}`),
]);
hits.expect(
  'passes that changed something',
  // A running sum must be long to go in chunks; the pass has random sums of its own.
  passNames.filter((name) => name !== 'chunk'),
);
hits.expect('passes that changed derivatives', ['simplify', 'distribute', 'order']);
hits.expect('kernels on the device', [
  ...['loop', 'loop of several', 'row', 'row of several', 'row of several lanes', 'contraction'],
  ...['contraction tiled', 'contraction direct', 'contraction lanes', 'contraction of several'],
]);
hits.expect(
  'diagnostic codes',
  // E08xx is what training says of a whole model, or an export of a structure; no file is wrong by itself.
  Object.keys(codes).filter((code) => !code.startsWith('E08')),
);

/** The rules count when they are asked, and are put back at the end: the test files of one process share them. */
type Rules = Record<string, (...operands: never[]) => unknown>;
const restore: (() => void)[] = [];
function countRules(rules: Rules, nameOf: (key: string) => string): void {
  for (const [key, rule] of Object.entries(rules)) {
    restore.push(() => {
      rules[key] = rule;
    });
    rules[key] = (...operands) => {
      hits.count('derivative rules', nameOf(key));
      return rule(...operands);
    };
  }
}
countRules(unaryDerivatives as Rules, (key) => key);
for (const [name, both] of Object.entries(binaryDerivatives)) countRules(both as Rules, (side) => `${name}.${side}`);

/** As written, without diagnostics. */
function programOf(structure: RandomStructure, text = structure.text): Program {
  const { diagnostics, program, sources } = analyse(analyseOptions(structure, text));
  const errors = diagnostics.filter((d) => d.severity === 'error');
  if (program === undefined || errors.length > 0) throw new Error(renderDiagnostics(errors, sources));
  return program;
}

function isTame(program: Program, inputs: ReadonlyMap<string, NdArray>): boolean {
  return [...interpret(program, inputs).values()].every(({ data }) => data.every((x) => Math.abs(x) < 1e3));
}

function floating(program: Program, of: 'given' | 'outputs'): readonly string[] {
  return program.tensors
    .filter(({ name, dtype, source }) => {
      if (dtype === 'i32') return false;
      return of === 'outputs' ? program.outputs.includes(name) : source.kind === 'input' || source.kind === 'param';
    })
    .map(({ name }) => name);
}

function seedsFor(names: readonly string[]): Record<string, 'input'> {
  return Object.fromEntries(names.map((name) => [name, 'input' as const]));
}

function derivativeOf(program: Program): Program {
  return differentiate(program, { seeds: seedsFor(floating(program, 'outputs')), wrt: floating(program, 'given') });
}

function withCotangents(derived: Program, inputs: ReadonlyMap<string, NdArray>): Map<string, NdArray> {
  const all = new Map(inputs);
  for (const { name, shape, source } of derived.tensors) {
    if (source.kind === 'input' && !all.has(name)) all.set(name, normals(shape, 300 + all.size));
  }
  return all;
}

/** Counts the passes that change the program on its way. */
function changes(section: string, before: Program): (pass: PassName, after: Program) => void {
  let last = hashProgram(before);
  return (pass, after) => {
    const hash = hashProgram(after);
    if (hash !== last) hits.count(section, pass);
    last = hash;
  };
}

/** Of several ways to go, one a structure, and for the same structure the same. */
function one<T>(ways: readonly T[], { text }: RandomStructure): T {
  return ways[text.length % ways.length];
}

function check(share: number, offset: number, property: (structure: RandomStructure) => void): void {
  const numRuns = Math.ceil(runs * share);
  fc.assert(fc.property(randomStructure(), property), {
    numRuns,
    seed: seed + offset,
    interruptAfterTimeLimit: shrinkLimit,
    endOnFailure: process.env.MLBTC_SHRINK === 'no',
  });
}

describe(`${runs} random structures, seed ${seed}`, () => {
  test('are written, formatted and read as the same program', { timeout }, () => {
    check(2, 0, (structure) => {
      for (const construct of structure.constructs) hits.count('constructs', construct);
      const { file, diagnostics } = parse({ file: 'random.mlbtc', text: structure.text });
      expect(diagnostics).toEqual([]);
      const once = formatSource({ file: 'random.mlbtc', text: structure.text });
      if (!('text' in once)) throw new Error('not formatted');
      const again = parse({ file: 'random.mlbtc', text: once.text });
      const bare = (tree: typeof file): unknown => withoutPositions({ ...tree, comments: [] });
      expect(bare(again.file)).toEqual(bare(file));
      expect(formatSource({ file: 'random.mlbtc', text: once.text })).toEqual(once);
      const program = programOf(structure);
      expect(verify(program), printProgram(program)).toEqual([]);
      expect(hashProgram(programOf(structure, once.text))).toBe(hashProgram(program));
      for (const [name, shape] of structure.outputs) {
        expect(program.tensors.find((t) => t.name === name)?.shape, name).toEqual(shape);
      }
      for (const construct of constructsOf(program)) hits.count('of the tensor program', construct);
    });
  });

  test('keep their value with every pass on and each off, and cost no more than left to right', { timeout }, () => {
    check(1.5, 1, (structure) => {
      const program = programOf(structure);
      const inputs = leafValues(program);
      fc.pre(isTame(program, inputs));
      const optimised = optimise(program, { inspect: changes('passes that changed something', program) });
      expectSameOutputs(program, optimised, inputs);
      const disabled = new Set([one(passNames, structure)]);
      expectSameOutputs(program, optimise(program, { disabled }), inputs);
      const unordered = optimise(program, { disabled: new Set(['order']) });
      expect(multiplyAdds(optimised), printProgram(optimised)).toBeLessThanOrEqual(leftToRightMultiplyAdds(unordered));
    });
  });

  test('have gradients that are their central differences', { timeout }, () => {
    check(3, 2, (structure) => {
      const program = programOf(structure);
      const inputs = leafValues(program);
      fc.pre(isTame(program, inputs));
      const derived = checkGradients({ program, inputs, wrt: floating(program, 'given'), directions: 2 });
      for (const t of derived.tensors) {
        if (t.source.kind !== 'computed') continue;
        for (const { reducer } of t.source.equations) hits.count('derivative rules', `reducer ${reducer}`);
      }
    });
  });

  test('have the same gradients optimised before and after', { timeout }, () => {
    check(0.3, 3, (structure) => {
      const program = programOf(structure);
      const inputs = leafValues(program);
      fc.pre(isTame(program, inputs));
      const plain = derivativeOf(program);
      const values = withCotangents(plain, inputs);
      const derived = derivativeOf(optimise(program));
      const inspect = changes('passes that changed derivatives', derived);
      expectSameOutputs(plain, optimiseDerivatives(derived, { inspect }), values);
      const disabled = new Set([one(passNames, structure)]);
      const off = derivativeOf(optimise(program, { disabled }));
      expectSameOutputs(plain, optimiseDerivatives(off, { disabled }), values);
    });
  });

  test('have forward and reverse derivatives that agree: <J v, c> = <v, Jᵀ c>', { timeout }, () => {
    check(1, 4, (structure) => {
      const program = programOf(structure);
      const inputs = leafValues(program);
      fc.pre(isTame(program, inputs));
      transposes(program, inputs);
    });
  });

  test('compile to the same bytes twice', { timeout }, () => {
    check(0.06, 5, (structure) => {
      const compiled = (): string => {
        const result = compile({ ...analyseOptions(structure), target: portableTarget, gradients: true });
        return JSON.stringify(result.compiled?.plan);
      };
      const first = compiled();
      expect(first).toBeDefined();
      expect(compiled()).toBe(first);
    });
  });
});

/** Jᵀ c is linear in c, so its own reverse derivative along v is J v, the forward derivative. */
function transposes(program: Program, inputs: ReadonlyMap<string, NdArray>): void {
  const [wrt, outputs] = [floating(program, 'given'), floating(program, 'outputs')];
  const gradients = wrt.map((name) => `grad.${name}`);
  const forward = differentiate(derivativeOf(program), {
    seeds: seedsFor(gradients),
    wrt: outputs.map((name) => `cot.${name}`),
  });
  expect(verify(forward), printProgram(forward)).toEqual([]);
  const values = interpret(forward, withCotangents(forward, inputs));
  const along = (names: readonly string[], a: string, b: string): number =>
    names.reduce((total, name) => total + dot(valueIn(values, `${a}${name}`), valueIn(values, `${b}${name}`)), 0);
  const left = along(outputs, 'grad.cot.', 'cot.');
  const right = along(wrt, 'grad.', 'cot.grad.');
  expect(Math.abs(left - right)).toBeLessThanOrEqual(1e-10 * Math.max(1, Math.abs(left)));
  const slope = derivativeAtZero((h) => {
    const moved = wrt.map(
      (name) => [name, plus(valueIn(inputs, name), h, valueIn(values, `cot.grad.${name}`))] as const,
    );
    const result = interpret(program, new Map([...inputs, ...moved]), outputs);
    return outputs.reduce((total, name) => total + dot(valueIn(result, name), valueIn(values, `cot.${name}`)), 0);
  });
  const scale = Math.max(1, Math.abs(slope));
  expect(Math.abs(left - slope)).toBeLessThanOrEqual(1e-5 * scale);
}

const opened = await testDevice();
const gpu: Target = { ...opened.target, class: 'gpu' };
const cpu: Target = { ...opened.target, class: 'cpu' };
const tile = { tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 } as const;
const forms: readonly (readonly [name: string, options: Partial<ScheduleOptions>, isOptimised: boolean])[] = [
  ['unfused', { target: cpu, fuse: false }, true],
  ['gpu class', { target: gpu }, true],
  [
    'direct',
    {
      target: cpu,
      contractAll: true,
      override: { contraction: { form: 'direct', ...tile, tileM: 8, tileN: 8, tileK: 1 } },
    },
    true,
  ],
  [
    'lanes',
    {
      target: cpu,
      contractAll: true,
      override: { contraction: { form: 'lanes', tileM: 4, tileN: 4, tileK: 1, rows: 4, columns: 4 } },
    },
    true,
  ],
  ['no pass', { target: cpu }, false],
];

/**
 * Kept apart: the software device compiles a tiled kernel in a second, where others take a few milliseconds. A dispatch of several
 * kernels does not say how many lanes each has.
 */
const tiled: Partial<ScheduleOptions> = {
  target: gpu,
  combine: false,
  contractAll: true,
  override: { contraction: { form: 'tiled', ...tile }, row: { lanes: 4, workgroupSize: 32, shuffle: false } },
};

function countPlan(form: string, plan: Plan): void {
  for (const { family, makes, tuning } of plan.kernels) {
    hits.count('forms on the device', `${form}: ${family}`);
    hits.count('kernels on the device', family);
    if (makes.length > 1) hits.count('kernels on the device', `${family} of several`);
    if (family === 'contraction') hits.count('kernels on the device', `contraction ${tuning.form}`);
    if (family === 'row' && Number(tuning.lanes) > 1) hits.count('kernels on the device', 'row of several lanes');
  }
}

type Way = readonly [name: string, program: Program, options: Partial<ScheduleOptions>];

/** Each way gives on the device what the program gives on the interpreter. */
async function holdOnDevice(program: Program, ways: readonly Way[]): Promise<void> {
  const inputs = asF32(withCotangents(program, leafValues(program)));
  const want = interpret(program, inputs, program.outputs);
  if (program.outputs.some((name) => valueIn(want, name).data.some((x) => !(Math.abs(x) < 1e6)))) return;
  const allowed = roundingBounds(program, inputs, want);
  opened.pipelines.clear();
  for (const [way, compiled, options] of ways) {
    const { values, plan } = await runOnDevice(opened, compiled, inputs, options);
    countPlan(way, plan);
    for (const name of program.outputs) {
      const error = relativeError(valueIn(values, name).data, valueIn(want, name).data);
      expect(error, `${way}: ${name} in\n${printProgram(compiled)}`).toBeLessThan(allowed.get(name) as number);
    }
  }
}

describe(`on ${opened.target.name}`, () => {
  const check = (share: number, offset: number, recipes: number, hold: (s: RandomStructure) => Promise<void>) =>
    fc.assert(fc.asyncProperty(randomStructure({ recipes }), hold), {
      numRuns: Math.ceil(runs * share),
      seed: seed + offset,
      interruptAfterTimeLimit: shrinkLimit,
      endOnFailure: process.env.MLBTC_SHRINK === 'no',
    });

  test('random structures and their gradients', { timeout }, () =>
    check(0.14, 6, 4, (structure) => {
      const written = programOf(structure);
      const plain = derivativeOf(written);
      const { program } = compileProgram(written, { target: cpu, gradients: true });
      const [form, options, isOptimised] = one(forms, structure);
      return holdOnDevice(plain, [
        ['fused', program, { target: cpu }],
        [form, isOptimised ? program : plain, options],
      ]);
    }),
  );

  test('random structures in tiles', { timeout }, () =>
    check(0.04, 7, 2, (structure) => {
      const program = programOf(structure);
      return holdOnDevice(program, [['tiled', optimise(program), tiled]]);
    }),
  );
});

describe('diagnostics', () => {
  const shared = readdirSync(structuresFolder)
    .filter((name) => name.endsWith('.mlbtc'))
    .map((name) => readFileSync(join(structuresFolder, name), 'utf8'));

  function countCodes({ diagnostics, program, sources }: Analysis, by: string): void {
    for (const { code, span, message } of diagnostics) {
      hits.count('diagnostic codes', code);
      hits.count(`diagnostic codes by ${by}`, code);
      const source = sources.find(({ file }) => file === span.file);
      expect(source, message).toBeDefined();
      expect(span.start).toBeGreaterThanOrEqual(0);
      expect(span.end, message).toBeLessThanOrEqual((source?.text.length ?? 0) + 1);
      expect(message).not.toMatch(/undefined|NaN|\[object|Error:/);
    }
    expect(renderDiagnostics(diagnostics, sources)).not.toContain('    at ');
    if (program === undefined) expect(diagnostics.some(({ severity }) => severity === 'error')).toBe(true);
    else expect(verify(program), printProgram(program)).toEqual([]);
  }

  test('a mistake in a random or a shared structure is told, or it compiles', { timeout }, () => {
    const tape = fc.uint8Array({ minLength: 16, maxLength: 24, size: 'max' });
    const texts = fc.oneof(
      { weight: 3, arbitrary: randomStructure() },
      {
        weight: 1,
        arbitrary: fc.constantFrom(...shared).map((text): RandomStructure => ({ ...empty, text })),
      },
    );
    const property = fc.property(texts, fc.array(tape, { minLength: 6, maxLength: 6 }), (structure, tapes) => {
      for (const changes of tapes) {
        const text = mutated(structure.text, changes);
        try {
          // A shared structure's sizes are given by nobody.
          const unbound = structure.outputs.size === 0 ? 'one' : 'refuse';
          countCodes(analyse({ ...analyseOptions(structure, text), unbound }), 'mutation');
        } catch (error) {
          throw new Error(`${(error as Error).stack}\nof\n${text}`);
        }
      }
    });
    fc.assert(property, { numRuns: Math.ceil(runs / 2), seed: seed + 8 });
  });

  test('what such mistakes do not reach', () => {
    for (const text of single.map(([mistake]) => mistake).concat(`structure A {\n${'y = )\n'.repeat(500)}}`)) {
      for (const { code } of parse({ file: 'main.mlbtc', text }).diagnostics) hits.count('diagnostic codes', code);
    }
    for (const [text, , options] of Object.values(examples)) {
      const all: Readonly<Record<string, string>> = { ...exampleFiles, 'main.mlbtc': text };
      countCodes(
        analyse({
          source: { file: 'main.mlbtc', text: wholeFile(text) },
          sizes: {},
          unbound: 'refuse',
          resolve: (path) => (all[path] === undefined ? undefined : { file: path, text: all[path] }),
          ...options,
        }),
        'example',
      );
    }
    expect(() => openSource('/nowhere/at/all.mlbtc')).toThrow(/E0001/);
    hits.count('diagnostic codes', 'E0001');
  });
});

const empty: RandomStructure = {
  text: '',
  files: {},
  sizes: {},
  inputShapes: {},
  constructs: new Set(),
  outputs: new Map(),
};

afterAll(() => {
  for (const put of restore) put();
  console.info(`hits of ${runs} random structures, seed ${seed}\n${hits.table()}`);
  // Another seed or a shorter run cannot meet everything.
  if (seed === usual.seed && runs >= usual.runs) expect(hits.missing(), 'never met').toEqual([]);
});
