/**
 * Sums in f32 with short chains of additions. A sum that adds one value after another to one variable loses what is below
 * its last digit: of 2·10⁷ ones it counts 2²⁴. So no variable takes more than `longestChain` values in; a longer loop is cut
 * into blocks that each have a variable of their own, and long rows of blocks into blocks of blocks:
 *
 *   for t < 10⁸: y += x[t]   →   for block < 10⁸ by 256³: part; for the 256 blocks of 256² in it: part; …
 *
 * An error is then at most `longestChain` roundings for each level, relative to the sum of absolute values: 4 · 256 · 2⁻²⁴ for
 * 10⁸ values in the worst case, 10⁻⁶ as a rule. No compensated sums: WGSL lets a device simplify them away.
 *
 * A constant factor comes after the sum, so that the mean of ones is one.
 */
import { product } from '../../compiler/ir/expression.ts';
import type { Expression } from '../../compiler/ir/program.ts';
import type { Emitter } from '../wgsl/emitter.ts';
import { wgsl } from '../wgsl/text.ts';

export const longestChain = 256;

/** A loop of at most `turns` turns. */
export interface Loop {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly step: number;
  readonly turns: number;
}

export function loopText({ name, from, to, step }: Loop, body: string): string {
  return wgsl`
    for (var ${name} = ${from}; ${name} < ${to}; ${step === 1 ? `${name}++` : `${name} += ${step}`}) {
      ${body}
    }
  `;
}

/** How a loop is cut: turns of a block, the largest blocks first, and the values that the outermost variable takes in. */
export interface Cut {
  readonly blocks: readonly number[];
  readonly chain: number;
}

/** For a loop each of whose turns adds at most `each` values, of which two go into a chain. */
export function cutLoop(turns: number, each: number): Cut {
  if (turns * each <= longestChain) return { blocks: [], chain: turns * each };
  const longest = Math.floor(longestChain / each);
  // Of equal length where that comes out even: loops of a known number of turns are unrolled.
  const blocks = [Math.ceil(turns / Math.ceil(turns / longest))];
  let chain = Math.ceil(turns / blocks[0]);
  for (; chain > longestChain; chain = Math.ceil(chain / longestChain)) blocks.unshift(blocks[0] * longestChain);
  return { blocks, chain };
}

/** The loop, cut. `body` adds its values to the variable that it is given; all of them come to the variable `into`. */
export function blockedLoop(
  loop: Loop,
  [turns, ...inner]: readonly number[],
  into: string,
  body: (into: string) => string,
  emitter: Emitter,
): string {
  if (turns === undefined) return loopText(loop, body(into));
  const [block, part] = ['block', 'part'].map((word) => emitter.fresh(word));
  const step = turns * loop.step;
  const blocks = { name: block, from: loop.from, to: loop.to, step, turns: Math.ceil(loop.turns / turns) };
  const add = (inside: string) => wgsl`
    var ${part} = 0.0;
    ${inside}
    ${into} += ${part};
  `;
  if (isEven(loop, step)) {
    const turn = emitter.fresh('turn');
    const whole = { name: turn, from: '0', to: String(step), step: loop.step, turns };
    const inBlock = (variable: string) => wgsl`
      let ${loop.name} = ${block} + ${turn};
      ${body(variable)}
    `;
    return loopText(blocks, add(blockedLoop(whole, inner, part, inBlock, emitter)));
  }
  const end = emitter.fresh('block_end');
  const rest = { ...loop, from: block, to: end, turns };
  return loopText(
    blocks,
    wgsl`
      let ${end} = min(${block} + ${step}, ${loop.to});
      ${add(blockedLoop(rest, inner, part, body, emitter))}
    `,
  );
}

/**
 * Whether blocks of that many steps fill the loop. Then every block counts its turns from 0 to a number that is known, and a GPU's
 * compiler unrolls it; with any other bound a sum of 512 values took four times as long on an H100.
 */
function isEven({ from, to }: Loop, step: number): boolean {
  return from === '0' && /^\d+$/.test(to) && Number(to) % step === 0;
}

/** A value to sum, and the constant that the sum is multiplied by. A power of two rounds nothing and stays inside. */
export function withoutScale(value: Expression): { readonly value: Expression; readonly scale: number } {
  if (value.kind !== 'product') return { value, scale: 1 };
  const [first, ...others] = value.factors;
  if (first.kind !== 'constant' || Number.isInteger(Math.log2(Math.abs(first.value)))) return { value, scale: 1 };
  return { value: product(others), scale: first.value };
}
