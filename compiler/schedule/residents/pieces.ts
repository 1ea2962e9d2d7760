/** Whether stages share only what is a piece's own. */
import { kernelParts } from '../../../kernels/statements.ts';
import { addTo } from '../../ir/lists.ts';
import type { Cut, Stageable } from './stages.ts';
import { hull, type Stretch, type Touched } from './touched.ts';

/**
 * Whether every tensor that one stage makes and another touches is touched, in each piece, only where no other piece makes it. Pieces must
 * make stretches one after another. Asked of the tensors of the last stage: the others stay in their pieces already.
 */
export function staysInPieces(
  kernels: readonly Stageable[],
  cuts: readonly Cut[],
  touchedIn: (kernel: Stageable, cut: Cut) => readonly Touched[],
): boolean {
  const makers = new Map<string, number[]>();
  kernels.forEach((kernel, s) => {
    for (const tensor of new Set(kernelParts(kernel).map((part) => part.tensor))) addTo(makers, tensor, s);
  });
  const touched = kernels.map((kernel, s) => touchedIn(kernel, cuts[s]));
  const touches = (s: number, tensor: string): boolean => touched[s].some((one) => one.tensor === tensor);
  const last = kernels.length - 1;
  const [{ pieces }] = cuts;
  return [...makers].every(([tensor, stages]) => {
    const touching = [...cuts.keys()].filter((s) => touches(s, tensor));
    if (!touches(last, tensor) || touching.length === 1) return true;
    const of = new Map(touching.map((s) => [s, stretches(tensor, cuts[s], touched[s])]));
    const own = Array.from({ length: pieces }, (_, p) => hull(stages.map((s) => of.get(s)![p])));
    if (own.some(({ least }, p) => p > 0 && least <= own[p - 1].most)) return false;
    const isOwn = ({ least, most }: Stretch, p: number): boolean =>
      (p === 0 || own[p - 1].most < least) && (p === pieces - 1 || most < own[p + 1].least);
    return touching.every((s) => of.get(s)!.every(isOwn));
  });
}

/** What each piece touches of a tensor in a stage. */
function stretches(tensor: string, { pieces, outer, inner }: Cut, touched: readonly Touched[]): readonly Stretch[] {
  const own = touched.filter((one) => one.tensor === tensor);
  return Array.from({ length: pieces }, (_, p) => {
    const groups = Array.from({ length: outer * inner }, (_, turn) => {
      return (Math.floor(turn / inner) * pieces + p) * inner + (turn % inner);
    });
    return hull(groups.flatMap((group) => own.map(({ of }) => of(group))));
  });
}
