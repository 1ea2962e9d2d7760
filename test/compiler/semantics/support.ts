/**
 * What the tests of `compiler/semantics` share: analysing a text, running it in the interpreter, and reading its
 * diagnostics.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../compiler/ir/ndarray.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { type AnalyseOptions, type Analysis, analyse } from '../../../compiler/semantics/analyse.ts';
import { codes } from '../../../compiler/syntax/codes.ts';
import { positionOf } from '../../../compiler/syntax/position.ts';

export type Options = Partial<Omit<AnalyseOptions, 'source'>> & { readonly files?: Readonly<Record<string, string>> };

/** Nested lists of numbers, as one writes a small tensor by hand. */
export type Nested = number | readonly Nested[];

export function tensor(nested: Nested): NdArray {
  const shape: number[] = [];
  for (let n = nested; typeof n !== 'number'; n = n[0]) shape.push(n.length);
  return ndarray(shape, flat(nested));
}

function flat(nested: Nested): number[] {
  return typeof nested === 'number' ? [nested] : nested.flatMap(flat);
}

/** 0, 1, 2, … scaled: a tensor whose every element differs. */
export function ramp(shape: readonly number[], step = 1, start = 0): NdArray {
  return ndarray(
    shape,
    Array.from({ length: elementCount(shape) }, (_, i) => start + i * step),
  );
}

export function nested({ shape, data }: NdArray): Nested {
  const level = (d: number, offset: number, size: number): Nested => {
    if (d === shape.length) return data[offset];
    const inner = size / shape[d];
    return Array.from({ length: shape[d] }, (_, i) => level(d + 1, offset + i * inner, inner));
  };
  return level(0, 0, data.length);
}

/** Wraps items in a structure, unless a whole file is given. */
export function file(text: string): string {
  return /^\s*(\/\/\/.*\n\s*)*(structure|fn|import)\b/.test(text) ? text : `structure S {\n${text}\n}\n`;
}

export function analysed(text: string, options: Options = {}): Analysis {
  const { files = {}, ...rest } = options;
  return analyse({
    source: { file: 'main.mlbtc', text: file(text) },
    sizes: {},
    unbound: 'refuse',
    resolve: (path) => (files[path] === undefined ? undefined : { file: path, text: files[path] }),
    ...rest,
  });
}

/** Analyses with the shapes of the given inputs, demands a valid program without errors, and runs it. */
export function run(
  text: string,
  inputs: Readonly<Record<string, Nested | NdArray>> = {},
  options: Options = {},
): Readonly<Record<string, NdArray>> {
  const values = new Map(Object.entries(inputs).map(([name, value]) => [name, asArray(value)]));
  const shapes = Object.fromEntries([...values].map(([name, { shape }]) => [name, shape]));
  const analysis = analysed(text, { inputShapes: shapes, ...options });
  expect(errors(analysis)).toEqual([]);
  const { program } = analysis;
  if (program === undefined) throw new Error('no program');
  expect(verify(program)).toEqual([]);
  return Object.fromEntries(interpret(program, values));
}

function asArray(value: Nested | NdArray): NdArray {
  return typeof value === 'object' && 'data' in value ? value : tensor(value as Nested);
}

/** `CODE line:column message`, one for each diagnostic. */
export function shown({ diagnostics, sources }: Analysis): readonly string[] {
  return diagnostics.map((d) => {
    const source = sources.find((s) => s.file === d.span.file);
    const { line, column } = source === undefined ? { line: 0, column: 0 } : positionOf(source, d.span.start);
    const place = d.span.file === 'main.mlbtc' ? `${line}:${column}` : `${d.span.file}:${line}:${column}`;
    seen.add(d.code);
    expect(codes).toHaveProperty(d.code);
    return `${d.code} ${place} ${d.message}${d.help === undefined ? '' : ` | ${d.help}`}`;
  });
}

function errors(analysis: Analysis): readonly string[] {
  return shown({ ...analysis, diagnostics: analysis.diagnostics.filter((d) => d.severity === 'error') });
}

/** Codes that some test of this process has seen. */
export const seen = new Set<string>();

export function diagnose(text: string, options: Options = {}): readonly string[] {
  return shown(analysed(text, options));
}

export const structuresFolder = join(import.meta.dirname, '../../structures');

export function structureFiles(): readonly string[] {
  return readdirSync(structuresFolder).filter((name) => name.endsWith('.mlbtc'));
}

export function readStructure(name: string): string {
  return readFileSync(join(structuresFolder, name), 'utf8');
}

export function resolveStructure(path: string): { file: string; text: string } | undefined {
  const name = path.endsWith('.mlbtc') ? path : `${path}.mlbtc`;
  return structureFiles().includes(name) ? { file: name, text: readStructure(name) } : undefined;
}
