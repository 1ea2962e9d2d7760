/**
 * No extent decides what is fused: every score of the library has the same kernels for one sequence, one head or one token as for
 * several, and skips the same points. Other sizes are held where the tuner would choose by them: rows enough for a tile.
 */
import { describe, expect, test } from 'vitest';
import { compileProgram } from '../../../compiler/compile.ts';
import { schedule } from '../../../compiler/schedule/schedule.ts';
import type { SizeValue } from '../../../compiler/semantics/model.ts';
import { portableTarget } from '../../../kernels/target.ts';
import { loweredLibrary } from '../../support/lowered.ts';

interface Score {
  readonly file: string;
  /** What it calls the number of sequences. */
  readonly batch?: string;
  /** Sequences are no shorter. */
  readonly leastTokens?: number;
  /** Sizes for a number of heads: heads of 32 whatever their number. */
  readonly sizes: (heads: number) => Readonly<Record<string, SizeValue>>;
}

const heads = (H: number): Readonly<Record<string, SizeValue>> => ({ D: 32 * H, H });
const scores: readonly Score[] = [
  { file: 'attention', sizes: heads },
  { file: 'sliding_window', sizes: (H) => ({ ...heads(H), w: 8 }) },
  { file: 'global_sliding_window', sizes: (H) => ({ ...heads(H), global: 16, local: 16, w: 8 }) },
  { file: 'bilinear_mlr', sizes: (H) => ({ D: 128, H, ranks: [64 / H, 32 / H, 16 / H, 16 / H] }) },
  { file: 'bilinear_btt', batch: 'N', sizes: heads },
  { file: 'bilinear_btt_normed', batch: 'N', sizes: heads },
  // Its levels halve the sequence, so that it has no single token.
  { file: 'mlr_attention', leastTokens: 16, sizes: (H) => ({ ...heads(H), ranks: [16, 8, 4, 4] }) },
];

/** A line a kernel: its family, what it makes, and where. */
function kernels(file: string, sizes: Readonly<Record<string, SizeValue>>): readonly string[] {
  const target = { ...portableTarget, class: 'gpu' as const };
  const { program } = compileProgram(loweredLibrary(file, sizes), { target, gradients: true });
  // Which of them share a dispatch follows their tiles, and so extents.
  return schedule(program, { target, combine: false }).kernels.map(
    ({ family, equations }) => `${family}: ${equations.map(madeAndWhere)}`,
  );
}

/** `S where t - u >= 0`: how its axes are nested may well follow their extents. */
function madeAndWhere(equation: string): string {
  return [equation.split(/[ [=]/)[0], ...(/ where .*$/.exec(equation) ?? [])].join('');
}

describe.each(scores)('$file', ({ file, batch = 'B', leastTokens = 1, sizes }) => {
  test('one sequence', () => {
    expect(kernels(file, { ...sizes(2), [batch]: 1, T: 32 })).toEqual(
      kernels(file, { ...sizes(2), [batch]: 2, T: 32 }),
    );
  });
  test('one head', () => {
    expect(kernels(file, { ...sizes(1), [batch]: 2, T: 32 })).toEqual(
      kernels(file, { ...sizes(2), [batch]: 2, T: 32 }),
    );
  });
  test.skipIf(leastTokens > 1)('one token', () => {
    const families = (all: readonly string[]): readonly string[] => all.map((line) => line.split(':')[0]);
    expect(families(kernels(file, { ...sizes(2), [batch]: 64, T: 1 }))).toEqual(
      families(kernels(file, { ...sizes(2), [batch]: 64, T: 2 })),
    );
  });
});
