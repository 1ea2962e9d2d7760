/** Equalities of indices: by hand, and against counting every point of small boxes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { affine, axisIndex, evaluate, holds, subtract } from '../../../compiler/ir/affine.ts';
import type { Affine, Axis } from '../../../compiler/ir/program.ts';
import { unify } from '../../../compiler/passes/unify.ts';
import { choicesFrom } from '../../support/choices.ts';
import { group } from './matrices.ts';

function axesOf(extents: Readonly<Record<string, number>>): Axis[] {
  return Object.entries(extents).map(([name, extent]) => ({ name, extent }));
}

/** Each digit as [axis, extent]. */
function digits(axes: readonly Axis[], ...positions: readonly number[]): Affine {
  return group(...positions.map((p): [Affine, number] => [axisIndex(p), axes[p].extent]));
}

function show(axes: readonly Axis[], equality: Affine): string {
  const solved = unify(axes, [equality]);
  if (solved.kind !== 'solved') return solved.kind;
  const name = (a: Affine): string =>
    [
      ...a.terms.map((t) => (t.coefficient === 1 ? '' : `${t.coefficient}·`) + solved.axes[t.axis].name),
      ...(a.constant !== 0 || a.terms.length === 0 ? [`${a.constant}`] : []),
    ].join(' + ');
  const replaced = axes.flatMap(({ name: from }, i) => {
    const to = name(solved.replace[i]);
    return to === from ? [] : [`${from} := ${to}`];
  });
  return [...replaced, ...solved.constraints.map((c) => `${name(c.affine)} ${c.kind}`)].join(', ');
}

describe('one equality', () => {
  test.each([
    ['a full axis is a group', { i: 32, α: 4, β: 8 }, [0], [1, 2], 'i := 8·α + β'],
    ['a group is a full axis', { γ: 4, δ: 8, j: 32 }, [0, 1], [2], 'j := 8·γ + δ'],
    ['the same radix', { a: 4, b: 8, c: 4, d: 8 }, [0, 1], [2, 3], 'c := a, d := b'],
    ['a finer radix', { a: 2, b: 8, c: 8, d: 2 }, [0, 1], [2, 3], 'b := d + 2·b, c := 4·a + b'],
    ['three digits against two', { o: 2, f: 2, p: 4, k: 4, q: 4 }, [0, 1, 2], [3, 4], 'k := 2·o + f, q := p'],
    ['an axis too short', { i: 30, α: 4, β: 8 }, [0], [1, 2], 'i := 8·α + β, -8·α + -1·β + 29 nonnegative'],
    ['an axis longer than the group', { i: 40, α: 4, β: 8 }, [0], [1, 2], 'i := 8·α + β'],
    ['no common radix', { a: 2, b: 3, c: 3, d: 2 }, [0, 1], [2, 3], undefined],
  ])('%s', (_, extents, left, right, expected) => {
    const axes = axesOf(extents as Record<string, number>);
    const shown = show(axes, subtract(digits(axes, ...left), digits(axes, ...right)));
    if (expected !== undefined) expect(shown).toBe(expected);
    else expect(shown).toContain('nonnegative');
  });

  test('a slice', () => {
    const axes = axesOf({ r: 8, e: 4 });
    expect(
      show(
        axes,
        affine(-4, [
          { axis: 0, coefficient: 1 },
          { axis: 1, coefficient: -1 },
        ]),
      ),
    ).toBe('r := e + 4');
  });

  test('a stride', () => {
    const axes = axesOf({ j: 9, i: 5 });
    expect(
      show(
        axes,
        affine(0, [
          { axis: 0, coefficient: 1 },
          { axis: 1, coefficient: -2 },
        ]),
      ),
    ).toBe('j := 2·i');
  });

  test('no whole solution', () => {
    expect(
      show(
        axesOf({ i: 4, j: 4 }),
        affine(1, [
          { axis: 0, coefficient: 2 },
          { axis: 1, coefficient: -2 },
        ]),
      ),
    ).toBe('empty');
    expect(
      show(
        axesOf({ i: 4, j: 4 }),
        affine(9, [
          { axis: 0, coefficient: 1 },
          { axis: 1, coefficient: -1 },
        ]),
      ),
    ).toBe('empty');
  });

  test('nothing to solve for', () => {
    expect(
      show(
        axesOf({ i: 7, j: 7 }),
        affine(0, [
          { axis: 0, coefficient: 2 },
          { axis: 1, coefficient: -3 },
        ]),
      ),
    ).toBe('unsolved');
  });
});

/** All points of a box. */
function points(axes: readonly Axis[]): number[][] {
  return axes.reduce<number[][]>(
    (all, { extent }) => all.flatMap((point) => Array.from({ length: extent }, (_, i) => [...point, i])),
    [[]],
  );
}

test('new points correspond one to one to the old points that meet the equalities', () => {
  const kinds = new Map<string, number>();
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12, maxLength: 40 }), (tape) => {
      const choices = choicesFrom(tape);
      const axes = Array.from({ length: choices.between(2, 5) }, (_, i) => ({
        name: `a${i}`,
        extent: choices.pick([2, 4, 3, 1, 6]),
      }));
      const equalities = Array.from({ length: choices.between(1, 2) }, () => {
        const used = axes.map((_, axis) => axis).filter(() => choices.oneIn(2));
        if (choices.oneIn(2)) {
          const cut = choices.between(0, used.length);
          return subtract(digits(axes, ...used.slice(0, cut)), digits(axes, ...used.slice(cut)));
        }
        return affine(
          choices.between(-2, 2),
          used.map((axis) => ({ axis, coefficient: choices.pick([1, -1, 2, -2, 3, -4]) })),
        );
      });
      const solved = unify(axes, equalities);
      kinds.set(solved.kind, (kinds.get(solved.kind) ?? 0) + 1);
      if (solved.kind === 'unsolved') return;
      const want = points(axes).filter((point) => equalities.every((e) => evaluate(e, point) === 0));
      const have =
        solved.kind === 'empty'
          ? []
          : points(solved.axes)
              .filter((point) => solved.constraints.every((c) => holds(c, point)))
              .map((point) => solved.replace.map((a) => evaluate(a, point)));
      expect(have.map(String).sort()).toEqual(want.map(String).sort());
    }),
    { numRuns: 2000, seed: 1 },
  );
  expect([...kinds.keys()].sort()).toEqual(['empty', 'solved', 'unsolved']);
});
