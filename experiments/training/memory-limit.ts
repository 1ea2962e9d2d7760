/**
 * `--memory`: what training takes at once stays within so many bytes, as `room.ts` counts them, or within a share of what it takes
 * without a limit. The first program of a step, the one
 * with a forward and a backward half, makes room for all else by computing again what it would keep.
 */
import { bytesOf, bytesText, shareOf } from '../../compiler/command-line/amounts.ts';
import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { MemoryShortage } from '../../compiler/schedule/memory/within-memory.ts';
import { planBytes } from '../../compiler/schedule/plan.ts';
import { sizeBytes } from '../../compiler/schedule/workspaces.ts';
import type { Target } from '../../kernels/target.ts';
import { stagingBytes } from '../../runtime/readback.ts';
import { type StepPrograms, stateBuffers } from './dry-run.ts';
import { limitPlan, planOf } from './plans.ts';

/** The same programs, held to the option's amount; as they are without one. `steps` of them are there at once. */
export function withinMemory<P extends StepPrograms>(memory: string | null, steps: number, programs: P): P {
  if (memory === null) return programs;
  const [first, ...others] = programs.parts.map(({ program }) => program);
  const firstStates = total(stateBytes([first]).values());
  /** All but what each plan of the first program takes beside its states. */
  const fixedBytes = (target: Target): number => {
    const states = stateBytes([first, ...others]);
    return (
      total(states.values()) +
      stagingBytes(states.get('params') ?? 0) +
      steps * total(others.map((program) => ownBytes(program, target))) +
      ownBytes(programs.evaluation, target)
    );
  };
  /** What training takes, by what a plan of the first program does. */
  const trainingBytes = (target: Target, planBytes: number) => fixedBytes(target) + steps * (planBytes - firstStates);
  limitPlan(first, {
    bytes: (target, plainBytes) => {
      const allowed = bytesOf(memory) ?? (shareOf(memory) as number) * trainingBytes(target, plainBytes);
      return Math.floor((allowed - fixedBytes(target)) / steps) + firstStates;
    },
    refusal: (shortage, target) => refusal(memory, (bytes) => trainingBytes(target, bytes), shortage),
  });
  return programs;
}

function refusal(
  memory: string,
  totalOf: (planBytes: number) => number,
  { leastBytes, plainBytes }: MemoryShortage,
): UserError {
  return new UserError(
    `--memory ${memory}: training takes ${bytesText(totalOf(plainBytes))}, and ${bytesText(totalOf(leastBytes))} where all is computed again that can be\n` +
      `  help: --memory ${enough(totalOf(leastBytes))} is enough; a smaller batch, a smaller model or shorter sequences take less`,
  );
}

/** In a unit that is rounded up by little. */
function enough(bytes: number): string {
  const kibibytes = Math.ceil(bytes / 1024);
  return kibibytes < 10 * 1024 ? `${kibibytes}KiB` : `${Math.ceil(kibibytes / 1024)}MiB`;
}

function total(numbers: Iterable<number>): number {
  return [...numbers].reduce((sum, number) => sum + number, 0);
}

/** States of programs, which share them. */
function stateBytes(programs: readonly Program[]): ReadonlyMap<string, number> {
  const states = programs.flatMap(({ tensors }) => tensors.filter(({ name }) => stateBuffers.has(name)));
  return new Map(states.map((tensor) => [tensor.name, sizeBytes(tensor)]));
}

/** What the plan of a program takes beside the states. */
function ownBytes(program: Program, target: Target): number {
  return planBytes({ buffers: planOf(program, target).buffers.filter(({ id }) => !stateBuffers.has(id)) });
}
