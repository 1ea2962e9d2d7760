/**
 * Tensors that could be hidden, in spaces: those that are read together, or made from one another, are one space, and dimensions that
 * are read at one axis one class of it.
 */
import { loads } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import { plainAxes, pointOf } from '../../ir/plain.ts';
import type { Equation, Tensor } from '../../ir/program.ts';
import type { Read } from '../../ir/reads.ts';
import { wholeAxes } from '../../passes/for-streams/block-axes.ts';
import { type Obstacles, pairUp, type Reading } from './pair.ts';
import type { Class, Space } from './space.ts';

/** A space, or what stands in its way. */
export interface Arrangement extends Obstacles {
  readonly space: Space | undefined;
}

type Reads = ReadonlyMap<string, readonly Read[]>;

/** Hidden tensors in as many lists as there are spaces. */
export function connected(tensors: readonly Tensor[], reads: Reads): readonly (readonly Tensor[])[] {
  const hidden = new Set(tensors.map(({ name }) => name));
  const spaces = new Classes();
  for (const { tensor, equations } of readersOf(tensors, reads)) {
    for (const equation of equations) {
      const [first, ...others] = loads(equation.value).filter((l) => hidden.has(l.tensor));
      for (const l of others) spaces.join(first.tensor, l.tensor);
      if (hidden.has(tensor.name)) spaces.join(tensor.name, first.tensor);
    }
  }
  const members = new Map<string, Tensor[]>();
  for (const tensor of tensors) addTo(members, spaces.find(tensor.name), tensor);
  return [...members.values()];
}

/** The tensors as one space. */
export function arrange(tensors: readonly Tensor[], reads: Reads): Arrangement {
  const hidden = new Set(tensors.map(({ name }) => name));
  const readers = readersOf(tensors, reads);
  const classes = new Classes();
  for (const { tensor, equations } of readers)
    for (const e of equations) joinDimensions(wholeAxes(e), tensor, hidden, classes);
  const obstacles: Obstacles = { refused: [], splits: [] };
  const names = new Map<string, Class>();
  const extentOf = new Map<Class, number>();
  const dimensions = new Map<string, readonly (Class | undefined)[]>();
  for (const { name, shape } of tensors) {
    const own = shape.map((extent, d) => {
      if (extent === 1) return undefined;
      const root = classes.find(dimensionKey(name, d));
      const id = names.get(root) ?? names.size;
      names.set(root, id);
      extentOf.set(id, extent);
      return id;
    });
    const long = own.filter((id) => id !== undefined);
    if (new Set(long).size !== long.length) obstacles.refused.push(name);
    dimensions.set(name, own);
  }
  const reading = readers.filter(({ tensor }) => !hidden.has(tensor.name));
  const isApart = obstacles.refused.length === 0;
  const space = isApart ? pairUp(tensors, extentOf, dimensions, reading, obstacles) : undefined;
  return { space, ...obstacles };
}

/** Whoever reads the tensors, with the equations that do. */
function readersOf(tensors: readonly Tensor[], reads: Reads): readonly Reading[] {
  const readers = new Map<string, { readonly tensor: Tensor; readonly equations: Set<Equation> }>();
  for (const { name } of tensors) {
    for (const { reader, equation } of reads.get(name)!) {
      const known = readers.get(reader.name) ?? { tensor: reader, equations: new Set() };
      readers.set(reader.name, known);
      known.equations.add(equation);
    }
  }
  return [...readers.values()];
}

/** Dimensions of hidden tensors that the equation reads, or stores, at one axis are one class. */
function joinDimensions(equation: Equation, tensor: Tensor, hidden: ReadonlySet<string>, classes: Classes): void {
  const at = new Map<number, string>();
  const meet = (axis: number | undefined, key: string): void => {
    if (axis === undefined) return;
    const before = at.get(axis);
    if (before === undefined) at.set(axis, key);
    else classes.join(before, key);
  };
  if (hidden.has(tensor.name))
    plainAxes(equation, tensor.shape)!.forEach((axis, d) => {
      if (tensor.shape[d] > 1) meet(axis, dimensionKey(tensor.name, d));
    });
  for (const l of loads(equation.value)) {
    if (!hidden.has(l.tensor)) continue;
    for (const [d, axis] of pointOf(l, equation)!.entries()) meet(axis, dimensionKey(l.tensor, d));
  }
}

/** Dimensions that are one class, by union. */
class Classes {
  private readonly parents = new Map<string, string>();

  find(key: string): string {
    let root = key;
    for (let up = this.parents.get(root); up !== undefined; up = this.parents.get(root)) root = up;
    return root;
  }

  join(a: string, b: string): void {
    const [x, y] = [this.find(a), this.find(b)];
    if (x !== y) this.parents.set(y, x);
  }
}

const dimensionKey = (name: string, d: number): string => `${name} ${d}`;
