/** What `name(…)` and `name[…](…)` are: the table of the language's functions, and which of them a call means. */
import type { BinaryOperator, UnaryOperator } from '../ir/program.ts';
import type { Expression } from '../syntax/ast.ts';
import { functionIn, type Module, type VisibleFunction } from './files.ts';

export type Call = Expression & { readonly kind: 'call' };

export const unaryFunctions: ReadonlyMap<string, UnaryOperator> = new Map(
  (
    [
      'exp',
      'log',
      'sqrt',
      'rsqrt',
      'abs',
      'sign',
      'tanh',
      'erf',
      'sigmoid',
      'relu',
      'gelu',
      'silu',
      'sin',
      'cos',
    ] as const
  ).map((name) => [name, name]),
);

export const binaryFunctions: ReadonlyMap<string, BinaryOperator> = new Map([
  ['min', 'minimum'],
  ['max', 'maximum'],
  ['pow', 'power'],
]);

export type Reduction = 'sum' | 'prod' | 'mean' | 'max' | 'min' | 'var' | 'rms' | 'logsumexp' | 'softmax';

export const reductions: readonly Reduction[] = [
  'sum',
  'prod',
  'mean',
  'max',
  'min',
  'var',
  'rms',
  'logsumexp',
  'softmax',
];

/** Functions of sizes that are numbers in a value. */
const sizeOnly: readonly string[] = ['len', 'prefix', 'log2', 'sum', 'split'];

export type Callee =
  | { readonly kind: 'unary'; readonly operator: UnaryOperator }
  | { readonly kind: 'binary'; readonly operator: BinaryOperator }
  | { readonly kind: 'select' }
  | { readonly kind: 'reduction'; readonly reduction: Reduction }
  | { readonly kind: 'size' }
  | { readonly kind: 'function'; readonly found: VisibleFunction }
  | { readonly kind: 'unknown' };

export const builtinNames: ReadonlySet<string> = new Set([
  ...unaryFunctions.keys(),
  ...binaryFunctions.keys(),
  ...reductions,
  ...sizeOnly,
  'select',
]);

export function calleeOf(call: Call, module: Module): Callee {
  const name = call.callee.text;
  const bracketed = call.axes !== undefined || call.every;
  const reduction = reductions.find((r) => r === name);
  if (reduction !== undefined && bracketed) return { kind: 'reduction', reduction };
  const unary = unaryFunctions.get(name);
  if (unary !== undefined) return { kind: 'unary', operator: unary };
  const binary = binaryFunctions.get(name);
  // `max(ranks)` of a list is a number.
  const single = call.arguments.length === 1 && name !== 'pow';
  if (binary !== undefined) return single ? { kind: 'size' } : { kind: 'binary', operator: binary };
  if (name === 'select') return { kind: 'select' };
  if (sizeOnly.includes(name)) return { kind: 'size' };
  if (reduction !== undefined) return { kind: 'reduction', reduction };
  const found = functionIn(module, name);
  return found === undefined ? { kind: 'unknown' } : { kind: 'function', found };
}
