/**
 * What streams read of a stored tensor is a tensor of its own, which they can make tiles of; whoever else reads what is made of such tiles
 * makes it for itself. Program → program.
 *
 *   S[t, u] = Σ_i q·k                      S[t, u] = Σ_i q·k;   S~tile[t, u] = S[t, u]
 *   A[t, u] = exp(S[t, u] - l[t])      →   A[t, u] = exp(S~tile[t, u] - l[t])
 *   y[t, e] = Σ_u A[t, u]·v[u, e]          y[t, e] = Σ_u A[t, u]·v[u, e]
 *   g[u, e] = Σ_t A[t, u]·d[t, e]          g[u, e] = Σ_t exp(S[t, u] - l[t])·d[t, e]
 *
 * So S is made once, by a contraction, and what is made of it element by element is never stored (schedule/streams).
 */
import { affine, asAxis, decide, isAffine, substitute } from '../../ir/affine.ts';
import { dependencies, equationsOf, readTensors } from '../../ir/equation.ts';
import { rewriteExpression } from '../../ir/expression.ts';
import { isPointwise } from '../../ir/plain.ts';
import type { Affine, Equation, Expression, Load, Program, Tensor } from '../../ir/program.ts';
import { copyOf } from '../for-kernels/explicit-copies.ts';
import { freshName } from '../names.ts';
import { mapEquations, rewriteTensor } from '../rename.ts';

export interface StoredTiles {
  /** Tensors that are stored, and read tile by tile. */
  readonly stored: ReadonlySet<string>;
  /** Tensors that are made of them tile by tile. */
  readonly hidden: ReadonlySet<string>;
  /** Those that take the tiles. */
  readonly walkers: ReadonlySet<string>;
}

/** The program, and the stored tensors by the names of their tiles; undefined where somebody else cannot make for itself what it reads. */
export function tilesOfStored(
  program: Program,
  { stored, hidden, walkers }: StoredTiles,
): { readonly program: Program; readonly sources: ReadonlyMap<string, string> } | undefined {
  const taken = new Set(program.tensors.map((t) => t.name));
  const tiles = new Map([...stored].map((name) => [name, freshName(`${name}~tile`, taken)]));
  const made = madeOf(program, stored, hidden);
  let isMade = true;
  const makesItself = (equation: Equation): Equation => {
    if (!readTensors(equation).some((name) => made.has(name))) return equation;
    const load = (l: Load): Expression => {
      const definition = made.get(l.tensor);
      const value = definition && valueAt(definition, l, equation);
      isMade &&= definition === undefined || value !== undefined;
      return value === undefined ? l : rewriteExpression(value, { load });
    };
    return { ...equation, value: rewriteExpression(equation.value, { load }) };
  };
  const apart = mapEquations(program, (equation, { name }) =>
    walkers.has(name) || made.has(name) ? [equation] : [makesItself(equation)],
  );
  if (!isMade) return undefined;
  const tensors = apart.tensors.flatMap((tensor): Tensor[] => {
    const tile = tiles.get(tensor.name);
    if (tile !== undefined) return [tensor, copyOf(tensor, tile)];
    const takes = walkers.has(tensor.name) || made.has(tensor.name);
    return [takes ? rewriteTensor(tensor, { tensor: (name) => tiles.get(name) ?? name }) : tensor];
  });
  const ofTiles = new Set([...tiles.values(), ...made.keys()]);
  return {
    program: { ...program, tensors: withoutUnread(tensors, ofTiles) },
    sources: new Map([...tiles].map(([name, tile]) => [tile, name])),
  };
}

/** Without those tensors of `names` that nothing reads now. */
function withoutUnread(tensors: readonly Tensor[], names: ReadonlySet<string>): readonly Tensor[] {
  const read = new Set<string>();
  const kept = tensors.toReversed().filter((tensor) => {
    if (names.has(tensor.name) && !read.has(tensor.name)) return false;
    for (const name of dependencies(tensor)) read.add(name);
    return true;
  });
  return kept.toReversed();
}

/** Hidden tensors that are made element by element of stored ones, or of others that are. */
function madeOf(
  program: Program,
  stored: ReadonlySet<string>,
  hidden: ReadonlySet<string>,
): ReadonlyMap<string, Equation> {
  const made = new Map<string, Equation>();
  for (const tensor of program.tensors) {
    const [only, ...others] = equationsOf(tensor);
    if (!hidden.has(tensor.name) || stored.has(tensor.name) || only === undefined || others.length > 0) continue;
    const isOf = readTensors(only).some((name) => stored.has(name) || made.has(name));
    if (isOf && only.reducer === 'sum' && isPointwise(only, tensor.shape)) made.set(tensor.name, only);
  }
  return made;
}

/** What a load of an element is by the element's definition, where the domain that it is read in has it. */
function valueAt({ store, domain, value }: Equation, { indices }: Load, reader: Equation): Expression | undefined {
  if (indices.some((index) => index.kind !== 'affine')) return undefined;
  // An axis of one element may stand in no index.
  const at = (axis: number): Affine =>
    (indices[store.findIndex((index) => index.kind === 'affine' && asAxis(index) === axis)] as Affine) ?? affine(0);
  const moved = (a: Affine): Affine => substitute(a, at);
  const isInside = domain.every(
    (c) => isAffine(c) && decide({ ...c, affine: moved(c.affine) }, reader.axes, reader.domain) === 'always',
  );
  return isInside ? rewriteExpression(value, { affine: moved }) : undefined;
}
