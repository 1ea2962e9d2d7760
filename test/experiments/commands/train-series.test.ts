/** `mlbtc train series`: what a step is, for every score; a model that cannot be trained and data that do not fit are refused. */
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { describeError } from '../../../compiler/command-line/errors.ts';
import { answer } from '../../../experiments/commands/dry-kind.ts';
import { seriesKind } from '../../../experiments/commands/train-series.ts';
import type { DryRunReport } from '../../../experiments/training/dry-run.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

/** What the command prints; where it refuses, its message and exit status. */
function series(...words: string[]): string {
  let said = '';
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said += text;
    return true;
  });
  try {
    const resolved = answer(seriesKind, words);
    return resolved === undefined ? said : seriesKind.begin(resolved).title;
  } catch (error) {
    const { message, exitCode } = describeError(error);
    return `${message} [${exitCode}]`;
  } finally {
    out.mockRestore();
  }
}

const small = [
  ...['--d_model=16', '--n_head=2', '--n_layer=2', '--block_size=8', '--batch_size=3', '--channels=2'],
  '--horizon=1',
];
const reportOf = (...words: string[]): DryRunReport => JSON.parse(series(...small, '--dry_run', '--json', ...words));

describe('a step', () => {
  // Read-in and read-out, a block's matrices, its normalisations, those of queries and keys, the last; each from a word of 64 on.
  const params = 2 * 64 + 2 * (12 * 16 ** 2 + 2 * 64 + 2 * 64) + 64;
  const linear = 2 * 2 * 16 + 2 * 12 * 16 ** 2;

  test('counted by hand for low_rank', () => {
    const { bytes, flopsPerToken, stages } = reportOf();
    expect(bytes.params).toBe(4 * params);
    // Both moments, and the word that says whether training diverged.
    expect(bytes.optimizer).toBe(2 * 4 * params + 4);
    // Squares of 8 tokens in scores and values, 5 for each element that is normed.
    expect(flopsPerToken.reference).toBe(linear + 2 * 2 * 8 * 16 + 5 * (2 * (2 * 16 + 2 * 16) + 16));
    expect(flopsPerToken.actual).toBeGreaterThan(linear);
    expect(stages).toEqual([]);
  });

  test('of more times ahead reads more out', () => {
    const [one, five] = [reportOf(), reportOf('--horizon=5')];
    // The matrix begins at a word of 64: 2 · 16 and 10 · 16 elements.
    expect(five.bytes.params - one.bytes.params).toBe(4 * (192 - 64));
    expect((five.flopsPerToken.reference ?? 0) - (one.flopsPerToken.reference ?? 0)).toBe(4 * 2 * 16);
  });

  test.each([
    ['low_rank_with_sliding_window', '--sliding_block_size=2'],
    ['low_rank_with_gswa', '--gswa_rank_list=5|3', '--sliding_block_size=2'],
    ['low_rank_with_sequential_gswa', '--sequential_GSWA_layer_list=MHA|SWA', '--sliding_block_size=2'],
    ['multi_level_low_rank', '--mlr_rank_list=4|2|2'],
    ['bilinear_MLR', '--mlr_rank_list=4|2|2'],
    ['bilinear_BTT'],
  ])('of %s', (mixer, ...words) => {
    const { dispatches, multiplyAdds, flopsPerToken } = reportOf(`--token_mixing_struct=${mixer}`, ...words);
    expect(dispatches).toBeGreaterThan(10);
    expect(multiplyAdds).toBeGreaterThan(3 * 3 * 8 * flopsPerToken.actual * 0.9);
    expect(flopsPerToken.reference).toBeGreaterThan(0);
  });

  test('for people', () => {
    expect(series(...small, '--dry_run', '--target=portable')).toMatch(/^a step\n {2}dispatches +\d+\n/);
  });
});

test('a score that sees later times is refused, or told of where it is insisted on; one that does not is neither', () =>
  inFolder((folder) => {
    const score = (domain: string) => `structure Mine {
  size D = 16, H = 2, T
  axis b: B, t, u: T, i: D, h: H
  input x[b, t, i]
  param Q[h, i] ~ normal(fan_in = i)
  A[b, h, t, u] = softmax[u](Q[h, i] * x[b, t, i] * x[b, u, i]${domain})
  output A
}
`;
    writeFiles(folder, { 'open.mlbtc': score(''), 'causal.mlbtc': score(' where u <= t') });
    const given = (file: string) => [...small, '--dry_run', `--structure=${join(folder, file)}`];
    expect(series(...given('open.mlbtc'))).toMatch(
      /open\.mlbtc:6:\d+: error E0801: the score looks ahead(.|\n)* \[1\]$/,
    );
    expect(series(...given('open.mlbtc'), '--allow_noncausal')).toMatch(
      /^the score of .* sees later tokens.*\na step\n/,
    );
    expect(series(...given('causal.mlbtc'))).toMatch(/^a step\n(.|\n)*unknown to the reference\nmemory\n/);
  }));

const hour = (n: number) =>
  `2016-07-${String(1 + Math.floor(n / 24)).padStart(2, '0')} ${String(n % 24).padStart(2, '0')}:00:00`;
const rows = (count: number, cell = (n: number) => `${n}`) =>
  ['date,A,B', ...Array.from({ length: count }, (_, n) => `${hour(n)},${cell(n)},${-n}`)].join('\n');

test('data are read before anything is trained', () =>
  inFolder((folder) => {
    writeFiles(folder, {
      'whole.csv': rows(100),
      'hole.csv': rows(100, (n) => (n === 40 ? '' : '1')),
      'gap.csv': rows(100).replace(/2016-07-02 05:00:00.*\n/, ''),
      'short.csv': rows(40),
    });
    const given = (file: string, ...words: string[]) =>
      series(...small, '--horizon=3', '--channels=none', `--data=${join(folder, file)}`, ...words);
    expect(given('whole.csv')).toMatch(
      /^training on whole \(100 rows of A, B\): low_rank scores, .*, 3 times ahead from 8/,
    );
    expect(given('whole.csv', '--columns=B', '--channels=1')).toMatch(/\(100 rows of B\)/);
    expect(given('whole.csv', '--channels=1')).toMatch(/\(100 rows of A, B, each a series of its own\)/);
    expect(given('whole.csv', '--channels=3')).toMatch(
      /--channels 3: whole has 2 columns; 2 reads them together, 1 each/,
    );
    expect(given('whole.csv', '--split=60|20|10')).toMatch(/^training on/);
    expect(given('whole.csv', '--split=0.5|0.5|0.2')).toMatch(/--split .*add up to more than 1 \[2\]$/);
    expect(given('hole.csv')).toMatch(/hole\.csv:42: A is empty.* \[1\]$/);
    expect(given('gap.csv')).toMatch(
      /gap\.csv:31: 2016-07-02 06:00:00 comes 2 hours after .* 1 row is missing.* \[1\]$/,
    );
    expect(given('short.csv', '--horizon=9')).toMatch(
      /short has too few rows: its validation part has 4 rows, line 30 to line 33.* \[1\]$/,
    );
    expect(given('none.csv')).toMatch(/none\.csv.*\[1\]$/);
  }));

test.each([
  [['--split_qkv=False', '--dry_run'], /no muP rule.* \[2\]$/],
  [['--token_mixing_struct=multi_level_low_rank', '--dry_run'], /give --mlr_rank_list.* \[2\]$/],
  [['--preset=tini'], /did you mean tiny\? \[2\]$/],
  [['--chanels=2'], /did you mean --channels\? \[2\]$/],
  [
    [
      '--block_size=10',
      '--token_mixing_struct=multi_level_low_rank',
      '--mlr_rank_list=4|4',
      '--mlr_block_size_list=10|4',
      '--dry_run',
    ],
    /10.*4(.|\n)* \[1\]$/,
  ],
] as const)('%j', (words, message) => {
  expect(series(...small, ...words)).toMatch(message);
});
