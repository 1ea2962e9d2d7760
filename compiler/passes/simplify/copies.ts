/**
 * Reads of a copy become reads of what it was copied from; reads of a constant become the constant.
 *
 *   T[j, i] = S[i, j]                         →  y[a] sum= S[3, a] * x[a]   (T is then dead)
 *   y[a]   sum= T[a, 3] * x[a]
 *
 * An output that is a plain copy of a computed tensor takes over its equations, so that `y = z.depth` costs nothing.
 *
 * The trap: a copy that leaves elements unwritten holds zeros there, so only a copy that fills its shape is seen through.
 */
import { asAxis, equalAffine, isConstant, substitute } from '../../ir/affine.ts';
import { dependencies, equationsOf } from '../../ir/equation.ts';
import { constant } from '../../ir/expression.ts';
import { tensorKey } from '../../ir/hash.ts';
import { mapSame } from '../../ir/lists.ts';
import type { Affine, Equation, Expression, Index, Load, Program, Tensor } from '../../ir/program.ts';
import { pinnedTensors, rewriteTensor } from '../rename.ts';
import { fillsOnce } from '../store.ts';

/** What a read of a tensor at some indices is; undefined where that cannot be said. */
type Reader = (read: Load) => Expression | undefined;

export function forwardCopies(program: Program): Program {
  const absorbed = absorbIntoOutputs(program);
  const before = new Map(absorbed.tensors.map((tensor) => [tensor.name, tensor]));
  const readers = new Map<string, Reader>();
  const sameAs = new Map<string, string>();
  const tensors = mapSame(absorbed.tensors, (tensor) => {
    const seen = dependencies(tensor).some((name) => readers.has(name) || sameAs.has(name))
      ? unlessEqual(
          tensor,
          rewriteTensor(tensor, { tensor: (name) => sameAs.get(name) ?? name, load: readThroughCopies }),
        )
      : tensor;
    const source = before.get(identitySource(seen) ?? '');
    if (source !== undefined && source.dtype === tensor.dtype && sameShape(source.shape, tensor.shape)) {
      sameAs.set(tensor.name, source.name);
      return seen;
    }
    const reader = readerOf(seen, before);
    if (reader !== undefined) readers.set(tensor.name, reader);
    return seen;
  });
  return tensors === absorbed.tensors ? absorbed : { ...absorbed, tensors };

  function readThroughCopies(read: Load): Expression {
    return readers.get(read.tensor)?.(read) ?? read;
  }
}

/** The tensor itself if the rewritten one says the same: a read may be one that nothing can see through. */
function unlessEqual(tensor: Tensor, rewritten: Tensor): Tensor {
  return tensorKey(tensor) === tensorKey(rewritten) ? tensor : rewritten;
}

function readerOf(tensor: Tensor, tensors: ReadonlyMap<string, Tensor>): Reader | undefined {
  if (tensor.source.kind !== 'computed') return undefined;
  const [only, ...others] = tensor.source.equations;
  if (only === undefined) return () => constant(0);
  const { value } = only;
  if ((value.kind !== 'constant' && value.kind !== 'load') || others.length > 0 || !fillsOnce(only, tensor.shape))
    return undefined;
  if (value.kind === 'constant') return () => value;
  // A copy of another type rounds, and an index must be an integer tensor.
  if (tensors.get(value.tensor)?.dtype !== tensor.dtype) return undefined;
  const stored = plainIndices(only);
  return stored === undefined ? undefined : (read) => readThrough(value, stored, read.indices);
}

/** Axis → dimension of a store of plain axes; an axis of extent 1 may have become the index 0. */
function plainIndices(equation: Equation): ReadonlyMap<number, number> | undefined {
  const dimensions = new Map<number, number>();
  for (const [d, index] of equation.store.entries()) {
    if (index.kind !== 'affine') return undefined;
    if (isConstant(index)) continue;
    const axis = asAxis(index);
    if (axis === undefined) return undefined;
    dimensions.set(axis, d);
  }
  return dimensions;
}

/** The source's load with the reader's indices in the place of the copy's axes. */
function readThrough(source: Load, stored: ReadonlyMap<number, number>, at: readonly Index[]): Load | undefined {
  const indices: Index[] = [];
  for (const index of source.indices) {
    const moved = moveIndex(index, (axis) => at[stored.get(axis) as number]);
    if (moved === undefined) return undefined;
    indices.push(moved);
  }
  return { kind: 'load', tensor: source.tensor, indices };
}

function moveIndex(index: Index, at: (axis: number) => Index): Index | undefined {
  if (index.kind === 'gather') {
    const indices = index.indices.map((inner) => moveIndex(inner, at));
    return indices.some((inner) => inner === undefined)
      ? undefined
      : { ...index, indices: indices as readonly Index[] };
  }
  const whole = asAxis(index);
  if (whole !== undefined) return at(whole);
  if (index.terms.some((term) => at(term.axis).kind === 'gather')) return undefined;
  return substitute(index, (axis) => at(axis) as Affine);
}

/** The tensor that this one repeats element by element. */
function identitySource(tensor: Tensor): string | undefined {
  const [only, ...others] = equationsOf(tensor);
  if (only === undefined || others.length > 0 || only.value.kind !== 'load' || !fillsOnce(only, tensor.shape)) {
    return undefined;
  }
  const { tensor: source, indices } = only.value;
  const same = indices.length === only.store.length && indices.every((index, d) => sameIndex(index, only.store[d]));
  return same ? source : undefined;
}

function sameIndex(a: Index, b: Index): boolean {
  return a.kind === 'affine' && b.kind === 'affine' && equalAffine(a, b);
}

function sameShape(a: readonly number[] | undefined, b: readonly number[]): boolean {
  return a !== undefined && a.length === b.length && a.every((extent, d) => extent === b[d]);
}

/** `y = z` for an output y and a computed z that is none: z is called y from the start. */
function absorbIntoOutputs(program: Program): Program {
  const pinned = pinnedTensors(program);
  const byName = new Map(program.tensors.map((tensor) => [tensor.name, tensor]));
  const newName = new Map<string, string>();
  for (const tensor of program.tensors) {
    if (!pinned.has(tensor.name)) continue;
    const name = identitySource(tensor);
    const source = name === undefined ? undefined : byName.get(name);
    if (source === undefined || pinned.has(source.name) || newName.has(source.name)) continue;
    if (source.source.kind !== 'computed' || source.dtype !== tensor.dtype) continue;
    if (sameShape(source.shape, tensor.shape)) newName.set(source.name, tensor.name);
  }
  if (newName.size === 0) return program;
  const taken = new Set(newName.values());
  const tensors = program.tensors
    .filter((tensor) => !taken.has(tensor.name))
    .map((tensor) => {
      const renamed = rewriteTensor(tensor, { tensor: (name) => newName.get(name) ?? name });
      const name = newName.get(tensor.name);
      return name === undefined ? renamed : { ...byName.get(name), ...renamed, name };
    });
  return { ...program, tensors };
}
