/**
 * Whether what a run takes is there, asked before its first step: the device's memory, with the options that would fit where it is
 * not. (The disk's: `runs/disk-room.ts`.)
 *
 * The trap: while a curriculum goes on to another shape two steps are there at once, the old one and the next. The next is not
 * smaller than the old, so twice the largest is enough.
 */
import { bytesText } from '../../compiler/command-line/amounts.ts';
import { MachineError, UserError } from '../../compiler/command-line/errors.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { planObstacle } from '../../runtime/plan-checks.ts';
import { stagingBytes } from '../../runtime/readback.ts';
import { type StepPrograms, stepBytes } from './dry-run.ts';
import { planOf } from './plans.ts';

/** What training asks of a device, and how it could ask for less. */
export interface Demand {
  /** Sequences at a time. */
  readonly batch: number;
  /** The largest step of the training, and its evaluation, with so many sequences at a time. */
  readonly programs: (batch: number) => StepPrograms;
  /** The same with all its sequences, held to `--memory`. */
  readonly within: (memory: string) => StepPrograms;
  /** Other numbers of sequences, largest first, with the options that ask for them. */
  readonly smaller: readonly SmallerBatch[];
  /** Steps of different shapes follow one another. */
  readonly changesShape: boolean;
}

export interface SmallerBatch {
  readonly batch: number;
  readonly words: string;
}

/** Bytes that training holds at once. */
export interface Need {
  /** Params, moments, what else is kept from step to step, and the way of one of them to a checkpoint. */
  readonly state: number;
  readonly step: number;
  readonly evaluation: number;
  readonly total: number;
}

type Machine = Pick<OpenedDevice, 'target' | 'class' | 'name'>;

/**
 * Throws MachineError with the estimate where the device has less. `available` says how many of so many bytes there are
 * (`availableBytes` of runtime/device-memory.ts).
 */
export async function refuseWithoutMemory(
  demand: Demand,
  opened: Machine,
  available: (wantedBytes: number) => Promise<number>,
): Promise<void> {
  const { need, obstacle } = judge(demand, demand.batch, opened);
  const availableAtMost = await available(need.total);
  const isShort = availableAtMost < need.total;
  if (!isShort && obstacle === undefined) return;
  const has = opened.class === 'cpu' ? 'this machine has' : `the device '${opened.name}' has about`;
  const problem = isShort
    ? `training takes ${bytesText(need.total)} of memory (${needText(need, demand)}), ${has} ${bytesText(availableAtMost)} free`
    : obstacle;
  const again = isShort ? recomputing(demand, opened, availableAtMost) : '';
  throw new MachineError(`${problem}\n  help: ${remedy(demand, opened, availableAtMost)}${again}`);
}

/** That the same batch fits where some of it is computed again, if it does. */
function recomputing({ within, changesShape }: Demand, opened: Machine, availableAtMost: number): string {
  const kibibytes = Math.floor(availableAtMost / 2 ** 10);
  if (kibibytes === 0) return '';
  const amount = kibibytes < 10 * 2 ** 10 ? `${kibibytes}KiB` : `${Math.floor(kibibytes / 2 ** 10)}MiB`;
  try {
    const { need, obstacle } = judgePrograms(within(amount), changesShape, opened);
    const fits = need.total <= availableAtMost && obstacle === undefined;
    return fits ? `; as it is, --memory=${amount} is enough: some of it is then computed again` : '';
  } catch (error) {
    // No plan takes so little.
    if (error instanceof UserError) return '';
    throw error;
  }
}

function remedy(demand: Demand, opened: Machine, availableAtMost: number): string {
  const needs = new Map<SmallerBatch, number>();
  const fitting = largestFitting(demand.smaller, (smaller) => {
    const { need, obstacle } = judge(demand, smaller.batch, opened);
    needs.set(smaller, need.total);
    return need.total <= availableAtMost && obstacle === undefined;
  });
  if (fitting !== undefined) return `${fitting.words} takes ${bytesText(needs.get(fitting) as number)}`;
  const least = demand.smaller.at(-1);
  const tried = least === undefined ? '' : `no batch is small enough, ${least.words} neither; `;
  return `${tried}a smaller model or shorter sequences take less`;
}

/** What training with so many sequences at a time takes, and what of it by itself is too large for the device. */
export function judge(
  { programs, changesShape }: Pick<Demand, 'programs' | 'changesShape'>,
  batch: number,
  machine: Pick<Machine, 'target' | 'class'>,
): Judgement {
  return judgePrograms(programs(batch), changesShape, machine);
}

interface Judgement {
  readonly need: Need;
  readonly obstacle: string | undefined;
}

function judgePrograms(
  { parts, evaluation }: StepPrograms,
  changesShape: boolean,
  { target, class: deviceClass }: Pick<Machine, 'target' | 'class'>,
): Judgement {
  const bytes = stepBytes({ parts, evaluation }, target);
  const state = bytes.states + stagingBytes(bytes.params);
  const step = (changesShape ? 2 : 1) * (bytes.peak - bytes.states);
  const plans = [...parts.map(({ program }) => program), evaluation].map((program) => planOf(program, target));
  const obstacles = plans.flatMap((plan) => planObstacle(plan, target.limits, deviceClass) ?? []);
  return {
    need: { state, step, evaluation: bytes.evaluation, total: state + step + bytes.evaluation },
    obstacle: obstacles[0],
  };
}

/** The first of a list, largest first, of which all from some place on fit. */
function largestFitting<T>(list: readonly T[], fits: (one: T) => boolean): T | undefined {
  let [from, to] = [0, list.length];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (fits(list[middle])) to = middle;
    else from = middle + 1;
  }
  return list[from];
}

function needText({ state, step, evaluation }: Need, { changesShape }: Demand): string {
  return (
    `params and optimizer ${bytesText(state)}, ` +
    `${changesShape ? 'a step and the one of the next stage' : 'a step'} ${bytesText(step)}, ` +
    `an evaluation ${bytesText(evaluation)}`
  );
}

/** Halves of a batch down to 1. */
export function halvedBatches(batch: number, words: (batch: number) => string): readonly SmallerBatch[] {
  const smaller: SmallerBatch[] = [];
  for (let half = batch >> 1; half >= 1; half >>= 1) smaller.push({ batch: half, words: words(half) });
  return smaller;
}

/** What a training asks whose step is of one shape, and whose `--batch_size` may be halved. `changed` makes other steps than `programs`. */
export function oneShapeDemand(
  batch: number,
  programs: () => StepPrograms,
  changed: (other: { readonly batch?: number; readonly memory?: string }) => StepPrograms,
): Demand {
  return {
    batch,
    programs: (wanted) => (wanted === batch ? programs() : changed({ batch: wanted })),
    within: (memory) => changed({ memory }),
    smaller: halvedBatches(batch, (half) => `--batch_size=${half}`),
    changesShape: false,
  };
}

/** Batches that make up the same step together. */
export function dividedBatches(
  batch: number,
  times: number,
  words: (batch: number, times: number) => string,
): readonly SmallerBatch[] {
  const total = batch * times;
  const smaller: SmallerBatch[] = [];
  for (let size = batch - 1; size >= 1; size -= 1) {
    if (total % size === 0) smaller.push({ batch: size, words: words(size, total / size) });
  }
  return smaller;
}
