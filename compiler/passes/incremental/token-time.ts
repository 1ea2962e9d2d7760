/**
 * Along which dimension of each tensor the tokens run, and what of it a later token looks back at.
 *
 *   S[t, u] = q[t] k[u] where u <= t    tokens run along t: q is read at t itself, k at most at t;  k is kept for T - 1 tokens
 *
 * A dimension is the one of time if no equation reads, at any point, a token later than its index there. Shown by the domains,
 * conditions of selects among them, for every value of the data. The trap: a tensor over pairs has two dimensions of tokens, and
 * only one of them passes.
 */
import { affine, equalAffine, isAffine, negation, range, subtract } from '../../ir/affine.ts';
import { dependencies, equationsOf } from '../../ir/equation.ts';
import { children, constraintOperands } from '../../ir/expression.ts';
import { findPoint } from '../../ir/feasible.ts';
import type {
  Affine,
  AffineConstraint,
  Equation,
  Expression,
  Gather,
  Index,
  Load,
  Program,
  Tensor,
} from '../../ir/program.ts';

/** Of every tensor that depends on tokens, the dimension along which they run. */
export type TokenTimes = ReadonlyMap<string, number>;

/** Why a program cannot be taken token by token. */
export class NotIncremental extends Error {
  readonly tensor: string;
  readonly equation: Equation | undefined;
  constructor(tensor: string, equation: Equation | undefined, reason: string) {
    super(`${tensor} ${reason}`);
    this.tensor = tensor;
    this.equation = equation;
  }
}

/** Extent of the inputs' dimension of tokens. Throws NotIncremental where they differ. */
export function textLength({ tensors }: Program, inputs: ReadonlyMap<string, number>): number {
  const lengths = [...inputs].map(([name, time]) => tensors.find((tensor) => tensor.name === name)?.shape[time]);
  const [length] = lengths;
  if (length === undefined) throw new Error('no input holds tokens');
  if (lengths.some((other) => other !== length)) {
    throw new NotIncremental([...inputs.keys()].join(', '), undefined, `hold ${lengths.join(' and ')} tokens`);
  }
  return length;
}

/** Of the tensors that `outputs` need. Throws NotIncremental at the first that has no such dimension. */
export function tokenTimes(
  { tensors }: Program,
  inputs: ReadonlyMap<string, number>,
  outputs: readonly string[],
): TokenTimes {
  const needed = new Set(outputs);
  for (const tensor of [...tensors].reverse()) {
    if (needed.has(tensor.name)) for (const name of dependencies(tensor)) needed.add(name);
  }
  const times = new Map([...inputs].filter(([name]) => needed.has(name)));
  for (const tensor of tensors) {
    if (!needed.has(tensor.name) || times.has(tensor.name)) continue;
    if (dependencies(tensor).some((name) => times.has(name))) times.set(tensor.name, timeOf(tensor, times));
  }
  return times;
}

function timeOf(tensor: Tensor, times: TokenTimes): number {
  const equations = equationsOf(tensor);
  if (tensor.source.kind !== 'computed') throw new NotIncremental(tensor.name, undefined, `is a ${tensor.source.kind}`);
  const passing = tensor.shape.flatMap((_, d) => (equations.every((e) => isNeverEarlier(e, d, times)) ? [d] : []));
  // Where several pass, as with a single token, the one that something is read along.
  const alongside = passing.find((d) => equations.some((e) => readsAt(e, d, times)));
  const time = alongside ?? passing[0];
  if (time !== undefined) return time;
  const reads = (e: Equation): boolean => guardedLoads(e).some(({ read }) => times.has(read.tensor));
  throw new NotIncremental(
    tensor.name,
    equations.find(reads),
    'has no index that is as late as every token that it reads',
  );
}

/** Whether the equation stores along `d` at an index that is as late as all that it reads. */
function isNeverEarlier(equation: Equation, d: number, times: TokenTimes): boolean {
  const index = equation.store[d];
  if (index.kind !== 'affine') return false;
  return guardedLoads(equation).every(({ read, guards }) => {
    const time = times.get(read.tensor);
    if (time === undefined) return true;
    const token = read.indices[time];
    if (token.kind !== 'affine') return false;
    if (equalAffine(token, index)) return true;
    const later: AffineConstraint = { kind: 'nonnegative', affine: subtract(subtract(token, index), affine(1)) };
    return findPoint(equation.axes, [...guards, later]).kind === 'none';
  });
}

function readsAt(equation: Equation, d: number, times: TokenTimes): boolean {
  const index = equation.store[d] as Affine;
  return guardedLoads(equation).some(({ read }) => {
    const token = read.indices[times.get(read.tensor) ?? -1];
    return token?.kind === 'affine' && equalAffine(token, index);
  });
}

/** A part of a tensor's rows that later tokens read: where it begins and how large it is, the dimension of tokens left out. */
export interface KeptPart {
  readonly start: readonly number[];
  readonly shape: readonly number[];
  /** For how many tokens it is read after its own. */
  readonly length: number;
}

/**
 * What of each tensor is read at an earlier token than the present one, in parts that do not overlap: the levels of MLR attention
 * read ranks of their own, each for as long as its block lasts.
 */
export function keptParts(
  { tensors }: Program,
  times: TokenTimes,
  tokens: number,
): ReadonlyMap<string, readonly KeptPart[]> {
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  const parts = new Map<string, readonly KeptPart[]>();
  for (const tensor of tensors) {
    const time = times.get(tensor.name);
    if (time === undefined) continue;
    for (const equation of equationsOf(tensor)) {
      const index = equation.store[time] as Affine;
      for (const { read, guards } of guardedLoads(equation)) {
        const readTime = times.get(read.tensor);
        if (readTime === undefined) continue;
        const age = subtract(index, read.indices[readTime] as Affine);
        const length = largest(age, equation, guards, tokens - 1);
        if (length === 0) continue;
        const shape = shapes.get(read.tensor) as readonly number[];
        const part = { ...boxOf(read, readTime, shape, equation), length };
        parts.set(read.tensor, withPart(parts.get(read.tensor) ?? [], part));
      }
    }
  }
  return parts;
}

/** What a load may read of a row. */
export function boxOf(
  { indices }: Pick<Load, 'indices'>,
  time: number,
  shape: readonly number[],
  { axes }: Pick<Equation, 'axes'>,
): Omit<KeptPart, 'length'> {
  const ranges = indices.flatMap((index, d) => {
    if (d === time) return [];
    const whole = { min: 0, max: shape[d] - 1 };
    if (index.kind !== 'affine') return [whole];
    const { min, max } = range(index, axes);
    return [{ min: Math.max(min, whole.min), max: Math.min(max, whole.max) }];
  });
  return { start: ranges.map(({ min }) => min), shape: ranges.map(({ min, max }) => max - min + 1) };
}

/** The parts with one more; those that it meets become one with it. */
function withPart(parts: readonly KeptPart[], part: KeptPart): readonly KeptPart[] {
  const met = parts.find((other) => overlap(other, part));
  if (met === undefined) return [...parts, part];
  const start = met.start.map((first, d) => Math.min(first, part.start[d]));
  const shape = start.map((first, d) => Math.max(endOf(met, d), endOf(part, d)) - first);
  const rest = parts.filter((other) => other !== met);
  return withPart(rest, { start, shape, length: Math.max(met.length, part.length) });
}

const endOf = ({ start, shape }: Omit<KeptPart, 'length'>, d: number): number => start[d] + shape[d];

function overlap(a: KeptPart, b: KeptPart): boolean {
  return a.start.every((first, d) => first < endOf(b, d) && b.start[d] < endOf(a, d));
}

export function holdsPart(whole: Omit<KeptPart, 'length'>, part: Omit<KeptPart, 'length'>): boolean {
  return whole.start.every((first, d) => first <= part.start[d] && endOf(part, d) <= endOf(whole, d));
}

/** The largest value up to `most` that an affine expression takes in the domain, or more where that cannot be told. */
function largest(a: Affine, { axes }: Equation, guards: readonly AffineConstraint[], most: number): number {
  const reaches = (value: number): boolean =>
    findPoint(axes, [...guards, { kind: 'nonnegative', affine: subtract(a, affine(value)) }]).kind !== 'none';
  let [low, high] = [0, most];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (reaches(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

interface GuardedLoad {
  readonly read: Pick<Load, 'tensor' | 'indices'>;
  readonly guards: readonly AffineConstraint[];
}

/** The reads that an index is made of. */
function gathersIn(index: Index): readonly Gather[] {
  return index.kind === 'gather' ? [index, ...index.indices.flatMap(gathersIn)] : [];
}

/** Every load with the affine constraints under which it is read. */
function guardedLoads({ domain, value }: Equation): readonly GuardedLoad[] {
  const found: GuardedLoad[] = [];
  const visit = (e: Expression, guards: readonly AffineConstraint[]): void => {
    if (e.kind === 'load') for (const read of [e, ...e.indices.flatMap(gathersIn)]) found.push({ read, guards });
    if (e.kind === 'select' && e.condition.kind === 'domain') {
      const { constraints } = e.condition;
      for (const operand of constraints.flatMap(constraintOperands)) visit(operand, guards);
      const failing = constraints.length === 1 ? [negation(constraints[0])] : [];
      visit(e.then, [...guards, ...constraints.filter(isAffine)]);
      visit(e.otherwise, [...guards, ...failing.filter(isAffine)]);
      return;
    }
    for (const child of children(e)) visit(child, guards);
  };
  const inside = domain.filter(isAffine);
  for (const operand of domain.flatMap(constraintOperands)) visit(operand, inside);
  visit(value, inside);
  return found;
}
