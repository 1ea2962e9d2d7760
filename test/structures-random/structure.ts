/**
 * Random valid `.mlbtc` files from a tape of bytes, each read as a choice whose first option is the simplest, so that shrinking the
 * tape towards zeros and a short end shrinks the file. And values for what a program is given, kept from kinks.
 */
import fc from 'fast-check';
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import { elementCount, type Program } from '../../compiler/ir/program.ts';
import type { AnalyseOptions } from '../../compiler/semantics/analyse.ts';
import { choicesFrom } from '../support/choices.ts';
import { integers } from '../support/random-values.ts';
import { type Construct, mark, newDraft, newFile, newLeaf, someAxes, wholeBound } from './draft.ts';
import { someRecipe } from './recipes.ts';

export interface RandomStructure {
  readonly text: string;
  readonly files: Readonly<Record<string, string>>;
  readonly sizes: Readonly<Record<string, number | readonly number[]>>;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
  readonly constructs: ReadonlySet<Construct>;
  /** What the generator takes the shapes of the outputs to be. */
  readonly outputs: ReadonlyMap<string, readonly number[]>;
}

export interface RandomStructureOptions {
  /** Recipes at most, 5 unless told. */
  readonly recipes?: number;
}

export function randomStructure(options: RandomStructureOptions = {}): fc.Arbitrary<RandomStructure> {
  return fc
    .uint8Array({ minLength: 60, maxLength: 400, size: 'max' })
    .map((tape) => build(tape, options.recipes ?? 5))
    .map((structure) => Object.assign(structure, { [fc.toStringMethod]: () => shown(structure) }));
}

export function shown({ text, files, sizes, inputShapes }: RandomStructure): string {
  const others = Object.entries(files).map(([name, other]) => `\n// ${name}\n${other}`);
  return `\n${text}${others.join('')}// sizes ${JSON.stringify(sizes)} shapes ${JSON.stringify(inputShapes)}\n`;
}

function build(tape: Uint8Array, most: number): RandomStructure {
  const choices = choicesFrom(tape);
  const file = newFile(choices);
  const draft = newDraft(file, 0);
  newLeaf(draft, someAxes(draft, choices.pick([2, 1, 3, 0]), new Set()), 'input');
  newLeaf(draft, someAxes(draft, choices.pick([1, 2, 0]), new Set()), 'param');
  const count = choices.between(1, most);
  for (let i = 0; i < count; i++) someRecipe(draft);
  const computed = draft.known.filter((t) => t.role === 'computed' && !t.name.includes('.'));
  const body = draft.items.join('\n');
  const unread = computed.filter(
    (t) => body.split(new RegExp(`(?<![\\p{L}\\p{N}_.])${t.name}(?![\\p{L}\\p{N}_.])`, 'u')).length <= 2,
  );
  const outputs = unread.length > 0 ? unread : computed.slice(-1);
  const head = [...draft.imports, ...draft.top].map((part) => `${part}\n`).join('');
  mark(draft, 'scalar tensor');
  return {
    text: `${head}structure Main {\n${body}\noutput ${outputs.map((t) => t.name).join(', ')}\n}\n`,
    files: draft.files,
    sizes: draft.sizes,
    inputShapes: draft.inputShapes,
    constructs: draft.constructs,
    outputs: new Map(outputs.map((t) => [t.name, t.shape])),
  };
}

export function analyseOptions(structure: RandomStructure, text = structure.text): AnalyseOptions {
  return {
    source: { file: 'random.mlbtc', text },
    sizes: structure.sizes,
    inputShapes: structure.inputShapes,
    unbound: 'refuse',
    resolve: (path) => {
      const found = structure.files[path];
      return found === undefined ? undefined : { file: path, text: found };
    },
  };
}

/** Values of everything given: floating elements are distinct magnitudes in 0.25 .. 1.25 in an order that looks like none. */
export function leafValues(program: Program): Map<string, NdArray> {
  const given = program.tensors.filter(({ source }) => source.kind === 'input' || source.kind === 'param');
  const total = given.reduce((n, t) => n + (t.dtype === 'i32' ? 0 : elementCount(t.shape)), 0);
  let stride = Math.floor(total * 0.618) + 1;
  while (commonDivisor(stride, total) !== 1) stride++;
  let position = 0;
  return new Map(
    given.map(({ name, shape, dtype }) => {
      if (dtype === 'i32') return [name, integers(shape, 7, wholeBound)];
      const data = Float64Array.from({ length: elementCount(shape) }, () => {
        const rank = (position++ * stride) % total;
        return (0.25 + rank / total) * ((rank * 7 + (rank >> 2)) % 3 === 0 ? -1 : 1);
      });
      return [name, { shape, data }];
    }),
  );
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
