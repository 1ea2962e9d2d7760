/**
 * A program in which some tensors are made twice: those that read them late read the second one.
 *
 *   x = f(s)   y = W·x   …   grad.W = cot~y·x      →      x = f(s)   y = W·x   …   x~again = f(s)   grad.W = cot~y·x~again
 *
 * The trap: nothing of a copy's equations says that it is to be made late, and kernels are made as early as they can be. So a copy comes
 * with a tensor that it is not made before (`after`), which grouping and the graph of kernels keep to.
 */
import type { StreamKernel, StreamStatement } from '../../../kernels/kernel.ts';
import { dependencies } from '../../ir/equation.ts';
import { rewriteExpression } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import type { Tensor } from '../../ir/program.ts';
import { freshName } from '../../passes/names.ts';
import { rewriteEquation, rewriteTensor } from '../../passes/rename.ts';
import type { Streams } from '../streams/streams.ts';
import { memoryWith, type Splits, type Timeline, type Unit } from './timeline.ts';

export interface Remade {
  readonly streams: Streams;
  /** For each copy a tensor that is not made later than it. */
  readonly after: ReadonlyMap<string, string>;
  /** What is made twice. */
  readonly units: readonly Unit[];
}

/** As it is. */
export function notRemade(streams: Streams): Remade {
  return { streams, after: new Map(), units: [] };
}

/** Throws where `memoryWith` finds nothing to wait for. */
export function remake(streams: Streams, timeline: Timeline, splits: Splits): Remade {
  const { program } = streams;
  const { unitOf } = timeline;
  const { needs } = memoryWith(timeline, splits)!;
  const taken = new Set(program.tensors.map(({ name }) => name));
  const copyOf = new Map<string, string>();
  for (const unit of needs.keys()) for (const name of unit.makes) copyOf.set(name, freshName(`${name}~again`, taken));
  /** The name under which a tensor is read at that time. */
  const seenAt = (time: number) => (name: string) => {
    const unit = unitOf.get(name);
    const isLate = unit !== undefined && time > (splits.get(unit) ?? Number.POSITIVE_INFINITY);
    return isLate ? copyOf.get(name)! : name;
  };
  const ownOrSeenAt = (unit: Unit, time: number) => (name: string) =>
    unit.makes.includes(name) ? copyOf.get(name)! : seenAt(time)(name);
  const after = new Map<string, string>();
  const copies = new Map<number, Tensor[]>();
  const kernels = new Map<string, StreamKernel>();
  for (const [name, kernel] of streams.kernels) {
    const unit = unitOf.get(name);
    kernels.set(name, unit === undefined ? kernel : renamed(kernel, seenAt(unit.first)));
    const need = unit && needs.get(unit);
    if (need) kernels.set(copyOf.get(name)!, renamed(kernel, ownOrSeenAt(unit, need.time)));
  }
  for (const tensor of program.tensors) {
    const unit = unitOf.get(tensor.name);
    const need = unit && needs.get(unit);
    if (!need) continue;
    const name = copyOf.get(tensor.name)!;
    after.set(name, need.anchor);
    addTo(copies, need.position, { ...rewriteTensor(tensor, { tensor: ownOrSeenAt(unit, need.time) }), name });
  }
  const tensors = program.tensors.flatMap((tensor, position): Tensor[] => {
    const unit = unitOf.get(tensor.name);
    const seen = seenAt(unit?.first ?? Number.NEGATIVE_INFINITY);
    const isSame = dependencies(tensor).every((name) => seen(name) === name);
    return [...(copies.get(position) ?? []), isSame ? tensor : rewriteTensor(tensor, { tensor: seen })];
  });
  const results = new Set(
    [...streams.results].flatMap((name) => [name, ...(copyOf.has(name) ? [copyOf.get(name)!] : [])]),
  );
  return {
    streams: { ...streams, program: { ...program, tensors }, kernels, results },
    after,
    units: [...needs.keys()],
  };
}

function renamed(kernel: StreamKernel, tensor: (name: string) => string): StreamKernel {
  const statements = kernel.statements.map(
    (statement): StreamStatement => ({
      ...statement,
      tensor: tensor(statement.tensor),
      equations: statement.equations.map((equation) => rewriteEquation(equation, { tensor })),
      follows: statement.follows.map(tensor),
      ...(statement.finish === undefined ? {} : { finish: rewriteExpression(statement.finish, { tensor }) }),
    }),
  );
  return { ...kernel, statements };
}
