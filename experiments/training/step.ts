/**
 * The training step as one tensor program: state in, state out (design.md, "The tensor program"). The model's program with its
 * gradients comes in; its params become views of one arena, its batch is drawn or given, its gradients meet AdamW.
 *
 *   params ──view──▶ W, U, … ──model──▶ loss ──differentiate──▶ grad.W, … ──concat──▶ grads ──AdamW──▶ params, m, v
 *   seed, step ──random──▶ xs, ys ──────┘
 *
 * The same builder makes the program of `verify` (batch given, gradients as outputs) and that of an evaluation (no gradients).
 * The trap: nothing here knows a mixer or a model; what it needs of them are tensor names.
 */
import { inOrder, input } from '../../compiler/ir/build.ts';
import { dependencies } from '../../compiler/ir/equation.ts';
import type { Program, Tensor } from '../../compiler/ir/program.ts';
import { type AdamwSettings, adamw } from './adamw.ts';
import { type Arena, layOut } from './arena.ts';
import type { Param } from './mup.ts';

export interface StepSettings {
  /** Tensors that take the place of the model's batch inputs; none: the batch is given. */
  readonly batch: readonly Tensor[];
  /** None: forward only. */
  readonly optimizer: AdamwSettings | undefined;
  readonly outputs: readonly string[];
}

export interface StepProgram {
  readonly program: Program;
  readonly arena: Arena;
  readonly params: readonly Param[];
  /** Params that the loss does not depend on: they take no step. */
  readonly untouched: ReadonlySet<string>;
}

/** What differentiation gave: the program with the gradients' tensors in it, and which tensor is whose gradient. */
export interface Differentiated {
  readonly program: Program;
  readonly gradientOf: ReadonlyMap<string, string>;
}

export const gradientArena = 'grads';

/** Puts a step together. `params` are those of the undifferentiated model, in its order. */
export function assembleStep(
  { program, gradientOf }: Differentiated,
  params: readonly Param[],
  { batch, optimizer, outputs }: StepSettings,
): StepProgram {
  const arena = layOut(params);
  const drawn = new Map(batch.map((tensor) => [tensor.name, tensor]));
  const offsets = new Map(arena.slots.map(({ param, offset }) => [param.name, offset]));
  const body = program.tensors.flatMap((tensor): Tensor[] => {
    if (drawn.has(tensor.name)) return [];
    const offset = offsets.get(tensor.name);
    return offset === undefined ? [tensor] : [{ ...tensor, source: { kind: 'view', base: 'params', offset } }];
  });
  const tensors: Tensor[] = [input('params', [arena.elements]), ...batch, ...body];
  const untouched = new Set(arena.slots.map(({ param }) => param.name).filter((name) => !gradientOf.has(name)));
  if (optimizer === undefined) {
    return { program: finished(tensors, outputs, []), arena, params, untouched };
  }
  const parts = arena.slots.flatMap(({ param, offset }) => {
    const tensor = gradientOf.get(param.name);
    return tensor === undefined ? [] : [{ tensor, offset }];
  });
  tensors.push({
    name: gradientArena,
    dtype: 'f32',
    shape: [arena.elements],
    source: { kind: 'concat', parts },
  });
  const update = adamw(arena, gradientArena, optimizer);
  return {
    program: finished([...tensors, ...update.tensors], outputs, update.updates),
    arena,
    params,
    untouched,
  };
}

/** Only what outputs and updates need, in order. Inputs that nobody reads are dropped with the rest, states excepted. */
function finished(tensors: readonly Tensor[], outputs: readonly string[], updates: Program['updates']): Program {
  const ordered = inOrder(tensors);
  const needed = new Set([...outputs, ...updates.flatMap(({ state, next }) => [state, next]), 'params']);
  for (const tensor of [...ordered].reverse()) {
    if (needed.has(tensor.name)) for (const name of dependencies(tensor)) needed.add(name);
  }
  return { tensors: ordered.filter(({ name }) => needed.has(name)), outputs, updates };
}
