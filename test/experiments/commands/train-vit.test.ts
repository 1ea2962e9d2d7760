/** `mlbtc train vit`: what a step is, for every score and map; images that do not fit are refused. */
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { describeError } from '../../../compiler/command-line/errors.ts';
import { answer } from '../../../experiments/commands/dry-kind.ts';
import { vitKind } from '../../../experiments/commands/train-vit.ts';
import type { DryRunReport } from '../../../experiments/training/dry-run.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

/** What the command prints; where it refuses, its message and exit status. */
function vit(...words: string[]): string {
  let said = '';
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said += text;
    return true;
  });
  try {
    const resolved = answer(vitKind, words);
    return resolved === undefined ? said : vitKind.begin(resolved).title;
  } catch (error) {
    const { message, exitCode } = describeError(error);
    return `${message} [${exitCode}]`;
  } finally {
    out.mockRestore();
  }
}

const small = ['--d_model=16', '--n_head=2', '--n_layer=1', '--patch_size=4', '--batch_size=3'];
const reportOf = (...words: string[]): DryRunReport => JSON.parse(vit(...small, '--dry_run', '--json', ...words));

describe('a step', () => {
  test('counted by hand', () => {
    const { bytes, flopsPerToken } = reportOf();
    // Read-in (16 · 16) and read-out (10 · 16), 5 positions, the class token, a block and the last norm, each from a word of 64 on.
    expect(bytes.params).toBe(4 * (256 + 192 + 128 + 64 + 12 * 16 ** 2 + 4 * 64 + 64));
    expect(flopsPerToken.reference).toBeNull();
    // 4 of 5 tokens are read in, one is read out; the matrices of the block; scores and values of 5 tokens.
    const products = (4 * 256 + 160) / 5 + 12 * 16 ** 2 + 2 * 5 * 16;
    expect(flopsPerToken.actual).toBeGreaterThan(products);
    expect(flopsPerToken.actual).toBeLessThan(1.1 * products);
  });

  test.each([
    ['--pool=mean', '--token_mixing_struct=multi_level_low_rank', '--mlr_rank_list=4|4', '--mlr_block_size_list=4|4'],
    ['--token_mixing_struct=low_rank_with_gswa', '--gswa_rank_list=5|3', '--slot=linear=btt', '--target=portable'],
    ['--token_mixing_struct=bilinear_BTT', '--bias', '--slot=mlp_up=monarch', '--target=gpu'],
  ])('of %s %s', (...words) => {
    const { dispatches, multiplyAdds, flopsPerToken } = reportOf(...words);
    expect(dispatches).toBeGreaterThan(10);
    expect(multiplyAdds).toBeGreaterThan(3 * 3 * 4 * flopsPerToken.actual * 0.8);
  });
});

test('what is trained is said, and what does not fit', () =>
  inFolder((folder) => {
    const record = (label: number) => [label, ...new Array(3072).fill(100)];
    const images = Uint8Array.from([0, 1, 2, 0, 1].flatMap(record));
    writeFiles(folder, { 'data_batch_1.bin': images, 'test_batch.bin': images.subarray(0, 3073) });
    const given = (...words: string[]) => vit(...small, `--data=${folder}`, ...words);
    expect(given('--val_fraction=0.2')).toMatch(
      /^training on .* \(4 images of 3 × 32 × 32 in 10 classes\): low_rank scores, .*, patches of 4 × 4,/,
    );
    expect(given('--val_fraction=0.05')).toMatch(/has 5 images to train on and 1 to test on: too few.* \[1\]$/);
    expect(given('--val_fraction=0.2', '--patch_size=5')).toMatch(
      /--patch_size 5: patches of 5 × 5 pixels do not fill the 32 × 32 of .*; 1, 2, 4, 8, 16, 32 do \[2\]$/,
    );
    expect(vit(...small, `--data=${join(folder, 'none')}`)).toMatch(/none: there is no such folder \[1\]$/);
    expect(vit(...small, '--poll=mean')).toMatch(/did you mean --pool\? \[2\]$/);
    expect(vit(...small, '--pool=cls')).toMatch(/--pool cls: must be one of class, mean \[2\]$/);
    expect(vit(...small, '--token_mixing_struct=multi_level_low_rank', '--mlr_rank_list=4|4', '--dry_run')).toMatch(
      /the blocks of a level must fill block_size(.|\n)* \[1\]$/,
    );
  }));
