/**
 * A score in the model's place for one: any structure with one input (batch, tokens, D) and one output (batch, heads, tokens,
 * tokens), whatever their names. Its file is imported by a small generated adapter, `score.mlbtc` to the model, which gives
 * input, output and sizes the names that the model uses. Built-in scores and a user's own go this same way.
 *
 *   mine.mlbtc ──import──▶ adapter (MixerScore: x → A, X) ──import──▶ in-context.mlbtc
 *
 * An optional second output of the input's shape is what the attention makes its values from; without it, the input itself.
 * The trap: sizes called D, H and T are bound to the model's, but only where the structure declares them.
 */

import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { count } from '../../compiler/semantics/shapes.ts';
import type { Identifier, InputItem, Item, SourceFile, Structure } from '../../compiler/syntax/ast.ts';
import type { Source, Span } from '../../compiler/syntax/diagnostic.ts';
import { parse } from '../../compiler/syntax/parser.ts';
import { positionOf } from '../../compiler/syntax/position.ts';
import { renderDiagnostics } from '../../compiler/syntax/render.ts';
import type { SizeValue } from '../options/mixers.ts';

export interface ScoreShape {
  readonly batch: number;
  readonly tokens: number;
  readonly dModel: number;
  readonly heads: number;
}

/** Name by which the model's file imports the adapter, and the adapter's file name in diagnostics. */
export const adapterImport = 'score.mlbtc';
export const adapterFile = '<the score, adapted to the model>';
/** Name by which the adapter imports the score's own file: its path would make the text depend on where it lies. */
export const scoreImport = 'mixer.mlbtc';

/** Analyses a file's main structure with these sizes and input shapes; throws UserError with the diagnostics. */
export type AnalyseStructure = (
  source: Source,
  sizes: Readonly<Record<string, SizeValue>>,
  inputShapes: Readonly<Record<string, readonly number[]>>,
) => Program;

export interface Score {
  readonly source: Source;
  /** Sizes beside D, H and T. */
  readonly sizes: Readonly<Record<string, SizeValue>>;
}

/** The adapter's text. Throws UserError where the structure is not a score of this shape. */
export function scoreAdapter({ source, sizes }: Score, shape: ScoreShape, analyse: AnalyseStructure): Source {
  const { file, diagnostics } = parse(source);
  if (diagnostics.some(({ severity }) => severity === 'error')) {
    throw new UserError(renderDiagnostics(diagnostics, [source]));
  }
  const structure = mainStructure(source, file);
  const name = structure.name.text;
  const modelSizes = { D: shape.dModel, H: shape.heads, T: shape.tokens } as const;
  const declared = declaredSizes(structure);
  const bound = Object.entries(modelSizes).filter(([size]) => declared.has(size) && sizes[size] === undefined);
  const inputName = onlyInput(structure, source);
  const given = { ...Object.fromEntries(bound), ...sizes };
  const program = analyse(source, given, { [inputName]: [shape.batch, shape.tokens, shape.dModel] });
  const outputs = matchOutputs(program, shape, `${place(source, structure.name.span)}: the structure ${name}`);
  const bindings = [
    ...bound.map(([size]) => `${size} = ${size}`),
    ...Object.entries(sizes).map(([size, value]) => `${size} = ${showSize(value)}`),
    `${inputName} = x`,
  ];
  const values = outputs.values === undefined ? 'x' : `of.${outputs.values}`;
  const text = `import "${scoreImport}"

structure MixerScore {
  size D, H, T
  axis n: N, t, u: T, i: D, h: H
  input x[n, t, i]
  use ${name}(${bindings.join(', ')}) as of
  A[n, h, t, u] = of.${outputs.weights}[n, h, t, u]
  X[n, t, i] = ${values}[n, t, i]
  output A, X
}
`;
  return { file: adapterFile, text };
}

function mainStructure(source: Source, file: SourceFile): Structure {
  const structure = file.structures.at(-1);
  if (structure === undefined)
    throw new UserError(`${source.file}:1:1: it holds no structure, only functions; a score is a structure`);
  return structure;
}

/** All items, those of both branches of an `if` too. */
function* allItems(items: readonly Item[]): Iterable<Item> {
  for (const item of items) {
    yield item;
    if (item.kind === 'if') yield* allItems([...item.then, ...(item.otherwise ?? [])]);
  }
}

/** Sizes that can be bound: declared by `size`, or implicitly by an axis whose extent is that name alone. */
function declaredSizes(structure: Structure): ReadonlySet<string> {
  const names = new Set<string>();
  for (const item of allItems(structure.items)) {
    if (item.kind === 'size') for (const { names: own } of item.bindings) for (const { text } of own) names.add(text);
    if (item.kind !== 'axis') continue;
    for (const { extent } of item.groups) {
      if (extent.kind === 'name' && extent.reference.members.length === 0) names.add(extent.reference.name.text);
    }
  }
  return names;
}

const wanted =
  'a score has one input of shape (batch, tokens, D) and one output of shape (batch, heads, tokens, tokens)';

function place(source: Source, { start }: Span): string {
  const { line, column } = positionOf(source, start);
  return `${source.file}:${line}:${column}`;
}

function onlyInput(structure: Structure, source: Source): string {
  const isInput = (item: Item): item is InputItem => item.kind === 'input';
  const inputs = [...allItems(structure.items)].filter(isInput);
  const [input, second] = inputs;
  const refuse = ({ span }: Identifier, problem: string) => new UserError(`${place(source, span)}: ${problem}`);
  if (input === undefined || second !== undefined) {
    const names = inputs.map(({ name }) => name.text).join(', ');
    const has = input === undefined ? 'no input' : `${inputs.length} inputs: ${names}`;
    throw refuse((second ?? structure).name, `the structure ${structure.name.text} has ${has}; ${wanted}`);
  }
  const { name, axes, dtype } = input;
  if (dtype === 'i32') {
    throw refuse(name, `the input ${name.text} takes integers, and a score is given floats; leave out \`: i32\``);
  }
  if (axes !== undefined && axes.length !== 3) {
    throw refuse(name, `the input ${name.text} has ${count(axes.length, 'axis')}; ${wanted}`);
  }
  return name.text;
}

interface MatchedOutputs {
  readonly weights: string;
  readonly values: string | undefined;
}

function matchOutputs(program: Program, shape: ScoreShape, subject: string): MatchedOutputs {
  const { batch, tokens, dModel, heads } = shape;
  const shapes = new Map(program.tensors.map((tensor) => [tensor.name, tensor.shape]));
  const [weights, values, ...others] = program.outputs;
  const weightsShape = [batch, heads, tokens, tokens];
  const found = shapes.get(weights) ?? [];
  if (found.length !== 4) {
    throw new UserError(`${subject} gives ${weights} of shape (${found.join(', ')}); ${wanted}`);
  }
  const dimensions = ['batch', 'heads', 'tokens', 'tokens'];
  for (const [d, extent] of weightsShape.entries()) {
    if (found[d] !== extent) {
      throw new UserError(
        `${subject} gives ${weights} with ${found[d]} ${dimensions[d]}, the model has ${extent}; ` +
          'sizes called D, H and T are bound to the model, others with -s NAME=VALUE',
      );
    }
  }
  if (others.length > 0) throw new UserError(`${subject} has ${program.outputs.length} outputs; ${wanted}`);
  if (values !== undefined && (shapes.get(values) ?? []).join() !== [batch, tokens, dModel].join()) {
    throw new UserError(
      `${subject} has a second output ${values} of shape (${shapes.get(values)?.join(', ')}); ` +
        `a second output is what the values are made from and has the input's shape (${batch}, ${tokens}, ${dModel})`,
    );
  }
  return { weights, values };
}

function showSize(value: SizeValue): string {
  return typeof value === 'number' ? String(value) : `[${value.join(', ')}]`;
}
