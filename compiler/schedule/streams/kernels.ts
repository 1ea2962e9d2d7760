/** The kernel of a draft: its results in order, each tile before the first of them that needs it. */
import type { StreamKernel, StreamStatement } from '../../../kernels/kernel.ts';
import { equationsOf, readTensors } from '../../ir/equation.ts';
import { load } from '../../ir/expression.ts';
import { constraintKey, expressionKey } from '../../ir/hash.ts';
import type { Axis, Constraint, Equation, Tensor } from '../../ir/program.ts';
import { wholeAxes } from '../../passes/for-streams/block-axes.ts';
import type { Draft, DraftStatement } from './drafts.ts';
import { type Class, inKernel, tileClasses } from './space.ts';

export function kernelOf(draft: Draft, tensors: ReadonlyMap<string, Tensor>): StreamKernel {
  const { space, order, like } = draft;
  const without = new Map(draft.statements.flatMap(({ followed }) => [...(followed?.tiles ?? [])]));
  const results = draft.statements.map((statement) => overKernel(statement, draft));
  const common = commonConstraints(results);
  const made = new Map<string, StreamStatement>();
  const statements: StreamStatement[] = [];
  const tileOf = (name: string): StreamStatement => {
    const tensor = tensors.get(name)!;
    const given = without.has(name) ? [without.get(name)!] : equationsOf(tensor);
    const equations = given.map(wholeAxes).map((e) => {
      const own = inKernel(e, tileClasses(e, tensor, space), order, space.extentOf);
      return { ...own, domain: own.domain.filter((c) => !common.has(constraintKey(c))) };
    });
    return { kind: 'tile', tensor: name, equations, stored: false, follows: [] };
  };
  const need = (equation: Equation): void => {
    for (const name of readTensors(equation)) {
      if (!space.hidden.has(name) || made.has(name)) continue;
      const tile = tileOf(name);
      made.set(name, tile);
      for (const e of tile.equations) need(e);
      statements.push(tile);
    }
  };
  for (const statement of results) {
    const shared = sharesTile(statement, [...without.keys()].map(tileOf), common);
    for (const e of shared.equations) need(e);
    statements.push(shared);
  }
  const named = like.equations[0];
  const axis = (id: Class): Axis => {
    const own = [...like.classes[0]].find(([, c]) => c === id)?.[0];
    return { name: own === undefined ? `i${id}` : named.axes[own].name, extent: space.extentOf.get(id)! };
  };
  return {
    family: 'stream',
    batch: like.batch.map(axis),
    outer: like.outer.map(axis),
    row: axis(like.row),
    walk: axis(like.walk),
    statements,
    ...(draft.pieces === undefined ? {} : { pieces: draft.pieces }),
  };
}

/** A statement over the kernel's own axes. */
function overKernel({ kind, tensor, equations, classes, followed }: DraftStatement, draft: Draft): StreamStatement {
  const { order, space } = draft;
  const over = (e: Equation, i: number): Equation => inKernel(e, classes[i], order, space.extentOf);
  const finish = followed?.finish && over({ ...equations[0], value: followed.finish }, 0).value;
  return {
    kind,
    tensor,
    equations: equations.map(over),
    stored: true,
    follows: followed?.follows ?? [],
    ...(finish === undefined ? {} : { finish }),
  };
}

/** Constraints that every result has: what a tile is outside of them nobody asks. */
function commonConstraints(results: readonly StreamStatement[]): ReadonlySet<string> {
  const lists = results
    .filter(({ kind }) => kind !== 'row')
    .flatMap(({ equations }) => equations.map((e) => new Set(e.domain.map(constraintKey))));
  const [first, ...others] = lists;
  return new Set([...first].filter((key) => others.every((keys) => keys.has(key))));
}

/** A total of what a tile of the kernel holds reads it there. */
function sharesTile(
  statement: StreamStatement,
  tiles: readonly StreamStatement[],
  common: ReadonlySet<string>,
): StreamStatement {
  if (statement.kind !== 'total') return statement;
  const equations = statement.equations.map((equation): Equation => {
    const key = expressionKey(equation.value);
    const tile = tiles.find(
      ({ equations: [only] }) =>
        expressionKey(only.value) === key && only.domain.every((c: Constraint) => common.has(constraintKey(c))),
    );
    return tile === undefined ? equation : { ...equation, value: load(tile.tensor, tile.equations[0].store) };
  });
  return { ...statement, equations };
}
