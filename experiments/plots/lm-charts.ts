/** The chart of a language model: loss over tokens, of training and of both parts, beside what counting characters gives. */
import type { TopLevelSpec } from 'vega-lite';
import { isLmEvaluation, isLmTrain, type MetricsRecord } from '../runs/metrics.ts';
import { type ChartTitle, chart, named, type SeriesStyle, smoothed, thinned, trainingStyles } from './chart.ts';

const series: readonly SeriesStyle[] = [
  ...trainingStyles,
  { name: 'held-out text', color: '#d94801', dash: [1, 0], width: 2.6, marked: true },
  { name: 'training text', color: '#3182bd', dash: [2, 2], width: 1.8 },
  { name: 'bigrams', color: '#238b45', dash: [6, 3], width: 2 },
  { name: 'guessing', color: '#636363', dash: [2, 2], width: 1.6 },
];

export interface LmLevels {
  /** Entropy of the held-out text's bigrams, nats a token. */
  readonly bigrams: number;
  readonly vocabulary: number;
}

export function lmLossChart(
  records: readonly MetricsRecord[],
  { bigrams, vocabulary }: LmLevels,
  title: ChartTitle,
): TopLevelSpec {
  const train = records.filter(isLmTrain).map(({ step, loss }) => ({ x: step, y: loss }));
  const evaluations = records.filter(isLmEvaluation);
  const last = Math.max(1, records.at(-1)?.step ?? 1);
  const level = (y: number) => [
    { x: 0, y },
    { x: last, y },
  ];
  const points = [
    ...named('training', thinned(train)),
    ...named('training, smoothed', thinned(smoothed(train))),
    ...named(
      'training text',
      evaluations.map(({ step, trainLoss }) => ({ x: step, y: trainLoss })),
    ),
    ...named(
      'held-out text',
      evaluations.map(({ step, loss }) => ({ x: step, y: loss })),
    ),
    ...named('bigrams', level(bigrams)),
    ...named('guessing', level(Math.log(vocabulary))),
  ];
  const values = points.map(({ y }) => y).filter(Number.isFinite);
  return chart({
    points,
    series,
    axes: { x: 'training step', y: 'loss, nats a token' },
    title,
    x: { min: 0, max: last },
    y: { min: Math.min(...values) / 1.1, max: Math.max(...values) * 1.1 },
  });
}
