/**
 * The reducers of an equation, sum, product, max and min, as code around a loop: by a thread alone, and by the lanes of a row, who
 * then tell each other. Sums of one order, so that they have the same bits every run. A NaN among the values is the result.
 *
 * The trap: a reduction over nothing (its domain empty) is 0 whatever the reducer, and a row of nothing but -∞ is -∞. So what
 * is present is counted by a flag, never read off a value.
 */
import type { Reducer } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { wgsl } from '../wgsl/text.ts';
import type { NestBody } from './nest.ts';

/** A thread that takes in `value` at each point and adds the result to the variable `target`; sums are `sumText` of the nest. */
export function threadReduction(
  reducer: Exclude<Reducer, 'sum'>,
  value: string,
  target: string,
  emitter: Emitter,
): NestBody {
  switch (reducer) {
    case 'product': {
      const [total, found] = [emitter.fresh('total'), emitter.fresh('found')];
      return {
        before: `var ${total} = 1.0;\nvar ${found} = false;`,
        inner: `${total} *= ${value};\n${found} = true;`,
        after: `${target} += select(0.0, ${total}, ${found});`,
      };
    }
    case 'max':
    case 'min': {
      const [best, found, next] = [emitter.fresh('best'), emitter.fresh('found'), emitter.fresh('value')];
      emitter.use(`${reducer}_f32`);
      const keep = `${reducer}_f32(${best}, ${next})`;
      return {
        before: `var ${best} = 0.0;\nvar ${found} = false;`,
        inner: `let ${next} = ${value};\n${best} = select(${next}, ${keep}, ${found});\n${found} = true;`,
        after: `${target} += ${best};`,
      };
    }
    case 'logsumexp':
      return isSplit();
    default:
      return reducer satisfies never;
  }
}

function isSplit(): never {
  throw new Error('a logsumexp comes to kernels as a max and a sum (compiler/passes/for-kernels/log-sum-exp.ts)');
}

/** What lanes can do with each other's values. */
export type LaneOperator = 'sum' | 'product' | 'max' | 'min';

/** WGSL of the reduction of a variable over the lanes of a row. */
export type AcrossLanes = (operator: LaneOperator, variable: string) => string;

/** What a lane takes in at a point of a row, and who shares the row. */
export interface LaneValue {
  readonly value: string;
  /** Without it a lane is alone. */
  readonly across: AcrossLanes | undefined;
  /** Whether the row may have no point: its domain says so. */
  readonly mayBeEmpty: boolean;
}

/** Lanes that each take in a value at their points; all of them then know `result`. Sums are in `row.ts`. */
export function laneReduction(
  reducer: Exclude<Reducer, 'sum'>,
  { value, across, mayBeEmpty }: LaneValue,
  result: string,
  emitter: Emitter,
): NestBody {
  const combined: AcrossLanes = (operator, variable) => across?.(operator, variable) ?? variable;
  switch (reducer) {
    case 'product': {
      const [total, found] = [emitter.fresh('total'), emitter.fresh('found')];
      const after = `let ${result} = ${mayBeEmpty ? `select(0.0, ${combined('product', total)}, ${combined('max', found)} > 0.0)` : combined('product', total)};`;
      if (mayBeEmpty) emitter.use('max_f32');
      return {
        before: mayBeEmpty ? `var ${total} = 1.0;\nvar ${found} = 0.0;` : `var ${total} = 1.0;`,
        inner: mayBeEmpty ? `${total} *= ${value};\n${found} = 1.0;` : `${total} *= ${value};`,
        after,
      };
    }
    case 'max':
    case 'min': {
      for (const name of ['infinity_f32', `${reducer}_f32`]) emitter.use(name);
      const best = emitter.fresh('best');
      const none = reducer === 'max' ? '-infinity_f32()' : 'infinity_f32()';
      const keep = `${best} = ${reducer}_f32(${best}, ${value});`;
      if (!mayBeEmpty)
        return { before: `var ${best} = ${none};`, inner: keep, after: `let ${result} = ${combined(reducer, best)};` };
      const found = emitter.fresh('found');
      return {
        before: `var ${best} = ${none};\nvar ${found} = 0.0;`,
        inner: `${keep}\n${found} = 1.0;`,
        after: wgsl`
          ${best} = ${combined(reducer, best)};
          let ${result} = select(0.0, ${best}, ${combined('max', found)} > 0.0);
        `,
      };
    }
    case 'logsumexp':
      return isSplit();
    default:
      return reducer satisfies never;
  }
}

/** WGSL of two values taken together. */
export function joined(operator: LaneOperator, a: string, b: string): string {
  switch (operator) {
    case 'sum':
      return `${a} + ${b}`;
    case 'product':
      return `${a} * ${b}`;
    case 'max':
    case 'min':
      return `${operator}_f32(${a}, ${b})`;
    default:
      return operator satisfies never;
  }
}

/** `fn row_sum` and its kin by shuffles: the lanes of a row are within one subgroup. */
export function shuffleFunction(operator: LaneOperator, name: string, lanes: number): string {
  const steps: string[] = [];
  for (let width = lanes / 2; width >= 1; width /= 2)
    steps.push(`v = ${joined(operator, 'v', `subgroupShuffleXor(v, ${width}u)`)};`);
  return wgsl`
    fn ${name}(value: f32) -> f32 {
      var v = value;
      ${steps.join('\n')}
      return v;
    }
  `;
}

/** Over `count` quads of workgroup memory from `first` on, element by element. */
export function gatherFunction(operator: LaneOperator, name: string, count: number): string {
  const next = 'scratch[first + i]';
  const fields = [...'xyzw'].map((field) => joined(operator, `v.${field}`, `next.${field}`));
  return wgsl`
    fn ${name}(first: i32) -> vec4<f32> {
      var v = scratch[first];
      for (var i = 1; i < ${count}; i++) {
        ${operator === 'sum' ? `v += ${next};` : `let next = ${next};\nv = vec4<f32>(${fields.join(', ')});`}
      }
      return v;
    }
  `;
}

/** The same by way of workgroup memory, an element a lane. */
export function partialFunction(operator: LaneOperator, name: string, lanes: number): string {
  return wgsl`
    fn ${name}(value: f32, lane: u32) -> f32 {
      scratch[lane].x = value;
      workgroupBarrier();
      for (var width = ${lanes / 2}u; width > 0u; width >>= 1u) {
        if (lane % ${lanes}u < width) { scratch[lane].x = ${joined(operator, 'scratch[lane].x', 'scratch[lane + width].x')}; }
        workgroupBarrier();
      }
      let total = scratch[lane - lane % ${lanes}u].x;
      workgroupBarrier();
      return total;
    }
  `;
}
