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
import {
  batchNames,
  clamped,
  masks,
  overElements,
  places,
  readyOf,
  rowsOfLane,
  type StreamCode,
  scopeOf,
  sideFunction,
  sizesOf,
  storeText,
} from './code.ts';
import { asProduct, ownAxes, type TwoSided, touches } from './shape.ts';

export function tileStep(s: StreamStatement, w: StreamCode): string {
  const name = w.variables.get(s.tensor)!;
  const lines = [`var ${name} = array<vec4<f32>, ${rowsOfLane(w)}>();`];
  for (const given of s.equations) {
    const equation = readyOf(w, given);
    const parts = asProduct(equation, w.axes, w.tiles);
    if (parts !== undefined) lines.push(productStage(parts, name, w));
    else lines.push(elementStage(equation, name, w));
  }
  return lines.join('\n');
}

/** Like a tile's, and stored: nothing else of the kernel reads it. */
export function mapStep(s: StreamStatement, w: StreamCode): string {
  const { row, rowsWhole } = places(w);
  const exists = [...(rowsWhole ? [] : [`${row} < ${w.kernel.row.extent}`]), ...masks(w, s.equations[0], [])];
  const store = `${w.emitter.writes(s.tensor, storeText(s, s.equations[0], new Map(), w))} = ${w.variables.get(s.tensor)}[own_row][own_column];`;
  return [tileStep(s, w), overElements(w, guarded(exists, store))].join('\n');
}

/** A term computed element by element, whatever it is. */
function elementStage(equation: Equation, name: string, w: StreamCode): string {
  const own = ownAxes(equation, w.axes);
  const more = new Map(own.map((axis) => [axis, w.emitter.named(equation.axes[axis].name)]));
  const scope = scopeOf(w, equation, more);
  const guards = [...equation.domain].map((c) => constraintText(c, scope));
  const value = expressionText(equation.value, scope);
  const add = guarded(guards, `${name}[own_row][own_column] += ${value};`);
  const loops = own.reduceRight((text, axis) => {
    const index = more.get(axis)!;
    return `for (var ${index} = 0; ${index} < ${w.emitter.bound(equation.axes[axis].extent)}; ${index}++) {\n${indent(text)}\n}`;
  }, add);
  return overElements(w, loops);
}

/** A term from two slabs, which go through workgroup memory `depth` steps at a time. */
function productStage(p: TwoSided, name: string, w: StreamCode): string {
  const { kernel, tuning, emitter } = w;
  const { threadRows, threadColumns, rowQuads } = tuning;
  const { pitch, threads } = sizesOf(tuning);
  const { equation } = p;
  const steps = elementCount(p.own.map((axis) => equation.axes[axis].extent));
  const depth = Math.min(tuning.depth, steps);
  const left = operandFunction('left', p.left, p.onLeft, p, w.axes.row, w);
  const right = operandFunction('right', p.right, p.onRight, p, w.axes.walk, w);
  const slabRight = depth * pitch;
  const rowAt = (q: string, c: number): string =>
    clamped(plus(`row_start + ${q} * 4`, c), places(w).rowsWhole, kernel.row.extent);
  const columnAt = (q: string, c: number): string =>
    clamped(plus(`walk_start + ${q}`, c * threadColumns), places(w).columnsWhole, kernel.walk.extent);
  const isExact = steps % depth === 0;
  const stage = (
    quads: number,
    along: boolean,
    at: (k: string, q: string) => string,
    call: (q: string, k: string) => readonly string[],
  ): string => {
    const lines: string[] = [];
    for (let first = 0; first < quads * depth; first += threads) {
      const index = first === 0 ? 'i32(lane)' : `(i32(lane) + ${first})`;
      const k = along ? `${index} / ${quads}` : `${index} % ${depth}`;
      const q = along ? `${index} % ${quads}` : `${index} / ${depth}`;
      const value = `vec4<f32>(${call('quad', 'from_k + at_k').join(', ')})`;
      const put = `${at('at_k', 'quad')} = ${isExact ? value : 'staged'};`;
      const text = [`let at_k = ${k};`, `let quad = ${q};`];
      if (!isExact) text.push('var staged = vec4<f32>();', `if (from_k + at_k < ${steps}) { staged = ${value}; }`);
      text.push(put);
      const all =
        quads * depth - first < threads
          ? [`if (${index} < ${quads * depth}) {`, ...text.map((l) => `  ${l}`), '}']
          : ['{', ...text.map((l) => `  ${l}`), '}'];
      lines.push(all.join('\n'));
    }
    return lines.join('\n');
  };
  const four = [0, 1, 2, 3];
  const stageLeft = stage(
    rowQuads * threadRows,
    isContiguous(p.left, w.axes.row, p.own),
    (k, q) => `scratch[${k} * ${pitch} + ${q}]`,
    (q, k) => four.map((c) => `${left}(${[...batchNames(w), rowAt(q, c), k].join(', ')})`),
  );
  const stageRight = stage(
    threadColumns,
    isContiguous(p.right, w.axes.walk, p.own),
    (k, q) => `scratch[${slabRight} + ${k} * ${threadColumns} + ${q}]`,
    (q, k) => four.map((c) => `${right}(${[...batchNames(w), columnAt(q, c), k].join(', ')})`),
  );
  const multiply: string[] = [];
  for (let q = 0; q < rowQuads; q++) {
    multiply.push(`let left_${q} = scratch[at_k * ${pitch} + ${plus('lane_y', q * threadRows)}];`);
  }
  multiply.push(`let right = scratch[${slabRight} + at_k * ${threadColumns} + lane_x];`);
  const isPlain = p.onTile.length === 0 && p.scale.kind === 'constant';
  const target = isPlain && p.scale.kind === 'constant' && p.scale.value === 1 ? name : emitter.fresh('part');
  for (let i = 0; i < 4 * rowQuads; i++) multiply.push(`${target}[${i}] += left_${i >> 2}[${i % 4}] * right;`);
  const loop = wgsl`
    for (var from_k = 0; from_k < ${steps}; from_k += ${depth}) {
      workgroupBarrier();
      ${stageLeft}
      ${stageRight}
      workgroupBarrier();
      for (var at_k = 0; at_k < ${emitter.bound(depth)}; at_k++) {
        ${multiply.join('\n')}
      }
    }
  `;
  if (target === name) return loop;
  const begin = `var ${target} = array<vec4<f32>, ${rowsOfLane(w)}>();`;
  if (isPlain && p.scale.kind === 'constant') {
    const add = `for (var own_row = 0; own_row < ${emitter.bound(rowsOfLane(w))}; own_row++) { ${name}[own_row] += ${f32Literal(p.scale.value)} * ${target}[own_row]; }`;
    return `{\n${indent([begin, loop, add].join('\n'))}\n}`;
  }
  const scope = scopeOf(w, equation);
  const part = load(name, []);
  const scaled = expressionText(product([p.scale, part]), {
    ...scope,
    known: new Map([[part, `${target}[own_row][own_column]`]]),
  });
  const add = overElements(
    w,
    guarded(
      p.onTile.map((c) => constraintText(c, scope)),
      `${name}[own_row][own_column] += ${scaled};`,
    ),
  );
  const skip = touches(p.onTile, kernel, w.rowTile, w.columnTile);
  return `${skip.length === 0 ? '' : `if (${skip.join(' && ')}) `}{\n${indent([begin, loop, add].join('\n'))}\n}`;
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
