/**
 * The tiles of a stream: a term from two slabs, as a contraction makes one, or element by element, whatever it is.
 *
 *   S[t, u] += Σ_r q[t, r]·k[u, r]      rows and columns of a tile go through workgroup memory `depth` steps of r at a time
 */
import { leastStep } from '../../../compiler/ir/affine.ts';
import { load, loads, product } from '../../../compiler/ir/expression.ts';
import type { Constraint, Equation, Expression } from '../../../compiler/ir/program.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { StreamStatement } from '../../kernel.ts';
import { constraintText } from '../../parts/address.ts';
import { coordinate } from '../../parts/linear.ts';
import { expressionText } from '../../parts/scalar.ts';
import type { Scope } from '../../parts/scope.ts';
import { f32Literal, guarded, indent, plus, wgsl } from '../../wgsl/text.ts';
import { type Ahead, aheadVariables, type Stage } from './ahead.ts';
import {
  batchNames,
  clamped,
  elementOf,
  type LevelNames,
  loopOver,
  masks,
  overElements,
  overLanes,
  places,
  quadOfLane,
  quadsOfLane,
  readyOf,
  type StreamCode,
  scopeOf,
  sideFunction,
  sizesOf,
  storeText,
} from './code.ts';
import { type Levels, levelNames, nearOfElements, scaleOfColumn, splitLevels } from './levels.ts';
import { leaveOut } from './matrix-masks.ts';
import { asProduct, ownAxes, type TwoSided, touches } from './shape.ts';

export function tileStep(s: StreamStatement, w: StreamCode): readonly Stage[] {
  const name = w.variables.get(s.tensor)!;
  const stages: Stage[] = [{ text: `var ${name} = array<vec4<f32>, ${quadsOfLane(w)}>();` }];
  const ready = s.equations.map((equation) => readyOf(w, equation));
  const { levels, others } = levelsOfTile(ready, w);
  if (levels !== undefined) stages.push(productStage(levels.parts, name, w, levels));
  for (const equation of others) {
    const parts = asProduct(equation, w.axes, w.tiles);
    if (parts !== undefined) stages.push(productStage(parts, name, w));
    else stages.push({ text: elementStage(equation, name, equation === ready[0], w) });
  }
  return stages;
}

/** The levels that the first terms are, if they are products. */
function levelsOfTile(equations: readonly Equation[], w: StreamCode) {
  const { levels, others } = splitLevels(equations, w.axes);
  const parts = levels && asProduct(levels.equation, w.axes, w.tiles);
  return parts === undefined ? { levels: undefined, others: equations } : { levels: { ...levels!, parts }, others };
}

/** Like a tile's, and stored: nothing else of the kernel reads it. */
export function mapStep(s: StreamStatement, w: StreamCode): readonly Stage[] {
  const { row, rowsWhole } = places(w);
  const exists = [...(rowsWhole ? [] : [`${row} < ${w.kernel.row.extent}`]), ...masks(w, s.equations[0], [])];
  const store = `${w.emitter.writes(s.tensor, storeText(s, s.equations[0], new Map(), w))} = ${elementOf(w.variables.get(s.tensor)!, w)};`;
  return [...tileStep(s, w), { text: overElements(w, guarded(exists, store)) }];
}

/** A term computed element by element, whatever it is; nothing is added up where it is the tile's first and has every element. */
function elementStage(equation: Equation, name: string, isFirst: boolean, w: StreamCode): string {
  const own = ownAxes(equation, w.axes);
  const more = new Map(own.map((axis) => [axis, w.emitter.named(equation.axes[axis].name)]));
  const scope = scopeOf(w, equation, more);
  const guards = [...equation.domain].map((c) => constraintText(c, scope));
  const value = expressionText(equation.value, scope);
  const assign = isFirst && own.length === 0 && guards.length === 0 ? '=' : '+=';
  const add = guarded(guards, `${elementOf(name, w)} ${assign} ${value};`);
  const loops = own.reduceRight((text, axis) => loopOver(more.get(axis)!, equation.axes[axis].extent, text, w), add);
  return overElements(w, loops);
}

/** A term from two slabs, which go through workgroup memory `depth` steps at a time. Of levels the leading steps count. */
function productStage(p: TwoSided, name: string, w: StreamCode, levels?: Levels): Stage {
  const term = slabsOf(p, w, levels);
  return { text: addProducts(p, term, name, w), ...(term.ahead && { ahead: aheadOf(term, term.ahead, w) }) };
}

function addProducts(p: TwoSided, term: Slabs, name: string, w: StreamCode): string {
  const { kernel, emitter } = w;
  if (constantScale(p) === 1) return slabLoop(term, name, w);
  const part = emitter.fresh('part');
  const lines = [
    `var ${part} = array<vec4<f32>, ${quadsOfLane(w)}>();`,
    slabLoop(term, part, w),
    addPart(p, part, name, w),
  ];
  const skip = touches(p.onTile, kernel, w.rowTile, w.columnTile);
  return `${skip.length === 0 ? '' : `if (${skip.join(' && ')}) `}{\n${indent(lines.join('\n'))}\n}`;
}

/** What a term's sums are multiplied with, where it is a constant and every element has it. */
const constantScale = ({ onTile, scale }: TwoSided): number | undefined =>
  onTile.length === 0 && scale.kind === 'constant' ? scale.value : undefined;

/** Adds what a part of the term came to. */
export function addPart(p: TwoSided, part: string, name: string, w: StreamCode): string {
  const factor = constantScale(p);
  return factor === undefined ? addElements(p, part, name, w) : addRows(factor, part, name, w);
}

/** Adds what a part of the term came to, times a constant. */
function addRows(factor: number, part: string, name: string, w: StreamCode): string {
  const rows = w.emitter.bound(quadsOfLane(w));
  const own = quadOfLane(w);
  const value = factor === 1 ? `${part}[${own}]` : `${f32Literal(factor)} * ${part}[${own}]`;
  return `for (var ${own} = 0; ${own} < ${rows}; ${own}++) { ${name}[${own}] += ${value}; }`;
}

/** The same times a scale of row and walk, where the domain has the element. */
function addElements(p: TwoSided, part: string, name: string, w: StreamCode): string {
  const scope = scopeOf(w, p.equation);
  const summed = load(name, []);
  const known = new Map([[summed, elementOf(part, w)]]);
  const scaled = expressionText(product([p.scale, summed]), { ...scope, known });
  if (!w.tuning.matrices) {
    const guards = p.onTile.map((c) => constraintText(c, scope));
    return overElements(w, guarded(guards, `${elementOf(name, w)} += ${scaled};`));
  }
  return [
    overElements(w, `${elementOf(part, w)} = ${scaled};`),
    leaveOut(part, '0.0', p.equation, p.onTile, w),
    addRows(1, part, name, w),
  ].join('\n');
}

/** One of a term's slabs in workgroup memory: quads of rows, or of columns of the walk, for each of `depth` steps. */
interface Slab {
  readonly quads: number;
  /** Whether neighbouring lanes read neighbouring quads; else neighbouring steps. */
  readonly alongQuads: boolean;
  /** WGSL of its quad `quad` at step `at_k`. */
  readonly place: string;
  /** WGSL of element c of that quad, of the slab that begins at step `from` and the tile of the walk that begins at `walk`. */
  readonly element: (c: number, from: string, walk: string) => string;
  /** What a quad is multiplied with as it is staged, at step `from_k + at_k`: not before, lest what is read ahead is waited for. */
  readonly factors: readonly string[];
}

/** Both slabs, the steps of the contraction, and how many are staged at once. */
interface Slabs {
  readonly left: Slab;
  readonly right: Slab;
  readonly steps: number;
  readonly depth: number;
  readonly levels: LevelNames | undefined;
  /** Variables that hold what is staged next of either slab, where it is read ahead. */
  readonly ahead: Sides | undefined;
}

interface Sides {
  readonly left: readonly string[];
  readonly right: readonly string[];
}

function slabsOf(p: TwoSided, w: StreamCode, levels: Levels | undefined): Slabs {
  const { kernel, tuning, axes } = w;
  const { threadRows, threadColumns, rowQuads } = tuning;
  const { pitch, columnPitch } = sizesOf(tuning);
  const { rowsWhole, columnsWhole } = places(w);
  const steps = elementCount(p.own.map((axis) => p.equation.axes[axis].extent));
  const depth = Math.min(tuning.depth, steps);
  const left = operandFunction('left', p.left, p.onLeft, p, axes.row, w);
  const right = operandFunction('right', p.right, p.onRight, p, axes.walk, w);
  const call = (name: string, at: string, from: string): string =>
    `${name}(${[...batchNames(w), at, stepOf(from)].join(', ')})`;
  const ahead = (quads: number): readonly string[] => aheadVariables(quads * depth, w);
  return {
    left: {
      quads: rowQuads * threadRows,
      alongQuads: isContiguous(p.left, axes.row, p.own),
      place: `scratch[at_k * ${pitch} + quad]`,
      element: (c, from) => call(left, clamped(plus('row_start + quad * 4', c), rowsWhole, kernel.row.extent), from),
      factors: levels === undefined ? [] : scaleOfColumn(levels, 'from_k + at_k', w),
    },
    right: {
      quads: threadColumns,
      alongQuads: isContiguous(p.right, axes.walk, p.own),
      place: `scratch[${depth * pitch} + at_k * ${columnPitch} + quad]`,
      element: (c, from, walk) =>
        call(right, clamped(plus(`${walk} + quad`, c * threadColumns), columnsWhole, kernel.walk.extent), from),
      factors: [],
    },
    steps,
    depth,
    levels: levels && levelNames(levels, w),
    ahead: tuning.ahead ? { left: ahead(rowQuads * threadRows), right: ahead(threadColumns) } : undefined,
  };
}

/** The step of a place in the slab that begins at `from`. */
const stepOf = (from: string): string => (from === '0' ? 'at_k' : `${from} + at_k`);

/** Adds the products of both slabs to the variable `into`. */
function slabLoop(term: Slabs, into: string, w: StreamCode): string {
  const { steps, depth, levels, ahead } = term;
  const end = levels?.most ?? steps;
  const next = `from_k + ${depth}`;
  const read = ahead === undefined ? '' : guarded([`${next} < ${end}`], readSlabs(term, ahead, next, 'walk_start', w));
  return wgsl`
    for (var from_k = 0; from_k < ${end}; from_k += ${depth}) {
      workgroupBarrier();
      ${stageSlab(term.left, term, ahead?.left, w)}
      ${stageSlab(term.right, term, ahead?.right, w)}
      workgroupBarrier();
      ${steps > depth ? read : ''}
      ${levels === undefined ? slabProducts(depth, into, false, w) : levelProducts(levels, depth, into, w)}
    }
  `;
}

const aheadOf = (term: Slabs, sides: Sides, w: StreamCode): Ahead => ({
  variables: [...sides.left, ...sides.right],
  first: (walk) => readSlabs(term, sides, '0', walk, w),
});

/** Reads both slabs from step `from` on. */
function readSlabs(term: Slabs, sides: Sides, from: string, walk: string, w: StreamCode): string {
  const read = (slab: Slab, variables: readonly string[]): string =>
    overLanes(w, slab.quads * term.depth, (index, turn) => [
      ...placeInSlab(slab, term, index),
      guarded(
        term.steps % term.depth === 0 ? [] : [`${stepOf(from)} < ${term.steps}`],
        `${variables[turn]} = ${quadOf(slab, from, walk)};`,
      ),
    ]);
  return [read(term.left, sides.left), read(term.right, sides.right)].join('\n');
}

const quadOf = ({ element }: Slab, from: string, walk: string): string =>
  `vec4<f32>(${[0, 1, 2, 3].map((c) => element(c, from, walk)).join(', ')})`;

const slabProducts = (depth: number, into: string, near: boolean, w: StreamCode): string =>
  loopOver('at_k', depth, multiplySlabs(depth, into, near, w), w);

/** The same of levels: where not all steps of the slabs count for all elements of the tile, each element is asked for its own. */
function levelProducts(levels: LevelNames, depth: number, into: string, w: StreamCode): string {
  return wgsl`
    if (${levels.least} < min(from_k + ${depth}, ${levels.most})) {
      ${nearOfElements(levels, w)}
      ${slabProducts(depth, into, true, w)}
    } else {
      ${slabProducts(depth, into, false, w)}
    }
  `;
}

/** A lane's quads of a slab to workgroup memory: those that were read `ahead`, else from where they lie. */
function stageSlab(slab: Slab, term: Slabs, ahead: readonly string[] | undefined, w: StreamCode): string {
  const { steps, depth, levels } = term;
  const counts = `from_k + at_k < ${levels?.most ?? steps}`;
  const put = (quad: string): string => `${slab.place} = ${[...slab.factors, quad].join(' * ')};`;
  const value = quadOf(slab, 'from_k', 'walk_start');
  const isInside = ahead !== undefined || steps % depth === 0;
  return overLanes(w, slab.quads * depth, (index, turn) => {
    const place = placeInSlab(slab, term, index);
    const quad = ahead?.[turn] ?? value;
    if (levels === undefined && steps % depth === 0) return [...place, put(quad)];
    if (isInside) return [...place, put(`select(vec4<f32>(), ${quad}, ${counts})`)];
    return [...place, 'var staged = vec4<f32>();', `if (${counts}) { staged = ${quad}; }`, put('staged')];
  });
}

/** Which quad, of which step, the piece of work `index` is. */
function placeInSlab({ quads, alongQuads }: Slab, { depth }: Slabs, index: string): readonly string[] {
  return [
    `let at_k = ${alongQuads ? `${index} / ${quads}` : `${index} % ${depth}`};`,
    `let quad = ${alongQuads ? `${index} % ${quads}` : `${index} / ${depth}`};`,
  ];
}

/** One step: a lane's quads of rows times its quad of columns; `near`: those of its elements for which the step counts. */
function multiplySlabs(depth: number, into: string, near: boolean, { tuning }: StreamCode): string {
  const { threadRows, rowQuads } = tuning;
  const { pitch, columnPitch } = sizesOf(tuning);
  const lines: string[] = [];
  for (let q = 0; q < rowQuads; q++)
    lines.push(`let left_${q} = scratch[at_k * ${pitch} + ${plus('lane_y', q * threadRows)}];`);
  lines.push(`let right = scratch[${depth * pitch} + at_k * ${columnPitch} + lane_x];`);
  for (let q = 0; near && q < rowQuads; q++)
    lines.push(`let right_${q} = select(vec4<f32>(), right, vec4<i32>(from_k + at_k) < near_${q});`);
  for (let i = 0; i < 4 * rowQuads; i++)
    lines.push(`${into}[${i}] += left_${i >> 2}[${i % 4}] * right${near ? `_${i >> 2}` : ''};`);
  return lines.join('\n');
}

/** `fn left_S(b, h, t, k)`: one element of a side, 0 outside its domain. */
function operandFunction(
  side: string,
  value: Expression,
  constraints: readonly Constraint[],
  { equation, own }: TwoSided,
  position: number,
  w: StreamCode,
): string {
  const { emitter } = w;
  const name = emitter.global(`${side}_of_tile`);
  const k = emitter.fresh('at');
  const place = emitter.fresh(position === w.axes.row ? 'row' : 'column');
  const more = new Map<number, string>([[position, place]]);
  const lines: string[] = [];
  const extents = own.map((axis) => equation.axes[axis].extent);
  own.forEach((axis, d) => {
    if (own.length === 1) more.set(axis, k);
    else {
      const index = emitter.named(equation.axes[axis].name);
      lines.push(`let ${index} = ${coordinate(k, extents, d)};`);
      more.set(axis, index);
    }
  });
  const scope: Scope = { ...scopeOf(w, equation, more), unguarded: true };
  const conditions = constraints.map((c) => constraintText(c, scope));
  sideFunction(name, [place, k], lines, conditions, expressionText(value, scope), w);
  return name;
}

/** Whether memory is contiguous along a position rather than along the equation's own axes. */
function isContiguous(operand: Expression, position: number, own: readonly number[]): boolean {
  const flat = loads(operand).find((l) => l.indices.length > 0)?.indices[0];
  if (flat?.kind !== 'affine') return true;
  return leastStep(flat, [position]) <= leastStep(flat, own);
}
