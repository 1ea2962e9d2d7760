/**
 * Sums that take the same of a tile, up to a number, as one sum of all their columns: the tile is exchanged once, and where each has fewer
 * columns than there are lanes, two share them.
 *
 *   p[u, r] = 2 Σ_t dS[t, u]·q[t, r]          (p o)[u, c] = Σ_t dS[t, u]·(q k)[t, c]     columns of p, then those of o;
 *   o[u, s] = 3 Σ_t dS[t, u]·k[t, s]          2 and 3 are for the finished sums
 */
import { product } from '../../../compiler/ir/expression.ts';
import type { StreamStatement } from '../../kernel.ts';
import { readyOf, type StreamCode } from './code.ts';
import { asSum, columnsOf, type TwoSided, takenKey } from './shape.ts';

export interface Member {
  readonly sum: StreamStatement;
  /** Without the number. */
  readonly parts: TwoSided;
  readonly factor: number;
  /** Its first quad of columns, and how many it has. */
  readonly firstQuad: number;
  readonly quads: number;
}

export interface Joint {
  readonly members: readonly [Member, ...Member[]];
  readonly quads: number;
}

/** Of each sum that has company, whom it is with: sums one after another, of one term each. */
export function findJoints(w: StreamCode): ReadonlyMap<string, Joint> {
  const joints = new Map<string, Joint>();
  let open: { readonly key: string; readonly members: Member[] } | undefined;
  const close = (): void => {
    const [first, ...others] = open?.members ?? [];
    if (first === undefined || others.length === 0) return;
    const last = others.at(-1)!;
    const joint: Joint = { members: [first, ...others], quads: last.firstQuad + last.quads };
    for (const { sum } of joint.members) joints.set(sum.tensor, joint);
  };
  for (const sum of w.kernel.statements) {
    const term = termOf(sum, w);
    if (term === undefined || term.key !== open?.key) {
      close();
      open = term && { key: term.key, members: [] };
    }
    if (term === undefined) continue;
    const before = open!.members.at(-1);
    const firstQuad = before === undefined ? 0 : before.firstQuad + before.quads;
    const columns = columnsOf(sum, w.emitter.layout(sum.tensor).shape, w.axes);
    open!.members.push({ sum, ...term, firstQuad, quads: Math.ceil(columns / 4) });
  }
  close();
  return joints;
}

/** A sum's one term, and what it takes of a tile as text. */
function termOf(
  sum: StreamStatement,
  w: StreamCode,
): { readonly key: string; readonly parts: TwoSided; readonly factor: number } | undefined {
  if (sum.kind !== 'sum' || sum.equations.length > 1 || sum.follows.length > 0 || sum.finish !== undefined)
    return undefined;
  const found = asSum(readyOf(w, sum.equations[0]), w.axes, w.tiles);
  if (found === undefined || found.place !== undefined || found.onTile.some(({ kind }) => kind === 'data'))
    return undefined;
  const factors = found.left.kind === 'product' ? found.left.factors : [found.left];
  const [head] = factors;
  const factor = head.kind === 'constant' ? head.value : 1;
  const parts = { ...found, left: head.kind === 'constant' ? product(factors.slice(1)) : found.left };
  return { key: takenKey(parts), parts, factor };
}
