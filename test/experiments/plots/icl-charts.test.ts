import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { contextChart, lossChart, settingsChart } from '../../../experiments/plots/icl-charts.ts';
import { chartPng, chartSvg, renderChart } from '../../../experiments/plots/render.ts';
import type { EvaluationRecord, MetricsRecord } from '../../../experiments/runs/metrics.ts';

const baselines = {
  'least squares': [1, 0.75, 0.5, 0.25, 0, 0, 0, 0],
  '3 nearest neighbours': [1, 0.9, 0.8, 0.75, 0.72, 0.7, 0.68, 0.67],
  averaging: [1, 5, 2.5, 1.7, 1.25, 1, 0.83, 0.71],
  zero: [1, 1, 1, 1, 1, 1, 1, 1],
};
const evaluation: EvaluationRecord = {
  kind: 'evaluation',
  step: 400,
  loss: 0.4,
  pointwise: [1, 0.8, 0.6, 0.3, 0.1, 0.05, 0.04, 0.03],
  dims: 4,
  points: 8,
  prompts: 64,
  baselines,
};
const records: MetricsRecord[] = [
  { kind: 'stage', step: 0, dims: 4, points: 8, baselines },
  ...Array.from({ length: 400 }, (_, i) => ({
    kind: 'train' as const,
    step: i + 1,
    loss: 0.2 + Math.exp(-i / 90) * (1 + 0.2 * Math.sin(i * 12.9)),
    pointwise: [1, 0.5],
    dims: 4,
    points: 8,
    lr: 1e-3,
    stepsPerSecond: 30,
    timeS: i,
  })),
  evaluation,
];
const title = { title: 'In-context regression, bilinear_BTT', subtitle: '4 dimensions, d_model 16, 2 layers' };

describe('charts', () => {
  test('the loss chart names its axes and every series', async () => {
    const svg = await chartSvg(lossChart(records, title));
    for (const text of ['training step', 'mean squared error', 'least squares', 'averaging', 'held-out', title.title]) {
      expect(svg).toContain(text);
    }
    expect(svg).not.toMatch(/NaN|Infinity/);
  });

  test('the context chart survives an error of exactly zero', async () => {
    const svg = await chartSvg(contextChart(evaluation, title));
    expect(svg).toContain('points already in the context');
    expect(svg).not.toMatch(/NaN|Infinity/);
  });

  test('bands lie behind the lines; a baseline beyond the picture is left out, and the PNG is drawn', async () => {
    const far = { ...baselines, 'least squares': baselines.zero.map(() => 4e5) };
    const intervals = {
      model: { low: evaluation.pointwise.map((y) => 0.9 * y), high: evaluation.pointwise.map((y) => 1.1 * y) },
      averaging: { low: far.zero.map(() => 0), high: far.zero.map(() => 1e9) },
    };
    const svg = await chartSvg(contextChart({ ...evaluation, baselines: far, intervals }, title));
    expect(svg.match(/area mark/g)?.length ?? 0).toBeGreaterThan(0);
    expect(svg).not.toContain('least squares');
    expect(svg).not.toMatch(/NaN|Infinity/);
    expect(chartPng(svg).length).toBeGreaterThan(1000);
  });

  test('every setting is a panel, in its own extent, over one legend', async () => {
    const flat = (y: number) => ({ mean: [y, y, y], low: [0.9 * y, y, y], high: [1.1 * y, y, y] });
    const setting = (name: string, y: number) => ({
      setting: name,
      checkpoint: 'x',
      points: 3,
      prompts: 8,
      model: flat(y),
      baselines: { zero: flat(2 * y), ridge: flat(0) },
    });
    const svg = await chartSvg(settingsChart([setting('standard', 1), setting('scale-y=3', 9)], title));
    for (const text of ['standard', 'scale-y=3', 'points in context', 'squared error']) expect(svg).toContain(text);
    expect(svg.match(/>zero</g)?.length).toBe(1);
    expect(svg).not.toContain('ridge');
    expect(svg).not.toMatch(/NaN|Infinity/);
    expect(chartPng(svg).length).toBeGreaterThan(1000);
  });

  test('of signs the loss is a cross-entropy beside guessing, the error a part that is wrong', async () => {
    expect(await chartSvg(lossChart(records, title, 'signs'))).toMatch(/cross-entropy[\s\S]*guessing/);
    expect(await chartSvg(contextChart(evaluation, title, 'signs'))).toContain('that are wrong');
  });

  test('text is drawn in the PNG: without it the picture is another', async () => {
    const svg = await chartSvg(contextChart(evaluation, title));
    const bare = svg.replaceAll(/<text[^>]*>[^<]*<\/text>/g, '');
    expect(chartPng(svg).length).toBeGreaterThan(chartPng(bare).length * 1.2);
  });

  test('both files are written', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mlbtc-plots-'));
    await renderChart(lossChart(records, title), folder, 'loss');
    expect(readFileSync(join(folder, 'loss.svg'), 'utf8')).toMatch(/^<svg/);
    expect([...readFileSync(join(folder, 'loss.png')).subarray(1, 4)]).toEqual([...Buffer.from('PNG')]);
    if (process.env.KEEP_PLOTS) {
      await renderChart(lossChart(records, title), process.env.KEEP_PLOTS, 'loss');
      await renderChart(contextChart(evaluation, title), process.env.KEEP_PLOTS, 'context');
    }
  });
});
