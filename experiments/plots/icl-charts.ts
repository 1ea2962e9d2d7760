/** The charts of in-context regression: loss over steps, error over points in context, baselines in both. */
import type { TopLevelSpec } from 'vega-lite';
import {
  type IclEvaluationRecord,
  isIclEvaluation,
  isIclTrain,
  type MetricsRecord,
  type StageRecord,
} from '../runs/metrics.ts';
import { baselineNames } from '../tasks/baselines.ts';
import {
  type ChartPoint,
  type ChartTitle,
  chart,
  type Extent,
  mean,
  named,
  type SeriesStyle,
  smoothed,
  thinned,
  trainingStyles,
} from './chart.ts';

/** The model's own lines are the strong ones. */
const series: readonly SeriesStyle[] = [
  ...trainingStyles,
  { name: 'held-out prompts', color: '#d94801', dash: [1, 0], width: 2.6, marked: true },
  { name: 'least squares', color: '#238b45', dash: [6, 3], width: 2 },
  { name: '3 nearest neighbours', color: '#756bb1', dash: [4, 3], width: 2 },
  { name: 'averaging', color: '#8c6d31', dash: [2, 3], width: 2 },
  { name: 'zero', color: '#636363', dash: [2, 2], width: 1.6 },
];

export function lossChart(records: readonly MetricsRecord[], title: ChartTitle): TopLevelSpec {
  const train = records.filter(isIclTrain);
  const evaluations = records.filter(isIclEvaluation);
  const stages = records.filter((record): record is StageRecord => record.kind === 'stage');
  const lastStep = Math.max(1, ...records.map(({ step }) => step));
  const losses = train.map(({ step, loss }) => ({ x: step, y: loss }));
  const points: ChartPoint[] = [
    ...named('training', thinned(losses)),
    ...named('training, smoothed', thinned(smoothed(losses))),
    ...named(
      'held-out prompts',
      evaluations.map(({ step, loss }) => ({ x: step, y: loss })),
    ),
  ];
  for (const name of baselineNames) {
    for (const [i, { step, baselines }] of stages.entries()) {
      const until = stages[i + 1]?.step ?? lastStep;
      const y = mean(baselines[name] ?? []);
      if (Number.isFinite(y)) points.push({ x: step, y, series: name }, { x: until, y, series: name });
    }
  }
  const axes = { x: 'training step', y: 'mean squared error over the context' };
  return chart({ points, series, axes, title, x: { min: 0, max: lastStep }, y: errorExtent(points) });
}

export function contextChart(evaluation: IclEvaluationRecord, title: ChartTitle): TopLevelSpec {
  const curve = (values: readonly number[]) => values.map((y, p) => ({ x: p, y }));
  const points: ChartPoint[] = [
    ...named('held-out prompts', curve(evaluation.pointwise)),
    ...baselineNames.flatMap((name) => named(name, curve(evaluation.baselines[name] ?? []))),
  ];
  const axes = { x: 'points already in the context', y: 'mean squared error of the next prediction' };
  return chart({ points, series, axes, title, x: { min: 0, max: evaluation.points - 1 }, y: errorExtent(points) });
}

/** The model's own errors, all of them; a baseline may fall out of the picture below. */
function errorExtent(points: readonly ChartPoint[]): Extent {
  const above = points.filter(({ y }) => y > 0);
  const own = above.filter((point) => !isBaseline(point.series)).map(({ y }) => y);
  return {
    min: Math.min(...(own.length > 0 ? own : [0.01]), 0.3) / 1.6,
    max: Math.max(...above.map(({ y }) => y), 1) * 1.25,
  };
}

function isBaseline(name: string): boolean {
  return (baselineNames as readonly string[]).includes(name);
}
