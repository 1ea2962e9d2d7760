/**
 * From a causal program over all tokens to one over a single token: what a token computes of itself, and of what those before it
 * have left. Program → program, the derivation of cached decoding from any structure.
 *
 *   k[t] = K x[t];   S[t, u] = q[t] k[u] where u <= t;   y[t] = Σ_u A[t, u] v[u]
 *   →  k = K x;      S[u] = q · (k if u == now else k~past[u]) where u <= now;   y = Σ_u A[u] · (v if u == now else v~past[u])
 *
 * Each tensor that depends on tokens has a dimension along which they run (`token-time.ts`). It keeps the row of the present token
 * alone. What is read of another token comes from a *past*, as long as the domains reach back: a sliding window keeps its window,
 * a block of an MLR level its block. What depends on no token is computed once, by a program of its own.
 *
 * The present token's number is the axis symbol `now` (`Axis.symbol`), so that loops end where it says. A past that is shorter than
 * the text is a ring, whose slots are the tensor `slot~LENGTH`. Who runs the program copies each row into its past afterwards.
 *
 * The trap: scores over all pairs see later tokens until their domains are limited to what is read of them, so the program must
 * have been limited (`limitToDemand`) before.
 */
import { add, affine, asAxis, axisIndex, equalAffine, scale, substitute, subtract } from '../../ir/affine.ts';
import { computed, input, over } from '../../ir/build.ts';
import { dependencies, tensorMap } from '../../ir/equation.ts';
import {
  binary,
  constant,
  load,
  rewriteConstraint,
  rewriteExpression,
  rewriteIndex,
  select,
} from '../../ir/expression.ts';
import { findPoint } from '../../ir/feasible.ts';
import type { Affine, Axis, Constraint, Equation, Expression, Index, Load, Program, Tensor } from '../../ir/program.ts';
import {
  boxOf,
  holdsPart,
  type KeptPart,
  keptParts,
  NotIncremental,
  type TokenTimes,
  textLength,
  tokenTimes,
} from './token-time.ts';

/** The input that holds the present token's number, an i32 scalar. */
export const now = 'now';

export interface IncrementalOptions {
  /** Inputs that hold tokens, and the dimension along which they run. */
  readonly inputs: ReadonlyMap<string, number>;
  readonly outputs: readonly string[];
}

/** What later tokens read of a tensor, or of a part of it. */
export interface Past {
  /** Of the program: an input of shape [length, …row]. */
  readonly name: string;
  /** Of the program: the present token's row, to be copied to place `now % length` once the program has run. */
  readonly row: string;
  /** Tokens that are kept. */
  readonly length: number;
  /** Of the program before: the tensor that it is of. */
  readonly of: string;
}

export interface Incremental {
  /** Inputs: a row of each token input, `now`, the pasts, params, what `prepared` gives. Outputs: a row of each, then rows for pasts. */
  readonly program: Program;
  /** What depends on no token; it has no outputs where nothing does. */
  readonly prepared: Program;
  readonly pasts: readonly Past[];
  /** Tokens that the program was written for: `now` stays below. */
  readonly tokens: number;
}

/** Throws NotIncremental where a token would have to read a later one, or where that cannot be told. */
export function incremental(program: Program, { inputs, outputs }: IncrementalOptions): Incremental {
  const tokens = textLength(program, inputs);
  const times = tokenTimes(program, inputs, outputs);
  const parts = keptParts(program, times, tokens);
  const pasts = [...parts].flatMap(([of, kept]) =>
    kept.map((part, n): PartPast => pastOf(of, part, kept.length > 1 ? n : undefined)),
  );
  const context: Context = { times, pasts, tokens, tensors: tensorMap(program) };
  const moving = program.tensors.filter(({ name }) => times.has(name)).map((tensor) => rowOf(tensor, context));
  const rows = [...moving, ...pasts.flatMap((past) => partRow(past, moving))];
  const pastInputs = pasts.map(({ name, length, part }) => input(name, [length, ...part.shape]));
  const rings = [...new Set(pasts.map(({ length }) => length).filter((length) => length < tokens - 1))];
  const slots = rings.map((length) => slotsOf(length, tokens));
  const still = stillRead(program, rows, times);
  const prepared: Program = {
    tensors: [...reachableTensors(program, still.computed), ...slots],
    outputs: [...still.computed, ...slots.map(({ name }) => name)],
    updates: [],
  };
  const given = [...still.computed.map((name) => asInput(context.tensors.get(name) as Tensor)), ...slots.map(asInput)];
  const body = [
    input(now, [], 'i32'),
    ...still.given.map((name) => context.tensors.get(name) as Tensor),
    ...given,
    ...pastInputs,
    ...rows,
  ];
  const kept = [...new Set(pasts.map(({ row }) => row))].filter((name) => !outputs.includes(name));
  return {
    program: { tensors: body, outputs: [...outputs, ...kept], updates: [] },
    prepared,
    pasts: pasts.map(({ part: _, ...past }) => past),
    tokens,
  };
}

interface Context {
  readonly times: TokenTimes;
  readonly pasts: readonly PartPast[];
  readonly tokens: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

interface PartPast extends Past {
  readonly part: KeptPart;
}

/** `number` where the tensor has several parts. */
function pastOf(of: string, part: KeptPart, number: number | undefined): PartPast {
  const suffix = number === undefined ? '' : `.${number}`;
  return { name: `${of}~past${suffix}`, row: `${of}~kept${suffix}`, length: part.length, of, part };
}

/** What is kept of a row, as a tensor of its own: a part lies scattered in the row, and a past is copied in one piece. */
function partRow({ row, of, part }: PartPast, moving: readonly Tensor[]): Tensor {
  const { dtype } = moving.find(({ name }) => name === of) as Tensor;
  const extents = Object.fromEntries(part.shape.map((extent, d) => [`o${d}`, extent]));
  const equation = over(extents, (axes) => {
    const places = Object.values(axes);
    return {
      store: places,
      value: load(
        of,
        places.map((place, d) => add(place, affine(part.start[d]))),
      ),
    };
  });
  return computed(row, part.shape, [equation], dtype);
}

/** The tensor's row at the present token, under the same name. */
function rowOf(tensor: Tensor, context: Context): Tensor {
  const time = context.times.get(tensor.name) as number;
  const shape = tensor.shape.filter((_, d) => d !== time);
  if (tensor.source.kind !== 'computed') return { ...tensor, shape };
  const equations = tensor.source.equations.map((equation) => rowEquation(equation, time, context));
  return { ...tensor, shape, source: { kind: 'computed', equations } };
}

/** How an equation speaks of its axes once one of its indices is the present token. */
interface Present {
  readonly axes: readonly Axis[];
  /** The present token, in the new axes. */
  readonly index: Affine;
  readonly rename: (a: Affine) => Affine;
  readonly constraints: readonly Constraint[];
}

function rowEquation(equation: Equation, time: number, context: Context): Equation {
  const present = atPresent(equation, equation.store[time] as Affine, context.tokens);
  const { axes, rename, constraints } = present;
  const domain = [...equation.domain.map((c) => rewriteConstraint(c, { affine: rename })), ...constraints];
  const take = (l: Load): Expression => takeLoad(l, { ...present, domain }, context);
  const store = equation.store.flatMap((index, d) => (d === time ? [] : [rewriteIndex(index, { affine: rename })]));
  return {
    ...equation,
    axes,
    store,
    domain: domain.map((c) => rewriteConstraint(c, { load: take })),
    value: rewriteExpression(equation.value, { affine: rename, load: take }),
  };
}

/** Sets a token's index, affine in the axes, to the symbol `now`, and does away with an axis that follows from it. */
function atPresent({ axes }: Equation, index: Affine, tokens: number): Present {
  const plain = asAxis(index);
  if (plain !== undefined && axes[plain].extent === tokens) {
    const marked = axes.map((axis, i) => (i === plain ? { ...axis, symbol: now } : axis));
    return { axes: marked, index, rename: (a) => a, constraints: [] };
  }
  const present = axisIndex(axes.length);
  const symbol: Axis = { name: now, extent: tokens, symbol: now };
  const solved = index.terms.findLast(({ coefficient }) => Math.abs(coefficient) === 1);
  if (solved === undefined) {
    const isPresent: Constraint = { kind: 'zero', affine: subtract(index, present) };
    return { axes: [...axes, symbol], index: present, rename: (a) => a, constraints: [isPresent] };
  }
  const { axis: gone, coefficient } = solved;
  const rest = affine(
    index.constant,
    index.terms.filter(({ axis }) => axis !== gone),
  );
  const value = scale(subtract(present, rest), coefficient);
  const rename = (a: Affine): Affine => substitute(a, (axis) => (axis === gone ? value : axisIndex(axis)));
  return {
    axes: [...axes.map((axis, i) => (i === gone ? { ...axis, extent: 1 } : axis)), symbol],
    index: present,
    rename,
    constraints: [
      { kind: 'nonnegative', affine: value },
      { kind: 'nonnegative', affine: subtract(affine(axes[gone].extent - 1), value) },
    ],
  };
}

/** A load of another token comes from the past, unless it turns out to be the present one. */
function takeLoad(
  read: Load,
  { axes, index, domain }: Present & { readonly domain: readonly Constraint[] },
  { times, pasts, tokens, tensors }: Context,
): Expression {
  const indices = read.indices.map((at) => presentIndex(at, index, times));
  const time = times.get(read.tensor);
  if (time === undefined) return load(read.tensor, indices);
  const token = indices[time] as Affine;
  const others = indices.filter((_, d) => d !== time);
  const row = load(read.tensor, others);
  if (equalAffine(token, index)) return row;
  const { shape } = tensors.get(read.tensor) as Tensor;
  const box = boxOf(read, time, shape, { axes });
  const from = pasts.find(({ of, part }) => of === read.tensor && holdsPart(part, box));
  if (from === undefined) return row;
  const { name, length, part } = from;
  const place = length < tokens - 1 ? { kind: 'gather' as const, tensor: slotName(length), indices: [token] } : token;
  const inPart = others.map((other, d) => (other.kind === 'affine' ? subtract(other, affine(part.start[d])) : other));
  const past = load(name, [place, ...inPart]);
  const isPresent: Constraint = { kind: 'zero', affine: subtract(token, index) };
  if (findPoint(axes, [...domain, isPresent]).kind === 'none') return past;
  return select({ kind: 'domain', constraints: [isPresent] }, row, past);
}

/** An index that is read from a tensor of tokens is read from its row. Throws NotIncremental where it is another token's. */
function presentIndex(at: Index, present: Affine, times: TokenTimes): Index {
  if (at.kind === 'affine') return at;
  const time = times.get(at.tensor);
  const indices = at.indices.map((inner) => presentIndex(inner, present, times));
  if (time === undefined) return { ...at, indices };
  const token = indices[time];
  if (token.kind !== 'affine' || !equalAffine(token, present)) {
    throw new NotIncremental(at.tensor, undefined, 'is an index at another token than the present one');
  }
  return { ...at, indices: indices.filter((_, d) => d !== time) };
}

const slotName = (length: number): string => `slot~${length}`;

/** Where in a ring of that length each token lies. */
function slotsOf(length: number, tokens: number): Tensor {
  const equation = over({ t: tokens }, ({ t }) => ({
    store: [t],
    value: binary('remainder', { kind: 'index', affine: t }, constant(length)),
  }));
  return computed(slotName(length), [tokens], [equation], 'i32');
}

/** What the rows read that depends on no token: computed tensors, and inputs and params. */
function stillRead(program: Program, rows: readonly Tensor[], times: TokenTimes) {
  const read = new Set(rows.flatMap(dependencies));
  const tensors = program.tensors.filter(({ name }) => read.has(name) && !times.has(name));
  const isGiven = ({ source }: Tensor): boolean => source.kind === 'input' || source.kind === 'param';
  return {
    computed: tensors.filter((tensor) => !isGiven(tensor)).map(({ name }) => name),
    given: tensors.filter(isGiven).map(({ name }) => name),
  };
}

function reachableTensors(program: Program, names: readonly string[]): readonly Tensor[] {
  const wanted = new Set(names);
  for (const tensor of [...program.tensors].reverse()) {
    if (wanted.has(tensor.name)) for (const name of dependencies(tensor)) wanted.add(name);
  }
  return program.tensors.filter(({ name }) => wanted.has(name));
}

function asInput({ name, dtype, shape }: Tensor): Tensor {
  return input(name, shape, dtype);
}
