/**
 * Two kernels that make the same tiles, one of rows t that walk u, one of rows u that walk t, as one: what the other summed along its rows is
 * summed across them. Program, drafts → both with fewer drafts.
 *
 *   rows u, walking t: dk[u, r] = Σ_t dS[t, u]·q[t, r]                     rows u, walking t: dk and
 *   rows t, walking u: dq[t, r] = Σ_u dS[t, u]·k[u, r]                       dq~pieces[p, t, r] = Σ_{u of piece p} dS[t, u]·k[u, r]
 *                                                                  dq[t, r] = dq~pieces[0, t, r] + dq~pieces[1, t, r] + …
 *
 * The tiles are made once in place of twice. A workgroup must take all rows that add to a sum, so that the rows of a batch are shared out
 * to so many workgroups only as there are pieces; a single piece is the sum itself.
 */
import { roundsOf } from '../../../kernels/families/stream/pieces.ts';
import { asSumAcross, streamAxes } from '../../../kernels/families/stream/shape.ts';
import { defaultStreamTuning } from '../../../kernels/families/stream/tuning.ts';
import type { StreamKernel, StreamPieces } from '../../../kernels/kernel.ts';
import type { Target } from '../../../kernels/target.ts';
import { affine, axisIndex, substitute } from '../../ir/affine.ts';
import { pointwise, tensorMap } from '../../ir/equation.ts';
import { load, rewriteConstraint, rewriteExpression, rewriteIndex, sum } from '../../ir/expression.ts';
import { addTo } from '../../ir/lists.ts';
import type { Affine, Axis, Constraint, Equation, Program, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { freshName } from '../../passes/names.ts';
import { type Chooser, layoutsOf, streamProblem } from '../choose.ts';
import {
  beginningOf,
  type Counted,
  type Draft,
  type DraftStatement,
  directSources,
  fitsBindings,
  reaches,
} from './drafts.ts';
import { kernelOf } from './kernels.ts';
import { hiddenBelow, inKernel, noAxis, type Space } from './space.ts';

/** `always` and `never` are for tests, and for people who compare. A number: always, in so many pieces. */
export type Sweeping = 'auto' | 'always' | 'never' | number;

/** Rows of a block of a piece: no tile of a stream has more. */
const blockRows = 64;
/** Workgroups that keep an H100 at work. */
const enoughGroups = 200;
/** Each is as much memory as the sum, and has two blocks at least, so that a short walk and a long one go together. */
const mostPieces = 8;
const leastRounds = 2;

interface SweepOptions {
  readonly sweeping: Sweeping;
  readonly target: Target;
  readonly counted: Counted;
  readonly chooser: Chooser;
}

export function sumAcross(
  program: Program,
  given: readonly Draft[],
  { sweeping, target, counted, chooser }: SweepOptions,
): { readonly program: Program; readonly drafts: readonly Draft[] } {
  if (sweeping === 'never') return { program, drafts: given };
  const tensors = tensorMap(program);
  const layouts = layoutsOf(program);
  const position = new Map(program.tensors.map(({ name }, at) => [name, at]));
  const hidden = new Set(given.flatMap(({ space }) => [...space.hidden]));
  const directly = directSources(tensors, hidden);
  const fits = fitsBindings(program, directly, target, counted);
  const drafts = [...given];
  const draftOf = new Map(drafts.flatMap((draft) => [...draft.members].map((name) => [name, draft] as const)));
  const waits = (a: Draft, b: Draft): boolean => {
    const from = Math.min(beginningOf(a, drafts), beginningOf(b, drafts));
    const sources = [...a.members].flatMap(directly).filter((name) => !a.members.has(name));
    return reaches(sources, b, draftOf, (name) => (position.get(name)! < from ? [] : directly(name)));
  };
  /**
   * In how many pieces the kernel makes both; 0: each its own. On an H100's f32 units, a layer's way back of 64 × 8 heads of 64 tokens and 32
   * features took 48.2 µs in place of 59.5, of 8 × 8 heads of 1024 tokens and 64 features in 4 pieces 853 in place of 1044, and the sum of the
   * pieces 15. Several sums of few columns are made as one along a walk (joint.ts), but not across it: four of 64 × 8 heads of 256 tokens took
   * 1223 in place of 925 (test/bench/records/2026-11-28-sweep-4.jsonl).
   */
  const piecesByRule = (swept: StreamKernel, kernels: readonly StreamKernel[]): number => {
    if (typeof sweeping === 'number') return sweeping;
    const count = fewestPieces(swept);
    if (sweeping === 'always') return count;
    const isJoint = swept.statements.filter(({ kind }) => kind === 'across').length > 1;
    const onMatrices = (kernel: StreamKernel): boolean =>
      defaultStreamTuning(kernel, layouts, target).matrices !== undefined;
    const isStarved = batchesOf(swept) * count < enoughGroups;
    return target.class === 'cpu' || isStarved || isJoint || (kernels.some(onMatrices) && !onMatrices(swept))
      ? 0
      : count;
  };
  /** Both as one, with the rows of the first; undefined where that cannot be, or takes longer. */
  const asOne = (keeps: Draft, gone: Draft): Draft | undefined => {
    const both = takeAcross(keeps, gone, tensors);
    if (both === undefined || !fits(both, []) || waits(keeps, gone) || waits(gone, keeps)) return undefined;
    const kernels = [keeps, gone].map((draft) => kernelOf(draft, tensors));
    const problem = ['across', sweeping, ...kernels.map((kernel) => streamProblem(kernel, layouts))].join('\n');
    const { tuning: count } = chooser.pieces(problem, () => piecesByRule(kernelOf(both, tensors), kernels));
    return count === 0 ? undefined : { ...both, pieces: { count, rows: blockRows } };
  };
  for (const [keeps, gone] of pairsOf(given)) {
    if (!drafts.includes(keeps) || !drafts.includes(gone)) continue;
    const both = asOne(keeps, gone);
    if (both === undefined) continue;
    const [first, last] = [keeps, gone].map((draft) => drafts.indexOf(draft)).sort((a, b) => a - b);
    drafts.splice(last, 1);
    drafts[first] = both;
    for (const name of both.members) draftOf.set(name, both);
  }
  return inPieces(program, drafts, tensors);
}

/** Drafts of one space that go two ways, each pair both ways round: first where fewest sums must be made across. */
function pairsOf(drafts: readonly Draft[]): readonly (readonly [keeps: Draft, gone: Draft])[] {
  const bySpace = new Map<Space, Draft[]>();
  for (const draft of drafts) addTo(bySpace, draft.space, draft);
  return [...bySpace.values()].flatMap((own) =>
    own
      .flatMap((keeps) => own.map((gone) => [keeps, gone] as const))
      .filter(([keeps, gone]) => keeps.like.row === gone.like.walk && keeps.like.walk === gone.like.row)
      .sort(([, a], [, b]) => a.statements.length - b.statements.length),
  );
}

/** The draft with the sums of another across; undefined where it makes other tiles, or those are no sums of its rows. */
function takeAcross(keeps: Draft, gone: Draft, tensors: ReadonlyMap<string, Tensor>): Draft | undefined {
  const { space, like, order } = keeps;
  const isPlain = [...keeps.statements, ...gone.statements].every(({ followed }) => followed === undefined);
  if (!isPlain || like.outer.length > 0 || String(like.batch) !== String(gone.like.batch)) return undefined;
  const axes = streamAxes({ batch: like.batch.map(() => noAxis), outer: [] });
  const isAcross = ({ kind, equations, classes }: DraftStatement): boolean =>
    (kind === 'sum' || kind === 'total') &&
    equations.every((e, i) => {
      const parts = asSumAcross(inKernel(e, classes[i], order, space.extentOf), axes, space.hidden);
      return parts !== undefined && parts.place === undefined;
    });
  if (!gone.statements.every(isAcross)) return undefined;
  const tilesOf = ({ statements }: Draft): ReadonlySet<string> =>
    hiddenBelow(
      statements.flatMap(({ equations }) => equations),
      space,
      tensors,
    );
  const made = tilesOf(keeps);
  if (![...tilesOf(gone)].every((name) => made.has(name))) return undefined;
  return {
    ...keeps,
    pieces: { count: 1, rows: blockRows },
    members: new Set([...keeps.members, ...gone.members]),
    statements: [...keeps.statements, ...gone.statements.map((s) => ({ ...s, kind: 'across' as const }))],
    span: {
      first: Math.min(keeps.span.first, gone.span.first),
      last: Math.max(keeps.span.last, gone.span.last),
    },
  };
}

const batchesOf = ({ batch }: StreamKernel): number => elementCount(batch.map(({ extent }) => extent));

/** Pieces that give a device enough workgroups, if so many may. */
function fewestPieces(kernel: StreamKernel): number {
  const most = Math.min(mostPieces, kernel.row.extent / (leastRounds * blockRows));
  let count = 1;
  while (2 * count <= most && batchesOf(kernel) * count < enoughGroups) count *= 2;
  return count;
}

/** Sums across that are made in several pieces, and what they come to. */
function inPieces(
  program: Program,
  drafts: readonly Draft[],
  tensors: ReadonlyMap<string, Tensor>,
): { readonly program: Program; readonly drafts: readonly Draft[] } {
  const taken = new Set(program.tensors.map(({ name }) => name));
  const pieced = new Map<string, Tensor>();
  const renamed = drafts.map((draft): Draft => {
    if (draft.pieces === undefined || draft.pieces.count === 1) return draft;
    const names = new Map<string, string>();
    const statements = draft.statements.map((s): DraftStatement => {
      if (s.kind !== 'across') return s;
      const name = freshName(`${s.tensor}~pieces`, taken);
      names.set(s.tensor, name);
      const { shape } = tensors.get(s.tensor)!;
      const row = s.classes.map((classes) => [...classes].find(([, id]) => id === draft.like.row)![0]);
      const equations = s.equations.flatMap((e, i) => piecesOf(e, row[i], draft.pieces!));
      pieced.set(s.tensor, {
        name,
        dtype: 'f32',
        shape: [draft.pieces!.count, ...shape],
        source: { kind: 'computed', equations },
      });
      return { ...s, tensor: name };
    });
    return { ...draft, statements, members: new Set([...draft.members].map((name) => names.get(name) ?? name)) };
  });
  const withPieces = program.tensors.flatMap((tensor): readonly Tensor[] => {
    const pieces = pieced.get(tensor.name);
    if (pieces === undefined) return [tensor];
    const axes = tensor.shape.map((extent, d): Axis => ({ name: `o${d}`, extent }));
    const at = axes.map((_, d) => axisIndex(d));
    const terms = Array.from({ length: pieces.shape[0] }, (_, p) => load(pieces.name, [affine(p), ...at]));
    return [pieces, { ...tensor, source: { kind: 'computed', equations: [pointwise(axes, sum(terms))] } }];
  });
  return { program: { ...program, tensors: withPieces }, drafts: renamed };
}

/** The equation's sum over its axis `row` for each piece: the rows of its blocks of even rounds, then those of odd ones (`pieces.ts`). */
function piecesOf(equation: Equation, row: number, pieces: StreamPieces): readonly Equation[] {
  const { count, rows } = pieces;
  const rounds = roundsOf(pieces, equation.axes[row].extent);
  return [0, 1].flatMap((parity): readonly Equation[] => {
    const own = Math.floor((rounds + 1 - parity) / 2);
    if (own === 0) return [];
    const { extent, name } = equation.axes[row];
    const [piece, round] = [equation.axes.length, equation.axes.length + 1];
    const axes = [
      ...equation.axes.map((axis, i) => (i === row ? { ...axis, extent: rows } : axis)),
      { name: 'piece', extent: count },
      { name: `${name}~round`, extent: own },
    ];
    const at = affine(parity * (2 * count - 1) * rows, [
      { axis: row, coefficient: 1 },
      { axis: piece, coefficient: parity === 0 ? rows : -rows },
      { axis: round, coefficient: 2 * count * rows },
    ]);
    const rewrite = { affine: (a: Affine): Affine => substitute(a, (axis) => (axis === row ? at : axisIndex(axis))) };
    const inside: readonly Constraint[] =
      extent % (count * rows) === 0
        ? []
        : [
            {
              kind: 'nonnegative',
              affine: affine(
                extent - 1 - at.constant,
                at.terms.map((t) => ({ ...t, coefficient: -t.coefficient })),
              ),
            },
          ];
    return [
      {
        ...equation,
        axes,
        domain: [...equation.domain.map((c) => rewriteConstraint(c, rewrite)), ...inside],
        store: [axisIndex(piece), ...equation.store.map((index) => rewriteIndex(index, rewrite))],
        value: rewriteExpression(equation.value, rewrite),
      },
    ];
  });
}
