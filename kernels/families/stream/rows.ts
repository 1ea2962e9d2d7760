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
import { masks, overElements, overRows, readyOf, type StreamCode, scopeOf } from './code.ts';
import { sumQuads } from './columns.ts';

export const isFollowed = (s: StreamStatement, { kernel }: StreamCode): boolean =>
  kernel.statements.some(({ follows }) => follows.includes(s.tensor));

/** `fn row_max(values, lane)`: a reduction over the lanes that share rows, four rows at once. */
export function rowFunction(operator: 'sum' | 'max' | 'min', w: StreamCode): string {
  const known = w.shared.get(operator);
  if (known !== undefined) return known;
  const name = w.emitter.global(`row_${operator}`);
  w.shared.set(operator, name);
  const X = w.tuning.threadColumns;
  const step = w.lanes === 'rows' ? 1 : 2;
  if (operator !== 'sum') w.emitter.use(`${operator}_f32`);
  const joined = (a: string, b: string): string =>
    operator === 'sum'
      ? `${a} + ${b}`
      : `vec4<f32>(${['x', 'y', 'z', 'w'].map((c) => `${operator}_f32(${a}.${c}, ${b}.${c})`).join(', ')})`;
  const lines: string[] = [];
  if (w.shuffles) {
    for (let width = X / 2; width >= 1; width /= 2) {
      lines.push('{', `  let other = subgroupShuffleXor(v, ${width * step}u);`, `  v = ${joined('v', 'other')};`, '}');
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
    fn ${name}(values: vec4<f32>, lane: u32) -> vec4<f32> {
      var v = values;
      ${lines.join('\n')}
      return v;
    }
  `);
  return name;
}

export function overQuads(w: StreamCode, body: (q: number) => string): string {
  return Array.from({ length: w.tuning.rowQuads }, (_, q) => body(q)).join('\n');
}

export function extremeStep(s: StreamStatement, w: StreamCode): string {
  const equation = readyOf(w, s.equations[0]);
  const name = w.variables.get(s.tensor)!;
  const operator = equation.reducer === 'min' ? 'min' : 'max';
  const scope = scopeOf(w, equation);
  w.emitter.use(`${operator}_f32`);
  const take = [
    `${name}[own_row / 4][own_row % 4] = ${operator}_f32(${name}[own_row / 4][own_row % 4], ${expressionText(equation.value, scope)});`,
    `${name}_found[own_row / 4][own_row % 4] = 1.0;`,
  ].join('\n');
  const call = rowFunction(operator, w);
  return [
    overElements(w, guarded(masks(w, equation, equation.domain), take)),
    overQuads(w, (q) => `${name}[${q}] = ${call}(${name}[${q}], lane);`),
  ].join('\n');
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
      const text = `${name}[own_row / 4][own_row % 4] += ${expressionText(equation.value, scopeOf(w, equation))};`;
      return overElements(w, guarded(masks(w, equation, equation.domain), text));
    })
    .join('\n');
}
