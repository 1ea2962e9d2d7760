/**
 * What a stream knows of a row: its extreme and its totals so far, reduced over the lanes that share the row, and tensors made from
 * those. Where one moves with an extreme, what was summed up to it is rescaled:
 *
 *   l[t] = l[t]·exp(m_before - m) + Σ_u exp(S[t, u] - m)
 */
import { load, negate, sum, unary } from '../../../compiler/ir/expression.ts';
import type { StreamStatement } from '../../kernel.ts';
import { expressionText } from '../../parts/scalar.ts';
import { f32Literal, guarded, wgsl } from '../../wgsl/text.ts';
import { elementOf, masks, overElements, overRows, readyOf, type StreamCode, scopeOf } from './code.ts';
import { sumQuads } from './columns.ts';
import { leaveOut, takeElements, tileLeaves } from './matrix-masks.ts';

export const isFollowed = (s: StreamStatement, { kernel }: StreamCode): boolean =>
  kernel.statements.some(({ follows }) => follows.includes(s.tensor));

/** What the lanes that share rows have of one each, reduced: four rows at once, or the one of a lane whose tiles come out of matrices. */
export function reduceRows(name: string, operator: 'sum' | 'max' | 'min', w: StreamCode): string {
  const call = rowFunction(operator, w);
  if (w.tuning.matrices) return `${name}[0][0] = ${call}(${name}[0][0], lane);`;
  return overQuads(w, (q) => `${name}[${q}] = ${call}(${name}[${q}], lane);`);
}

/** After the walk: 0 for rows that had nothing an extreme could be of. */
export function noneWhereEmpty(name: string, w: StreamCode): string {
  const call = rowFunction('max', w);
  if (w.tuning.matrices) return `${name}[0][0] = select(0.0, ${name}[0][0], ${call}(${name}_found[0][0], lane) > 0.0);`;
  return overQuads(
    w,
    (q) => `${name}[${q}] = select(vec4<f32>(), ${name}[${q}], ${call}(${name}_found[${q}], lane) > vec4<f32>());`,
  );
}

/** `fn row_max(values, lane)`: that reduction. */
function rowFunction(operator: 'sum' | 'max' | 'min', w: StreamCode): string {
  const known = w.shared.get(operator);
  if (known !== undefined) return known;
  const name = w.emitter.global(`row_${operator}`);
  w.shared.set(operator, name);
  const X = w.tuning.threadColumns;
  const step = w.lanes === 'rows' ? 1 : 2;
  if (operator !== 'sum') w.emitter.use(`${operator}_f32`);
  const type = w.tuning.matrices ? 'f32' : 'vec4<f32>';
  const other = w.tuning.matrices ? 'other_half' : 'other';
  const joined = (a: string, b: string): string =>
    operator === 'sum'
      ? `${a} + ${b}`
      : w.tuning.matrices
        ? `${operator}_f32(${a}, ${b})`
        : `vec4<f32>(${['x', 'y', 'z', 'w'].map((c) => `${operator}_f32(${a}.${c}, ${b}.${c})`).join(', ')})`;
  const lines: string[] = [];
  if (w.shuffles) {
    for (let width = X / 2; width >= 1; width /= 2) {
      lines.push('{', `  let ${other} = subgroupShuffleXor(v, ${width * step}u);`, `  v = ${joined('v', other)};`, '}');
    }
  } else {
    lines.push(
      'workgroupBarrier();',
      'scratch[lane] = v;',
      'workgroupBarrier();',
      `let first = lane - lane % ${X}u;`,
      'v = scratch[first];',
      `for (var other = 1u; other < ${X}u; other++) {`,
      '  let next = scratch[first + other];',
      `  v = ${joined('v', 'next')};`,
      '}',
      'workgroupBarrier();',
    );
  }
  w.functions.push(wgsl`
    fn ${name}(values: ${type}, lane: u32) -> ${type} {
      var v = values;
      ${lines.join('\n')}
      return v;
    }
  `);
  return name;
}

function overQuads(w: StreamCode, body: (q: number) => string): string {
  return Array.from({ length: w.tuning.rowQuads }, (_, q) => body(q)).join('\n');
}

export function extremeStep(s: StreamStatement, w: StreamCode): string {
  const equation = readyOf(w, s.equations[0]);
  const name = w.variables.get(s.tensor)!;
  const operator = equation.reducer === 'min' ? 'min' : 'max';
  const scope = scopeOf(w, equation);
  w.emitter.use(`${operator}_f32`);
  const value = expressionText(equation.value, scope);
  const conditions = masks(w, equation, equation.domain);
  const own = `${name}[own_row / 4][own_row % 4]`;
  const found = `${name}_found[own_row / 4][own_row % 4]`;
  const take = (each: string): string => `${own} = ${operator}_f32(${own}, ${each});`;
  const reduced = reduceRows(name, operator, w);
  if (!w.tuning.matrices) {
    const step = guarded(conditions, [take(value), `${found} = 1.0;`].join('\n'));
    return [overElements(w, step), reduced].join('\n');
  }
  // All eight elements at once: what a comparison of two does for NaN is dearer than the comparison.
  w.emitter.use(`${operator}_octet_f32`);
  const each = w.emitter.fresh('each');
  const none = operator === 'max' ? '-infinity_f32()' : 'infinity_f32()';
  const some = w.emitter.fresh('some');
  const also = (counts: string): readonly string[] => [`${some} = select(${some}, 1.0, ${counts});`];
  return [
    `var ${each} = array<vec4<f32>, 2>();`,
    `var ${some} = select(1.0, 0.0, ${tileLeaves(equation, equation.domain, w)});`,
    overElements(w, `${elementOf(each, w)} = ${value};`),
    leaveOut(each, none, equation, equation.domain, w, also),
    overRows(
      w,
      [take(`${operator}_octet_f32(${each}[0], ${each}[1])`), `${found} = max(${found}, ${some});`].join('\n'),
    ),
    reduced,
  ].join('\n');
}

/** WGSL of the factor by which what follows a shift is rescaled when it moves: no more than the largest f32, for 0 may be multiplied with it. */
export function factorBetween(s: StreamStatement, from: string, to: string, w: StreamCode): string {
  const [before, after] = [load(s.tensor, []), load(s.tensor, [])];
  const known = new Map([
    [before, from],
    [after, to],
  ]);
  const scope = scopeOf(w, readyOf(w, s.equations[0]));
  return `min(${expressionText(unary('exp', sum([before, negate(after)])), { ...scope, known })}, ${largest})`;
}

/** The largest finite f32. */
const largest = f32Literal(Number.MAX_VALUE);

/**
 * A row tensor that moves with an extreme: what follows it is rescaled. The trap: before anything is summed up it is where it begins, at 0,
 * and from there to scores of -89 and less the factor would be infinite, and 0 times that nothing.
 */
export function followedStep(s: StreamStatement, w: StreamCode): string {
  const equation = readyOf(w, s.equations[0]);
  const name = w.variables.get(s.tensor)!;
  const scope = scopeOf(w, equation);
  const [before, after] = [load(s.tensor, []), load(s.tensor, [])];
  const known = new Map([
    [before, `${name}[own_row / 4][own_row % 4]`],
    [after, 'moved'],
  ]);
  const factor = expressionText(unary('exp', sum([before, negate(after)])), { ...scope, known });
  const scaled = w.kernel.statements
    .filter(({ follows }) => follows.includes(s.tensor))
    .map((follower) => {
      const variable = w.variables.get(follower.tensor)!;
      if (follower.kind === 'total') return `${variable}[own_row / 4][own_row % 4] *= scale;`;
      const quads = sumQuads(follower, w);
      if (quads === 1) return `${variable}[own_row] *= scale;`;
      return `for (var quad = 0; quad < ${w.emitter.bound(quads)}; quad++) { ${variable}[own_row * ${quads} + quad] *= scale; }`;
    });
  return overRows(
    w,
    wgsl`
    let moved = ${expressionText(equation.value, scope)};
    let factor = ${factor};
    let scale = select(factor, ${largest}, factor > ${largest});
    ${scaled.join('\n')}
    ${name}[own_row / 4][own_row % 4] = moved;
  `,
  );
}

export function totalStep(s: StreamStatement, w: StreamCode): string {
  const name = w.variables.get(s.tensor)!;
  return s.equations
    .map((given) => {
      const equation = readyOf(w, given);
      const add = (each: string): string => `${name}[own_row / 4][own_row % 4] += ${each};`;
      if (w.tuning.matrices) {
        const { text, name: taken } = takeElements(equation, equation.value, equation.domain, w);
        return [text, overElements(w, add(elementOf(taken, w)))].join('\n');
      }
      const value = expressionText(equation.value, scopeOf(w, equation));
      return overElements(w, guarded(masks(w, equation, equation.domain), add(value)));
    })
    .join('\n');
}
