/**
 * The reducers of an equation, sum, max, min and logsumexp, as code around a loop: by a thread alone, and by the lanes
 * of a row, who then tell each other. Sums of one order, so that they have the same bits every run.
 *
 * The trap: a reduction over nothing (its domain empty) is 0 whatever the reducer, so an empty max must be told from a
 * small one: by a flag, or by a start below every finite f32. The logsumexp is shifted by the largest value met so far.
 */
import type { Reducer } from '../compiler/ir/program.ts';
import type { Emitter } from './emitter.ts';
import type { NestBody } from './nest.ts';
import { f32Literal, wgsl } from './wgsl.ts';

/** A thread that takes in `value` at each point and adds the result to the variable `target`. */
export function threadReduction(reducer: Reducer, value: string, target: string, emitter: Emitter): NestBody {
  switch (reducer) {
    case 'sum':
      return { before: '', inner: `${target} += ${value};`, after: '' };
    case 'max':
    case 'min': {
      const [best, found, next] = [emitter.fresh('best'), emitter.fresh('found'), emitter.fresh('value')];
      const keep = `${reducer}(${best}, ${next})`;
      return {
        before: `var ${best} = 0.0;\nvar ${found} = false;`,
        inner: `let ${next} = ${value};\n${best} = select(${next}, ${keep}, ${found});\n${found} = true;`,
        after: `${target} += ${best};`,
      };
    }
    case 'logsumexp': {
      emitter.use('log_f32');
      const [peak, total, next] = [emitter.fresh('peak'), emitter.fresh('total'), emitter.fresh('value')];
      return {
        before: `var ${peak} = 0.0;\nvar ${total} = 0.0;`,
        inner: wgsl`
          let ${next} = ${value};
          if (${total} == 0.0) {
            ${total} = 1.0;
            ${peak} = ${next};
          } else if (${next} > ${peak}) {
            ${total} = ${total} * exp(${peak} - ${next}) + 1.0;
            ${peak} = ${next};
          } else {
            ${total} += exp(${next} - ${peak});
          }
        `,
        after: `if (${total} > 0.0) { ${target} += ${peak} + log_f32(${total}); }`,
      };
    }
    default:
      return reducer satisfies never;
  }
}

/** What lanes can do with each other's values. */
export type LaneOperator = 'sum' | 'max' | 'min';

/** WGSL of the reduction of a variable over the lanes of a row. */
export type AcrossLanes = (operator: LaneOperator, variable: string) => string;

/** Empty lanes of a max hold this: below any finite f32. */
const lowest = -3.4028234663852886e38;

/** Lanes that each take in `value` at their points; all of them then know `result`. Without `across` each is alone. */
export function laneReduction(
  reducer: Reducer,
  value: string,
  result: string,
  across: AcrossLanes | undefined,
  emitter: Emitter,
): NestBody {
  const combined: AcrossLanes = (operator, variable) => across?.(operator, variable) ?? variable;
  switch (reducer) {
    case 'sum': {
      const sum = emitter.fresh('sum');
      return {
        before: `var ${sum} = 0.0;`,
        inner: `${sum} += ${value};`,
        after: `let ${result} = ${combined('sum', sum)};`,
      };
    }
    case 'max':
    case 'min': {
      const best = emitter.fresh('best');
      const none = f32Literal(reducer === 'max' ? lowest : -lowest);
      const told = across ? `${best} = ${across(reducer, best)};\n` : '';
      return {
        before: `var ${best} = ${none};`,
        inner: `${best} = ${reducer}(${best}, ${value});`,
        after: `${told}let ${result} = select(${best}, 0.0, ${best} == ${none});`,
      };
    }
    case 'logsumexp': {
      emitter.use('log_f32');
      const [peak, total] = [emitter.fresh('peak'), emitter.fresh('total')];
      const [next, all] = [emitter.fresh('value'), emitter.fresh('row_peak')];
      const atAll = across ? `${total} *= select(0.0, exp(${peak} - ${all}), ${total} > 0.0);` : '';
      return {
        before: `var ${peak} = ${f32Literal(lowest)};\nvar ${total} = 0.0;`,
        inner: wgsl`
          let ${next} = ${value};
          if (${next} > ${peak}) {
            ${total} = select(${total} * exp(${peak} - ${next}), 0.0, ${total} == 0.0) + 1.0;
            ${peak} = ${next};
          } else {
            ${total} += exp(${next} - ${peak});
          }
        `,
        after: wgsl`
          let ${all} = ${combined('max', peak)};
          ${atAll}
          ${across ? `${total} = ${across('sum', total)};` : ''}
          let ${result} = select(0.0, ${all} + log_f32(${total}), ${total} > 0.0);
        `,
      };
    }
    default:
      return reducer satisfies never;
  }
}

const joined = (operator: LaneOperator, a: string, b: string): string =>
  operator === 'sum' ? `${a} + ${b}` : `${operator}(${a}, ${b})`;

/** `fn row_sum` and its kin by shuffles: the lanes of a row are within one subgroup. */
export function shuffleFunction(operator: LaneOperator, lanes: number): string {
  const steps: string[] = [];
  for (let width = lanes / 2; width >= 1; width /= 2)
    steps.push(`v = ${joined(operator, 'v', `subgroupShuffleXor(v, ${width}u)`)};`);
  return wgsl`
    fn row_${operator}(value: f32, unused: u32) -> f32 {
      var v = value;
      ${steps.join('\n')}
      return v;
    }
  `;
}

/** The same by way of workgroup memory, `partial`. */
export function partialFunction(operator: LaneOperator, lanes: number): string {
  return wgsl`
    fn row_${operator}(value: f32, lane: u32) -> f32 {
      partial[lane] = value;
      workgroupBarrier();
      for (var width = ${lanes / 2}u; width > 0u; width >>= 1u) {
        if (lane % ${lanes}u < width) { partial[lane] = ${joined(operator, 'partial[lane]', 'partial[lane + width]')}; }
        workgroupBarrier();
      }
      let total = partial[lane - lane % ${lanes}u];
      workgroupBarrier();
      return total;
    }
  `;
}
