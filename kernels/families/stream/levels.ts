/**
 * Terms that lie side by side, each where row and walk are in one block and the blocks nested, as one term: of its columns the leading
 * ones count, the more the nearer row and walk are.
 *
 *   S[t, u] = Σ_e q[t, e]·k[u, e]                                        over e: 4
 *           + 2 Σ_e q[t, e + 4]·k[u, e + 4]   where t / 64 == u / 64      over e: 2
 *   S[t, u] = Σ_e<leading(t, u) scale(e)·q[t, e]·k[u, e]                  leading(t, u) is 6 in a block of 64, else 4
 *
 * Of a tile it is known at once how many columns count for some of its elements, and how many for all: only between the two each
 * element is asked. A lane's rows come in fours, which blocks of a multiple of four do not part; terms of other blocks stay by themselves.
 */
import { affine, axisIndex, decide, substitute } from '../../../compiler/ir/affine.ts';
import { constraintAxes, product, rewriteExpression, rewriteIndex } from '../../../compiler/ir/expression.ts';
import { equationKey } from '../../../compiler/ir/hash.ts';
import type { Affine, Constraint, Equation, Expression } from '../../../compiler/ir/program.ts';
import { f32Literal, plus, wgsl } from '../../wgsl/text.ts';
import type { LevelNames, StreamCode } from './code.ts';
import { blockSize, type StreamAxes } from './shape.ts';

/** Columns up to `to`, from where the level before ends: within blocks of `block` of row and walk, everywhere where it is not said. */
interface Level {
  readonly to: number;
  readonly block: number | undefined;
  readonly scale: number;
}

export interface Levels {
  /** The term over the columns of all levels, without scales and blocks. */
  readonly equation: Equation;
  readonly levels: readonly Level[];
}

/** One term, taken apart. */
interface Term {
  readonly value: Expression;
  readonly scale: number;
  readonly block: number | undefined;
  readonly domain: readonly Constraint[];
}

/** The levels that a statement's first equations are, and the equations after them. */
export function splitLevels(
  equations: readonly Equation[],
  axes: StreamAxes,
): { readonly levels: Levels | undefined; readonly others: readonly Equation[] } {
  const [first] = equations;
  const term = termOf(first, axes);
  const none = { levels: undefined, others: equations };
  if (term === undefined || first.axes.length !== axes.own + 1 || first.axes[axes.own].extent === 1) return none;
  const levels: Level[] = [];
  for (const equation of equations) {
    const { to, block } = levels.at(-1) ?? { to: 0, block: undefined };
    const next = termOf(equation, axes);
    if (next === undefined || !isNested(next.block, block) || !isShifted(equation, next, first, term, to, axes)) break;
    levels.push({ to: to + (equation.axes[axes.own]?.extent ?? 1), block: next.block, scale: next.scale });
  }
  if (levels.length < 2 || levels.at(-1)!.block === undefined) return none;
  const own = { ...first.axes[axes.own], extent: levels.at(-1)!.to };
  const equation = { ...first, axes: [...first.axes.slice(0, axes.own), own], domain: term.domain, value: term.value };
  return { levels: { equation, levels }, others: equations.slice(levels.length) };
}

function termOf(equation: Equation, axes: StreamAxes): Term | undefined {
  const { axes: all, domain, value } = equation;
  if (all.length > axes.own + 1 || all[axes.own]?.symbol !== undefined) return undefined;
  const pending = domain.filter((c) => decide(c, all) !== 'always');
  if (pending.some((c) => constraintAxes(c).includes(axes.own))) return undefined;
  const sizes = pending.map((c) => blockSize(c, axes));
  const blocks = sizes.filter((size) => size !== undefined);
  if (blocks.length > 1) return undefined;
  const factors = value.kind === 'product' ? value.factors : [value];
  const [head] = factors;
  return {
    value: head.kind === 'constant' ? product(factors.slice(1)) : value,
    scale: head.kind === 'constant' ? head.value : 1,
    block: blocks[0],
    domain: pending.filter((_, i) => sizes[i] === undefined),
  };
}

function isNested(block: number | undefined, around: number | undefined): boolean {
  if (block === undefined) return around === undefined;
  return block % 4 === 0 && (around === undefined || around % block === 0);
}

/** Whether a term is what the first one is `offset` columns further. */
function isShifted(
  equation: Equation,
  term: Term,
  first: Equation,
  firstTerm: Term,
  offset: number,
  { own }: StreamAxes,
): boolean {
  const isOne = (equation.axes[own]?.extent ?? 1) === 1;
  const key = (store: Equation['store'], { value, domain }: Term, by: number): string => {
    const column = affine(by, isOne ? [] : axisIndex(own).terms);
    const rewrite = { affine: (a: Affine) => substitute(a, (axis) => (axis === own ? column : axisIndex(axis))) };
    const moved = store.map((index) => rewriteIndex(index, rewrite));
    return equationKey({ ...first, axes: [], domain, store: moved, value: rewriteExpression(value, rewrite) });
  };
  return key(first.store, firstTerm, offset) === key(equation.store, term, 0);
}

/** Names of what a tile knows of its levels, which is found once a tile, for all that have the same. */
export function levelNames({ levels }: Levels, w: StreamCode): LevelNames {
  const key = JSON.stringify(levels.map(({ to, block }) => [to, block]));
  const known = w.levels.get(key);
  if (known !== undefined) return known;
  const { emitter, rowTile, columnTile } = w;
  const names = {
    leading: emitter.global('leading'),
    most: emitter.fresh('most_columns'),
    least: emitter.fresh('least_columns'),
  };
  w.levels.set(key, names);
  const inner = levels.flatMap(({ block }, i) =>
    block === undefined || block === levels[i - 1]?.block
      ? []
      : [`if (row / ${block} != column / ${block}) { return ${levels[i - 1]?.to ?? 0}; }`],
  );
  w.functions.push(wgsl`
    // How many columns count for a pair: the leading ones, the more the nearer.
    fn ${names.leading}(row: i32, column: i32) -> i32 {
      ${inner.join('\n')}
      return ${levels.at(-1)!.to};
    }
  `);
  const [row, column] = [rowTile.start, columnTile.start];
  const [lastRow, lastColumn] = [plus(row, rowTile.rows - 1), plus(column, columnTile.rows - 1)];
  const nearest = emitter.fresh('nearest');
  w.tileHead.push(
    `let ${nearest} = max(${row}, ${column});`,
    `let ${names.most} = ${names.leading}(${nearest}, min(${nearest}, min(${lastRow}, ${lastColumn})));`,
    `let ${names.least} = ${names.leading}(min(${row}, ${column}), max(${lastRow}, ${lastColumn}));`,
  );
  return names;
}

/** WGSL of a column's scale: a function's call, or the number where all levels have it; none where that is 1. */
export function scaleOfColumn({ levels }: Levels, column: string, w: StreamCode): readonly string[] {
  const steps = levels.filter(({ scale }, i) => scale !== levels[i + 1]?.scale);
  if (steps.length === 1) return steps[0].scale === 1 ? [] : [f32Literal(steps[0].scale)];
  const scales = steps.map(({ to, scale }) => [to, f32Literal(scale)] as const);
  return [`${functionOfColumn('level_scale', 'f32', scales, w)}(${column})`];
}

/** The same of four columns from `column` on. */
export function scaleOfQuad(levels: Levels, column: string, w: StreamCode): readonly string[] {
  const each = [0, 1, 2, 3].map((c) => scaleOfColumn(levels, plus(column, c), w)[0]);
  return each[0] === undefined ? [] : [`vec4<f32>(${each.join(', ')})`];
}

/** WGSL of the sizes of the blocks in which columns count, four columns from `column` on; one that holds all where they do everywhere. */
function blocksOfColumns({ levels }: Levels, column: string, w: StreamCode): string {
  const { row, walk } = w.kernel;
  const sizes = levels.map(({ to, block }) => [to, `${block ?? Math.max(row.extent, walk.extent)}u`] as const);
  const name = functionOfColumn('level_block', 'u32', sizes, w);
  return `vec4<u32>(${[0, 1, 2, 3].map((c) => `${name}(${plus(column, c)})`).join(', ')})`;
}

/** `fn level_scale(column)`: what the level of a column has, the last one's beyond all. */
function functionOfColumn(
  word: string,
  type: string,
  steps: readonly (readonly [to: number, value: string])[],
  w: StreamCode,
): string {
  const key = `${word} ${steps.join()}`;
  const known = w.shared.get(key);
  if (known !== undefined) return known;
  const name = w.emitter.global(word);
  w.shared.set(key, name);
  w.functions.push(wgsl`
    fn ${name}(column: i32) -> ${type} {
      ${steps
        .slice(0, -1)
        .map(([to, value]) => `if (column < ${to}) { return ${value}; }`)
        .join('\n')}
      return ${steps.at(-1)![1]};
    }
  `);
  return name;
}

/** `near_0`: how many columns count for each element of a lane's first four rows, all of a block, and on. */
export function nearOfElements({ leading }: LevelNames, { tuning }: StreamCode): string {
  const { rowQuads, threadRows, threadColumns } = tuning;
  return Array.from({ length: rowQuads }, (_, q) => {
    const pairs = [0, 1, 2, 3].map(
      (j) => `${leading}(${firstOfQuad(q, threadRows)}, ${plus('walk_start + lane_x', j * threadColumns)})`,
    );
    return `let near_${q} = vec4<i32>(${pairs.join(', ')});`;
  }).join('\n');
}

/** The places of the walk at which a quad of columns counts: for a lane's first four rows from `first_0` on, `blocks` of them. */
export function blocksOfRows(levels: Levels, e: number, w: StreamCode): string {
  const { rowQuads, threadRows, threadColumns } = w.tuning;
  const first = Array.from({ length: rowQuads }, (_, q) => {
    const row = `vec4<u32>(u32(${firstOfQuad(q, threadRows)}))`;
    return `let first_${q} = ${row} / blocks * blocks;`;
  });
  const column = e === 0 ? 'lane_x * 4' : `(${plus('lane_x', e * threadColumns)}) * 4`;
  return [`let blocks = ${blocksOfColumns(levels, column, w)};`, ...first].join('\n');
}

const firstOfQuad = (q: number, threadRows: number): string =>
  q === 0 ? 'row_start + lane_y * 4' : `row_start + (${plus('lane_y', q * threadRows)}) * 4`;
