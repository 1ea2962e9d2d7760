/**
 * Puts the tensors of a program that could be hidden into spaces: dimensions that are read at one axis are one class, and tensors that
 * are read together, or made from one another, one space.
 */
import { readTensors } from '../../ir/equation.ts';
import { loads } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import { plainAxes, pointOf } from '../../ir/plain.ts';
import type { Equation, Program, Tensor } from '../../ir/program.ts';
import type { Read } from '../../ir/reads.ts';
import { wholeAxes } from '../../passes/block-axes.ts';
import { type Obstacles, pairUp } from './pair.ts';
import type { Class, Space } from './space.ts';

interface Arrangement extends Obstacles {
  readonly spaces: readonly Space[];
}

export function arrange(
  program: Program,
  hidden: ReadonlySet<string>,
  reads: ReadonlyMap<string, readonly Read[]>,
): Arrangement {
  const classes = new Classes();
  const spaces = new Classes();
  const readers = new Map<string, { readonly tensor: Tensor; readonly equations: Set<Equation> }>();
  for (const tensor of program.tensors) {
    if (!hidden.has(tensor.name)) continue;
    for (const { reader, equation } of reads.get(tensor.name)!) {
      const known = readers.get(reader.name) ?? { tensor: reader, equations: new Set() };
      readers.set(reader.name, known);
      known.equations.add(equation);
    }
  }
  for (const { tensor, equations } of readers.values()) {
    for (const given of equations) {
      const equation = wholeAxes(given);
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
      const read = loads(equation.value).filter((l) => hidden.has(l.tensor));
      for (const l of read) {
        for (const [d, axis] of pointOf(l, equation)!.entries()) meet(axis, dimensionKey(l.tensor, d));
        spaces.join(read[0].tensor, l.tensor);
        if (hidden.has(tensor.name)) spaces.join(tensor.name, l.tensor);
      }
    }
  }
  const members = new Map<string, Tensor[]>();
  for (const tensor of program.tensors) if (hidden.has(tensor.name)) addTo(members, spaces.find(tensor.name), tensor);
  const spacesFound: Space[] = [];
  const obstacles: Obstacles = { refused: [], splits: [] };
  for (const tensors of members.values()) {
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
    if (obstacles.refused.length > 0) continue;
    const own = new Set(tensors.map(({ name }) => name));
    const reading = [...readers.values()].filter(
      (r) => !hidden.has(r.tensor.name) && [...r.equations].some((e) => readTensors(e).some((name) => own.has(name))),
    );
    const space = pairUp(tensors, extentOf, dimensions, reading, obstacles);
    if (space !== undefined) spacesFound.push(space);
  }
  return { spaces: spacesFound, ...obstacles };
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
