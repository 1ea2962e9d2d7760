/**
 * The training step as one tensor program: state in, state out (design.md, "The tensor program"). The model's program with its
 * gradients comes in; its params become views of one arena, its batch is drawn or given, its gradients meet AdamW.
 *
 *   params ──view──▶ W, U, … ──model──▶ loss ──differentiate──▶ grad.W, … ──concat──▶ grads ──AdamW──▶ params, m, v
 *   seed, step ──random──▶ xs, ys ──────┘
 *
 * The same builder makes the program of `verify` (batch given, gradients as outputs) and that of an evaluation (no gradients).
 * A step over several batches is two programs with one state between them, `sum`: `accumulationStep` adds a batch's gradients to
 * it, `updateStep` divides it by their number and moves the params.
 *
 * The trap: nothing here knows a mixer or a model; what it needs of them are tensor names.
 */
import { at, computed, inOrder, input, over } from '../../compiler/ir/build.ts';
import { dependencies } from '../../compiler/ir/equation.ts';
import { constant, product, select, sum } from '../../compiler/ir/expression.ts';
import type { Affine, Program, Tensor, Update } from '../../compiler/ir/program.ts';
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
  differentiated: Differentiated,
  params: readonly Param[],
  { batch, optimizer, outputs }: StepSettings,
): StepProgram {
  const { tensors, arena, untouched } = stepTensors(differentiated, params, batch);
  const step = { arena, params, untouched };
  if (optimizer === undefined) return { program: finished(tensors, outputs, []), ...step };
  const update = adamw(arena, gradientArena, optimizer);
  const all = [...tensors, gradients(differentiated, arena), ...update.tensors];
  return { program: finished(all, outputs, update.updates), ...step };
}

/** States between the batches of a step: the sum of their gradients, and that of their losses. */
export const sumStates = { arena: 'sum', scalar: 'lossSum' } as const;

/**
 * Adds a batch's gradients to the state `sum` and its loss to `lossSum`. The input `kept` is 0 at the first batch of a step, which
 * begins the sums anew, and 1 at the others.
 */
export function accumulationStep(
  differentiated: Differentiated,
  params: readonly Param[],
  batch: readonly Tensor[],
): StepProgram {
  const { tensors, arena, untouched } = stepTensors(differentiated, params, batch);
  const add = (state: string, shape: readonly number[], more: (...e: Affine[]) => ReturnType<typeof at>): Tensor => {
    const extents = Object.fromEntries(shape.map((extent) => ['e', extent]));
    const equation = over(extents, (axes) => {
      const index = Object.values(axes);
      const isKept = { kind: 'compare', operator: '==', left: at('kept'), right: constant(1) } as const;
      return { store: index, value: sum([select(isKept, at(state, ...index), constant(0)), more(...index)]) };
    });
    return computed(`${state}~next`, shape, [equation]);
  };
  const shape = [arena.elements];
  const all = [
    ...tensors,
    gradients(differentiated, arena),
    input('kept', []),
    input(sumStates.arena, shape),
    input(sumStates.scalar, []),
    add(sumStates.arena, shape, (e) => at(gradientArena, e)),
    add(sumStates.scalar, [], () => at('loss')),
  ];
  const updates = Object.values(sumStates).map((state) => ({ state, next: `${state}~next` }));
  return { program: finished(all, [], updates), arena, params, untouched };
}

/** One step of the optimizer on the mean of `batches` gradients that `accumulationStep` has added up; output: loss, their mean. */
export function updateStep(arena: Arena, batches: number, optimizer: AdamwSettings): Program {
  const mean = (name: string, shape: readonly number[], state: string): Tensor => {
    const extents = Object.fromEntries(shape.map((extent) => ['e', extent]));
    const equation = over(extents, (axes) => {
      const index = Object.values(axes);
      return { store: index, value: product([at(state, ...index), constant(1 / batches)]) };
    });
    return computed(name, shape, [equation]);
  };
  const shape = [arena.elements];
  const update = adamw(arena, gradientArena, optimizer);
  const tensors = [
    input('params', shape),
    input('step', [], 'i32'),
    input(sumStates.arena, shape),
    input(sumStates.scalar, []),
    mean(gradientArena, shape, sumStates.arena),
    mean('loss', [], sumStates.scalar),
    ...update.tensors,
  ];
  return finished(tensors, ['loss'], update.updates);
}

/** The model's tensors with its params as views of the arena and its batch in its place; `program` is not in order yet. */
function stepTensors({ program, gradientOf }: Differentiated, params: readonly Param[], batch: readonly Tensor[]) {
  const arena = layOut(params);
  const drawn = new Map(batch.map((tensor) => [tensor.name, tensor]));
  const offsets = new Map(arena.slots.map(({ param, offset }) => [param.name, offset]));
  const body = program.tensors.flatMap((tensor): Tensor[] => {
    if (drawn.has(tensor.name)) return [];
    const offset = offsets.get(tensor.name);
    return offset === undefined ? [tensor] : [{ ...tensor, source: { kind: 'view', base: 'params', offset } }];
  });
  const tensors: readonly Tensor[] = [input('params', [arena.elements]), ...batch, ...body];
  const untouched = new Set(arena.slots.map(({ param }) => param.name).filter((name) => !gradientOf.has(name)));
  return { tensors, arena, untouched };
}

/** All gradients as one tensor, laid out as the params are. */
function gradients({ gradientOf }: Differentiated, arena: Arena): Tensor {
  const parts = arena.slots.flatMap(({ param, offset }) => {
    const tensor = gradientOf.get(param.name);
    return tensor === undefined ? [] : [{ tensor, offset }];
  });
  return { name: gradientArena, dtype: 'f32', shape: [arena.elements], source: { kind: 'concat', parts } };
}

/** Only what outputs and updates need, in order. Inputs that nobody reads are dropped with the rest, states excepted. */
function finished(tensors: readonly Tensor[], outputs: readonly string[], updates: readonly Update[]): Program {
  const ordered = inOrder(tensors);
  const needed = new Set([...outputs, ...updates.flatMap(({ state, next }) => [state, next]), 'params']);
  for (const tensor of [...ordered].reverse()) {
    if (needed.has(tensor.name)) for (const name of dependencies(tensor)) needed.add(name);
  }
  return { tensors: ordered.filter(({ name }) => needed.has(name)), outputs, updates };
}
