/** What training asks of memory, and which options would fit where there is less. */
import { describe, expect, test } from 'vitest';
import { MachineError } from '../../../compiler/command-line/errors.ts';
import { splitOf } from '../../../experiments/data/token-data.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { stepBytes } from '../../../experiments/training/dry-run.ts';
import { lmDryStep } from '../../../experiments/training/lm-task.ts';
import {
  type Demand,
  dividedBatches,
  halvedBatches,
  judge,
  refuseWithoutMemory,
} from '../../../experiments/training/room.ts';
import { portableTarget } from '../../../kernels/target.ts';

const words = ['--d_model=16', '--n_head=2', '--n_layer=1', '--block_size=16'];
const data = { vocabulary: 8, train: splitOf(new Uint8Array(100), undefined) };

function lmDemand(batch: number, times = 1): Demand {
  const programs = (size: number, ...others: string[]) => {
    const more = [`--batch_size=${size}`, `--gradient_accumulation_steps=${(batch * times) / size}`, ...others];
    const { options, sizes } = resolveLm([...words, ...more]);
    return lmDryStep(options, scoreOf(options, sizes), data);
  };
  return {
    batch,
    programs,
    within: (memory) => programs(batch, `--memory=${memory}`),
    changesShape: false,
    smaller: dividedBatches(batch, times, (size, more) => `--batch_size=${size} --gradient_accumulation_steps=${more}`),
  };
}

const machine = { target: portableTarget, class: 'gpu', name: 'small' } as const;

test('the need is the buffers of the plans: state, step, evaluation; two steps where shapes change', () => {
  const demand = lmDemand(4);
  const { need } = judge(demand, 4, machine);
  const bytes = stepBytes(demand.programs(4), portableTarget);
  // A checkpoint is read back through a power of two.
  const staging = 2 ** Math.ceil(Math.log2(bytes.params));
  expect(need.total).toBe(bytes.peak + bytes.evaluation + staging);
  expect(need.state).toBe(bytes.states + staging);
  const both = judge({ ...demand, changesShape: true }, 4, machine).need;
  expect(both.total - need.total).toBe(bytes.peak - bytes.states);
  expect(judge(demand, 2, machine).need.step).toBeLessThan(need.step);
});

test('batches that are the same step together; halves', () => {
  const pairs = dividedBatches(6, 2, (size, times) => `${size}x${times}`).map((one) => one.words);
  expect(pairs).toEqual(['4x3', '3x4', '2x6', '1x12']);
  expect(halvedBatches(13, String).map(({ batch }) => batch)).toEqual([6, 3, 1]);
  expect(halvedBatches(1, String)).toEqual([]);
});

describe('a device with too little', () => {
  const refusal = (demand: Demand, bytes: number) =>
    refuseWithoutMemory(demand, machine, async (wanted) => Math.min(wanted, bytes)).then(
      () => undefined,
      (error: unknown) => error as Error,
    );

  test('is told the estimate and the options that fit, followed literally they do', async () => {
    const demand = lmDemand(16, 2);
    const { total } = judge(demand, 16, machine).need;
    expect(await refusal(demand, total)).toBeUndefined();
    const error = await refusal(demand, total * 0.6);
    expect(error).toBeInstanceOf(MachineError);
    expect(error?.message).toMatch(
      /^training takes \S+ MiB of memory \(params and optimizer .*, a step .*, an evaluation .*\), the device 'small' has about .* free\n {2}help: --batch_size=8 --gradient_accumulation_steps=4 takes /,
    );
    const smaller = { ...lmDemand(8, 4), smaller: [] };
    expect(await refusal(smaller, total * 0.6)).toBeUndefined();
  });

  test('is told the --memory that is enough, and none where there is none', async () => {
    const demand = lmDemand(16, 2);
    const { total } = judge(demand, 16, machine).need;
    const error = await refusal(demand, 0.9 * total);
    const [, amount] =
      /; as it is, --memory=(\S+) is enough: some of it is then computed again$/.exec(error?.message ?? '') ?? [];
    const within = { ...demand, programs: () => demand.within(amount), smaller: [] };
    expect(await refusal(within, 0.9 * total)).toBeUndefined();
    expect((await refusal(demand, 0.2 * total))?.message).not.toContain('--memory');
  });

  test('where no batch fits, says so', async () => {
    const error = await refusal(lmDemand(4), 1000);
    expect(error?.message).toContain(
      'help: no batch is small enough, --batch_size=1 --gradient_accumulation_steps=4 neither; a smaller model',
    );
  });
});
