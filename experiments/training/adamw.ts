/**
 * AdamW, and the clipping of gradients, as equations over whole arenas (oracle, "muP, optimizer, schedule"):
 *
 *   p ← p (1 − η λ);  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  p ← p − η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
 *
 * with η = multiplier · rate[block]. The multiplier and the bias corrections change every step and arrive in `hyper`.
 *
 * The trap: where a gradient has always been 0 the update is 0 / ε, so ε may be tiny but must not vanish.
 */
import { affine } from '../../compiler/ir/affine.ts';
import { at, computed, input, over } from '../../compiler/ir/build.ts';
import { binary, constant, product, select, sum, unary } from '../../compiler/ir/expression.ts';
import type { Affine, Expression, Tensor, Update } from '../../compiler/ir/program.ts';
import { type Arena, blockElements } from './arena.ts';

export interface AdamwSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Largest norm of all gradients together; 0 for none. */
  readonly gradClip: number;
  /** Without it the decay table is not read at all. */
  readonly hasDecay: boolean;
  /**
   * A scalar, the loss. From the first step at which it, or the norm of the gradients, is not finite on, no state changes any more, so that what made it so can still be looked at; the state `diverged` then holds that step plus one, else 0. Needs the input `step`.
   */
  readonly onlyWhileFinite: string | undefined;
}

/** Places in `hyper`. */
export const hyperSlots = { multiplier: 0, firstCorrection: 1, rootSecondCorrection: 2 } as const;
export const hyperLength = 3;

const largestFinite = 3e38;
const clipSoftening = 1e-6;

/** The optimizer's tensors, given the arena of gradients `gradients`. States: `params`, `m`, `v`. */
export function adamw(
  arena: Arena,
  gradients: string,
  settings: AdamwSettings,
): { readonly tensors: readonly Tensor[]; readonly updates: readonly Update[] } {
  const { beta1, beta2, epsilon, gradClip, hasDecay, onlyWhileFinite } = settings;
  const shape = [arena.elements];
  const extents = { block: arena.blocks, lane: blockElements };
  const place = (block: Affine, lane: Affine): Affine =>
    affine(0, [...block.terms.map((t) => ({ ...t, coefficient: t.coefficient * blockElements })), ...lane.terms]);
  const hyper = (slot: keyof typeof hyperSlots): Expression => at('hyper', hyperSlots[slot]);

  const elementwise = (name: string, value: (e: Affine, block: Affine) => Expression): Tensor => {
    const equation = over(extents, ({ block, lane }) => {
      const e = place(block, lane);
      return { store: [e], value: value(e, block) };
    });
    return computed(name, shape, [equation]);
  };
  const guarded = (state: string, e: Affine, value: Expression): Expression =>
    onlyWhileFinite === undefined
      ? value
      : select({ kind: 'compare', operator: '==', left: at('diverged~next'), right: constant(0) }, value, at(state, e));

  const square = gradClip > 0 || onlyWhileFinite !== undefined ? [gradientSquare(arena, gradients)] : [];
  const clipping = gradClip > 0 ? [clipFactor(gradClip)] : [];
  const watching = onlyWhileFinite === undefined ? [] : divergence([onlyWhileFinite, squareName]);
  const gradient = (e: Affine): Expression =>
    gradClip > 0 ? product([at(gradients, e), at('clip~factor')]) : at(gradients, e);

  const firstMoment = elementwise('m~next', (e) =>
    guarded('m', e, sum([product([constant(beta1), at('m', e)]), product([constant(1 - beta1), gradient(e)])])),
  );
  const secondMoment = elementwise('v~next', (e) =>
    guarded(
      'v',
      e,
      sum([product([constant(beta2), at('v', e)]), product([constant(1 - beta2), gradient(e), gradient(e)])]),
    ),
  );
  const params = elementwise('params~next', (e, block) => {
    const rate = product([hyper('multiplier'), at('rate', block)]);
    const kept = hasDecay
      ? product([at('params', e), sum([constant(1), product([constant(-1), rate, at('decay', block)])])])
      : at('params', e);
    const scale = sum([product([unary('sqrt', at('v~next', e)), hyper('rootSecondCorrection')]), constant(epsilon)]);
    const step = binary('divide', product([rate, hyper('firstCorrection'), at('m~next', e)]), scale);
    return guarded('params', e, sum([kept, product([constant(-1), step])]));
  });

  return {
    tensors: [
      input('hyper', [hyperLength]),
      input('rate', [arena.blocks]),
      ...(hasDecay ? [input('decay', [arena.blocks])] : []),
      input('m', shape),
      input('v', shape),
      ...square,
      ...clipping,
      ...watching,
      firstMoment,
      secondMoment,
      params,
    ],
    updates: ['params', 'm', 'v', ...(onlyWhileFinite === undefined ? [] : ['diverged'])].map((state) => ({
      state,
      next: `${state}~next`,
    })),
  };
}

/** The first step (counted from 1) at which one of these scalars was not finite, 0 while there is none. A NaN is below nothing. */
function divergence(watched: readonly string[]): Tensor[] {
  const here = sum([at('step'), constant(1)]);
  const found = watched.reduce<Expression>((rest, name) => {
    const isSound = {
      kind: 'compare',
      operator: '<',
      left: unary('abs', at(name)),
      right: constant(largestFinite),
    } as const;
    return select(isSound, rest, here);
  }, constant(0));
  const none = { kind: 'compare', operator: '==', left: at('diverged'), right: constant(0) } as const;
  const value = select(none, found, at('diverged'));
  return [input('diverged', []), computed('diverged~next', [], [over({}, () => ({ store: [], value }))])];
}

const squareName = 'grads~square';

/** ‖g‖² over all gradients: not finite where one of them is not. */
function gradientSquare(arena: Arena, gradients: string): Tensor {
  const square = over({ e: arena.elements }, ({ e }) => ({
    store: [],
    value: product([at(gradients, e), at(gradients, e)]),
  }));
  return computed(squareName, [], [square]);
}

/** min(1, c / (‖g‖ + 1e-6)). */
function clipFactor(limit: number): Tensor {
  const norm = sum([unary('sqrt', at(squareName)), constant(clipSoftening)]);
  const factor = binary('minimum', constant(1), binary('divide', constant(limit), norm));
  return computed('clip~factor', [], [over({}, () => ({ store: [], value: factor }))]);
}
