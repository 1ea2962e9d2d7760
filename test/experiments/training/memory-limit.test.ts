/** `--memory`: all that training holds at once keeps to it, by the counts of room.ts, and what is said where it cannot. */
import { describe, expect, test } from 'vitest';
import { bytesOf, bytesText, shareOf } from '../../../compiler/command-line/amounts.ts';
import { splitOf } from '../../../experiments/data/token-data.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveIcl } from '../../../experiments/options/icl.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { type DryStep, dryRun } from '../../../experiments/training/dry-run.ts';
import { dryRunLines } from '../../../experiments/training/dry-run-text.ts';
import { iclDryStep } from '../../../experiments/training/icl-task.ts';
import { lmDryStep } from '../../../experiments/training/lm-task.ts';
import { judge } from '../../../experiments/training/room.ts';
import { portableTarget } from '../../../kernels/target.ts';

const machine = { target: portableTarget, class: 'gpu' } as const;
const data = { vocabulary: 8, train: splitOf(new Uint8Array(1000), undefined) };

function lm(...words: string[]): DryStep {
  const small = ['--d_model=32', '--n_head=2', '--n_layer=2', '--block_size=64', '--batch_size=8'];
  const { options, sizes } = resolveLm([...small, ...words]);
  return lmDryStep(options, scoreOf(options, sizes), data);
}

function icl(...words: string[]): DryStep {
  const small = [
    '--token_mixing_struct=low_rank',
    '--n_dims=4',
    '--d_model=32',
    '--n_head=2',
    '--n_layer=2',
    '--training_batch_size=64',
  ];
  const { options, sizes } = resolveIcl([...small, ...words]);
  return iclDryStep(options, scoreOf(options, sizes));
}

const kinds = {
  'a language model': { step: lm, words: ['--gradient_accumulation_steps=1'], changesShape: false },
  'steps of several batches': { step: lm, words: ['--gradient_accumulation_steps=2'], changesShape: false },
  'a curriculum, of which two steps are there at once': {
    step: icl,
    words: ['--training_curriculum_points_start=3'],
    changesShape: true,
  },
};

function need(step: DryStep, changesShape: boolean): number {
  return judge({ programs: () => step, changesShape }, 1, machine).need.total;
}

describe.each(Object.entries(kinds))('%s', (_, { step, words, changesShape }) => {
  const all = need(step(...words), changesShape);

  test('keeps to what is given', () => {
    const allowed = Math.round(0.8 * all);
    const within = step(...words, `--memory=${allowed}`);
    expect(need(within, changesShape)).toBeLessThanOrEqual(allowed);
    const report = dryRun(within, portableTarget);
    expect(report.recomputed.tensors).toBeGreaterThan(0);
    expect(dryRunLines(report).join('\n')).toMatch(
      /computed again +\d+ tensors, \S+ [KM]iB that need not be kept, by [\d,]+ of/,
    );
  });

  test('keeps to a share of what it takes without a limit', () => {
    const within = need(step(...words, '--memory=80%'), changesShape);
    expect(within).toBeLessThanOrEqual(0.8 * all);
    expect(need(step(...words, '--memory=100%'), changesShape)).toBe(all);
  });

  test('what cannot be kept to is refused with what is enough', () => {
    const refusal = () => dryRun(step(...words, '--memory=10kB'), portableTarget);
    expect(() => dryRun(step(...words, '--memory=1%'), portableTarget)).toThrow(
      `--memory 1%: training takes ${bytesText(all)}, and `,
    );
    expect(refusal).toThrow(
      /^--memory 10kB: training takes .* where all is computed again that can be\n {2}help: --memory \d+[KM]iB is enough; a smaller/,
    );
  });
});

test('an amount is a number with a unit, or of bytes', () => {
  expect(['4GiB', '1.5 gib', '500MB', '65536', '12kB', '7b'].map(bytesOf)).toEqual([
    2 ** 32,
    1.5 * 2 ** 30,
    5e8,
    65536,
    12_000,
    7,
  ]);
  expect(['', '4', '4 G', '0', '0MB', '-4MB', '4XiB', '50%'].map(bytesOf)).toEqual([
    undefined,
    4,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(['50%', ' 12.5 %', '100%', '0%', '101%', '%', '50', '4GiB'].map(shareOf)).toEqual([
    0.5,
    0.125,
    1,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  for (const words of ['lots', '0%', '200%'])
    expect(() => resolveLm([`--memory=${words}`])).toThrow(
      `--memory ${words}: must be an amount such as 4GiB, 500MB, 50% or a number of bytes`,
    );
});
