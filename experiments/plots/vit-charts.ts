/** The charts of a vision transformer: loss and accuracy over steps, and which classes it takes for which. */
import type { TopLevelSpec } from 'vega-lite';
import { isVitEvaluation, isVitTrain, type MetricsRecord, type VitTestRecord } from '../runs/metrics.ts';
import { type ClassBaselines, classBaselineNames } from '../tasks/classification.ts';
import {
  type ChartTitle,
  chart,
  chartConfig,
  named,
  type SeriesStyle,
  smoothed,
  thinned,
  trainingStyles,
} from './chart.ts';

const heldOut: SeriesStyle = { name: 'validation', color: '#d94801', dash: [1, 0], width: 2.6, marked: true };
const seen: SeriesStyle = { name: 'training images', color: '#3182bd', dash: [2, 2], width: 1.8 };
const baselineStyles: Readonly<Record<keyof ClassBaselines, Omit<SeriesStyle, 'name'>>> = {
  'most common class': { color: '#636363', dash: [2, 2], width: 1.6 },
  'nearest mean': { color: '#238b45', dash: [6, 3], width: 2 },
};

export function vitLossChart(records: readonly MetricsRecord[], classes: number, title: ChartTitle): TopLevelSpec {
  const train = records.filter(isVitTrain).map(({ step, loss }) => ({ x: step, y: loss }));
  const evaluations = records.filter(isVitEvaluation);
  const last = lastStep(records);
  const points = [
    ...named('training', thinned(train)),
    ...named('training, smoothed', thinned(smoothed(train))),
    ...named(
      'training images',
      evaluations.map(({ step, trainLoss }) => ({ x: step, y: trainLoss })),
    ),
    ...named(
      'validation',
      evaluations.map(({ step, loss }) => ({ x: step, y: loss })),
    ),
    ...named('guessing', level(Math.log(classes), last)),
  ];
  const values = points.map(({ y }) => y).filter((y) => Number.isFinite(y) && y > 0);
  return chart({
    points,
    series: [...trainingStyles, heldOut, seen, { name: 'guessing', color: '#636363', dash: [2, 2], width: 1.6 }],
    axes: { x: 'training step', y: 'loss, nats an image' },
    title,
    x: { min: 0, max: last },
    y: { min: Math.min(...values) / 1.2, max: Math.max(...values) * 1.2 },
  });
}

export function accuracyChart(
  records: readonly MetricsRecord[],
  baselines: ClassBaselines,
  { title, subtitle }: ChartTitle,
): TopLevelSpec {
  const evaluations = records.filter(isVitEvaluation);
  const last = lastStep(records);
  const points = [
    ...named(
      'validation',
      evaluations.map(({ step, accuracy }) => ({ x: step, y: accuracy })),
    ),
    ...named(
      'training images',
      evaluations.map(({ step, trainAccuracy }) => ({ x: step, y: trainAccuracy })),
    ),
    ...classBaselineNames.flatMap((name) => named(name, level(baselines[name], last))),
  ];
  const bands = evaluations.map(({ step, interval }) => ({ x: step, ...interval, series: 'validation' }));
  const least = Math.min(...points.map(({ y }) => y), ...bands.map(({ low }) => low));
  return chart({
    points,
    bands,
    series: [heldOut, seen, ...classBaselineNames.map((name) => ({ name, ...baselineStyles[name] }))],
    axes: { x: 'training step', y: 'part that is right' },
    title: { title, subtitle: `${subtitle}; the band holds 90 %` },
    x: { min: 0, max: last },
    y: { min: Math.max(0, least - 0.05), max: 1 },
    scales: { x: 'linear', y: 'linear' },
  });
}

function level(y: number, last: number) {
  return [0, last].map((x) => ({ x, y }));
}

function lastStep(records: readonly MetricsRecord[]): number {
  return Math.max(1, ...records.map(({ step }) => step));
}

/** Above so many classes the cells are too small for numbers. */
const mostNumbered = 20;
const side = 460;

export function confusionChart(
  { confusion }: Pick<VitTestRecord, 'confusion'>,
  classes: readonly string[],
  title: ChartTitle,
): TopLevelSpec {
  const values = confusion.flatMap((row, label) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, taken) => ({
      label: classes[label],
      taken: classes[taken],
      count,
      part: total === 0 ? 0 : count / total,
    }));
  });
  const axis = { titleFontSize: 16, labelFontSize: 14, ticks: false, domain: false };
  const x = {
    field: 'taken',
    type: 'nominal' as const,
    sort: [...classes],
    axis: { ...axis, title: 'taken for', labelAngle: classes.some((name) => name.length > 2) ? -40 : 0 },
  };
  const y = { field: 'label', type: 'nominal' as const, sort: [...classes], axis: { ...axis, title: 'class' } };
  const cells = {
    mark: { type: 'rect' as const },
    encoding: {
      color: {
        field: 'part',
        type: 'quantitative' as const,
        scale: { domain: [0, 1], range: ['#f7f7f7', '#08306b'] },
        legend: { title: 'of its class', format: '.0%', orient: 'right' as const },
      },
    },
  };
  const numbers = {
    transform: [{ filter: 'datum.count > 0' }],
    mark: { type: 'text' as const, fontSize: 13 },
    encoding: {
      text: { field: 'count', type: 'quantitative' as const },
      color: { condition: { test: 'datum.part > 0.5', value: 'white' }, value: '#333' },
    },
  };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    padding: 16,
    background: 'white',
    title: { text: title.title, subtitle: title.subtitle, anchor: 'start', offset: 14 },
    width: side,
    height: side,
    data: { values },
    encoding: { x, y },
    layer: classes.length <= mostNumbered ? [cells, numbers] : [cells],
    config: chartConfig,
  };
}
