/** Several runs over one another: where their points lie, what they are called, and what cannot be compared. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { smoothed } from '../../../experiments/plots/chart.ts';
import { curvesOver } from '../../../experiments/plots/curves.ts';
import { runLabels } from '../../../experiments/plots/labels.ts';
import { type OverlaySettings, plotRuns } from '../../../experiments/plots/overlay.ts';
import { errorsByPoint, learningCurves } from '../../../experiments/plots/overlay-charts.ts';
import { chartSvg } from '../../../experiments/plots/render.ts';
import type { IclEvaluationRecord, MetricsRecord } from '../../../experiments/runs/metrics.ts';
import { writeFiles } from '../../support/command-line.ts';
import { inFolder } from '../../support/folder.ts';

const step = (step: number, loss: number, timeS: number, flops: number | null = step * 1e9) => ({
  ...{ kind: 'train' as const, step, loss, lr: 1e-3, stepsPerSecond: 1, timeS },
  ...{ tokens: 1000 * step, tokensPerSecond: 9, flopsPerSecond: null, flops },
});
const evaluation = (step: number, loss: number) => ({
  ...{ kind: 'evaluation' as const, step, loss, trainLoss: 2, perplexity: Math.exp(loss) },
  ...{ bitsPerCharacter: null, tokens: 64 },
});

describe('where a point lies', () => {
  const records: readonly MetricsRecord[] = [
    ...[evaluation(0, 5), step(1, 4, 10), step(11, 3, 20), evaluation(16, 2.5), step(21, 2, 40), evaluation(25, 2)],
  ];
  const xs = (abscissa: 'step' | 'time' | 'tokens' | 'flops') => {
    const { training, heldOut } = curvesOver(records, abscissa) ?? { training: [], heldOut: [] };
    return [training.map(({ x }) => x), heldOut.map(({ x }) => x)];
  };
  // An evaluation lies between the lines around it; after the last line nothing more is known.
  test('over time', () =>
    expect(xs('time')).toEqual([
      [10, 20, 40],
      [0, 30, 40],
    ]));
  test('over tokens', () =>
    expect(xs('tokens')).toEqual([
      [1000, 11_000, 21_000],
      [0, 16_000, 21_000],
    ]));
  test('over operations', () =>
    expect(xs('flops')).toEqual([
      [1e9, 11e9, 21e9],
      [0, 16e9, 21e9],
    ]));
  test('over steps', () => expect(xs('step')[0]).toEqual([1, 11, 21]));

  test('time goes on where a run went on', () => {
    const resumed = [step(1, 4, 10), step(2, 3, 20), step(3, 2, 5), step(4, 2, 8)];
    expect(curvesOver(resumed, 'time')?.training.map(({ x }) => x)).toEqual([10, 20, 25, 28]);
  });

  test('what a run does not say is not drawn', () => {
    expect(curvesOver([step(1, 4, 1, null)], 'flops')).toBeUndefined();
    expect(curvesOver([], 'tokens')).toBeUndefined();
  });
});

test('smoothing is the geometric mean of the neighbours, of any length at once', () => {
  const positive = fc.array(fc.double({ min: 1e-3, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(positive, fc.double({ min: 0, max: 1, noNaN: true }), (ys, part) => {
      const half = Math.floor((ys.length * part) / 2);
      for (const [i, { x, y }] of smoothed(
        ys.map((y, x) => ({ x, y })),
        part,
      ).entries()) {
        const near = ys.slice(Math.max(0, i - half), i + half + 1);
        const wanted = near.reduce((product, value) => product * value ** (1 / near.length), 1);
        expect(x).toBe(i);
        expect(Math.abs(y / wanted - 1)).toBeLessThan(1e-9);
      }
    }),
  );
  const long = Array.from({ length: 400_000 }, (_, x) => ({ x, y: 2 }));
  expect(smoothed(long, 0.5)[200_000].y).toBeCloseTo(2, 9);
  expect(
    smoothed(
      [
        { x: 0, y: Number.NaN },
        { x: 1, y: 3 },
      ],
      1,
    ),
  ).toEqual([{ x: 1, y: 3 }]);
});

describe('what runs are called', () => {
  const run = (path: string, options: Readonly<Record<string, unknown>> = {}) => ({ path, options });
  test.each([
    [['runs/a', 'runs/b/'], [], ['a', 'b']],
    [['x/lm', 'y/lm', 'z'], [], ['x/lm', 'y/lm', 'z']],
    [['a', 'a'], [], ['a 1', 'a 2']],
  ])('%j by %j', (paths, by, labels) =>
    expect(
      runLabels(
        paths.map((path) => run(path)),
        by,
      ),
    ).toEqual(labels),
  );

  test('by options, and by folders where these are alike', () => {
    const [low, btt] = [
      { token_mixing_struct: 'low_rank', d_model: 64 },
      { token_mixing_struct: 'bilinear_BTT', d_model: 64 },
    ];
    const runs = [run('runs/a', low), run('runs/b', low), run('runs/c', btt)];
    expect(runLabels(runs, ['token_mixing_struct', 'd_model'])).toEqual([
      'low_rank, d_model 64 (a)',
      'low_rank, d_model 64 (b)',
      'bilinear_BTT, d_model 64',
    ]);
  });
});

describe('a chart', () => {
  const curves = {
    training: [
      { x: 1, y: 2 },
      { x: 100, y: 1 },
    ],
    heldOut: [{ x: 100, y: 1.5 }],
  };
  const title = { title: 'Runs', loss: 'loss, nats' };
  const svgOf = (names: readonly string[], x: 'log' | 'linear', y: 'log' | 'linear') =>
    chartSvg(
      learningCurves(
        names.map((label) => ({ label, curves })),
        'time',
        title,
        { smoothing: 0.5, scales: { x, y } },
      ),
    );

  test.each([
    ['linear', 'log'],
    ['log', 'log'],
    ['log', 'linear'],
    ['linear', 'linear'],
  ] as const)('of a %s and a %s axis says its units and every run', async (x, y) => {
    const names = Array.from({ length: 9 }, (_, i) => `it's "run" <${i}>`);
    const svg = await svgOf(names, x, y);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    for (const text of ['loss, nats', 'time of training, seconds', 'dots: held-out data', ...names]) {
      expect(svg).toContain(text.replaceAll('<', '&lt;').replaceAll('>', '&gt;'));
    }
    // The runs alone are listed, not what else is drawn of each.
    expect(svg).not.toContain('>it\'s "run" &lt;0&gt;: training<');
  });

  const errors = (baselines: IclEvaluationRecord['baselines']): IclEvaluationRecord => ({
    ...{ kind: 'evaluation', step: 9, loss: 1, pointwise: [1, 0.5], dims: 1, points: 2, prompts: 8, baselines },
  });
  const byPoint = (...evaluations: readonly IclEvaluationRecord[]) => {
    const runs = evaluations.map((evaluation, i) => ({ label: `run ${i}`, evaluation }));
    return chartSvg(errorsByPoint(runs, 'error of the next', 'log'));
  };
  test('of errors by point has the baselines that all runs share', async () => {
    const [one, two] = [errors({ zero: [1, 1] }), errors({ zero: [2, 2] })];
    const same = await byPoint(one, one);
    expect(same).toContain('>zero<');
    expect(same).toContain('>error of the next<');
    const other = await byPoint(one, two);
    expect(other).not.toContain('>zero<');
    expect(other).toContain('their baselines differ');
  });

  test('of errors by point has a band where a run says how sure it is', async () => {
    const sure = { ...errors({}), intervals: { model: { low: [0.9, 0.4], high: [1.1, 0.6] } } };
    expect(await byPoint(sure, errors({}))).toMatch(/bands hold 90 % of the bootstrap/);
    expect(await byPoint(errors({}))).not.toMatch(/bootstrap/);
  });
});

const lines = (...records: readonly object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const lmRun = (name: string, config: string, text: string, ...records: readonly object[]) => ({
  [`${name}/config.yaml`]: `max_iters: 3\n${config}`,
  [`${name}/run.json`]: JSON.stringify({
    command: ['mlbtc', 'train', 'lm'],
    data: { name: text, tokenizer: 'bytes', vocabulary: 256, bigramEntropy: 2 },
  }),
  [`${name}/metrics.jsonl`]: lines(...records),
});
const files = {
  ...lmRun('a', 'd_model: 64\n', 'one', step(1, 4, 1), evaluation(1, 4.5), step(3, 3, 2), evaluation(3, 3.5)),
  ...lmRun('b', 'd_model: 128\n', 'one', step(1, 4, 1, null), step(3, 2, 2, null), evaluation(3, 2.5)),
  ...lmRun('other', '', 'another', step(1, 4, 1)),
  ...lmRun('empty', '', 'one'),
  'icl/config.yaml': 'n_dims: 2\nd_model: 8\nn_head: 2\n',
  'icl/run.json': '{"command":["mlbtc","train","icl"]}',
  'signs/config.yaml': 'n_dims: 2\nd_model: 8\nn_head: 2\ntraining_task: linear_classification\n',
  'signs/run.json': '{"command":["mlbtc","train","icl"]}',
};

describe('runs', () => {
  const plotted = (names: readonly string[], settings: Partial<OverlaySettings> = {}) =>
    inFolder(async (folder) => {
      writeFiles(folder, files);
      const usual = { abscissa: 'step', smoothing: 0.1, scales: undefined, label: [], html: undefined } as const;
      const given = { out: join(folder, 'out'), ...usual, ...settings };
      const html = settings.html === undefined ? undefined : join(folder, settings.html);
      const { notes } = await plotRuns(
        names.map((name) => join(folder, name)),
        { ...given, html },
      );
      const page = html === undefined || !existsSync(html) ? '' : readFileSync(html, 'utf8');
      return { notes, pictures: readdirSync(join(folder, 'out')).sort(), page };
    });

  test('are drawn; what one of them does not say is left out with a word', async () => {
    const both = await plotted(['a', 'b']);
    expect(both.notes).toEqual([]);
    expect(both.pictures).toEqual(
      ['learning-curves', 'loss-by-compute'].flatMap((name) => [`${name}.png`, `${name}.svg`]),
    );
    expect((await plotted(['a', 'b'], { abscissa: 'flops' })).notes).toEqual([
      'note: b does not say its flops and is left out',
    ]);
  });

  test('as one page: every axis, what differs, the options, and nothing from elsewhere', async () => {
    const { page } = await plotted(['a', 'b'], { html: 'page.html', abscissa: 'tokens' });
    expect(page.match(/<input /g)).toHaveLength(4);
    expect(page).toMatch(/id="g0p0" checked> tokens/);
    expect(page).toContain('<th>d_model</th>');
    expect(page).toContain('<td>128</td>');
    expect(page).toContain('max_iters: 3');
    expect(page).not.toMatch(/<script|src="(?!data:)|href=|@import|https?:/);
  });

  test('of different texts are drawn with a word', async () => {
    expect((await plotted(['a', 'other'])).notes).toEqual([
      'note: these runs learn different things, so their losses are no contest (a: one as bytes; other: another as bytes)',
    ]);
  });

  test.each([
    [
      ['a', 'icl'],
      {},
      /of .*a it is loss, nats a token, of .*icl mean squared error over the context; plot each kind by itself/,
    ],
    [['icl', 'signs'], {}, /it is mean squared error over the context, of .*signs cross-entropy/],
    [['empty'], {}, /nothing to draw: none of .*empty has a step yet/],
    [['b'], { abscissa: 'flops' as const }, /none of .*b says its flops/],
    [['a', 'nowhere'], {}, /nowhere holds no run/],
    [['a'], { label: ['d_modle'] }, /no option of these runs; did you mean d_model\?/],
  ])('%j with %j are refused', async (names, settings, message) => {
    await expect(plotted(names, settings)).rejects.toThrow(message);
  });
});
