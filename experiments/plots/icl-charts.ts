/** The charts of learning in context: loss over steps, error over points in context, baselines in both. */
import type { TopLevelSpec } from 'vega-lite';
import type { SettingRecord } from '../runs/icl-run.ts';
import {
  type IclEvaluationRecord,
  isIclEvaluation,
  isIclTrain,
  type MetricsRecord,
  type StageRecord,
} from '../runs/metrics.ts';
import type { AnswerKind, BaselineName } from '../tasks/baselines.ts';
import {
  type ChartBand,
  type ChartPoint,
  type ChartTitle,
  chart,
  type Extent,
  mean,
  named,
  panels,
  type SeriesStyle,
  smoothed,
  thinned,
  trainingStyles,
} from './chart.ts';

const modelName = 'held-out prompts';
const guessingName = 'guessing';

/** The lasso's from strong to weak; one hue, light to dark. */
const lassoStyle = (color: string) => ({ color, dash: [5, 2], width: 1.5 });
const baselineStyles: Readonly<Record<BaselineName, Omit<SeriesStyle, 'name'>>> = {
  ridge: { color: '#00441b', dash: [8, 3], width: 2 },
  'least squares': { color: '#238b45', dash: [6, 3], width: 2 },
  'lasso (α = 1)': lassoStyle('#fbb4d9'),
  'lasso (α = 0.1)': lassoStyle('#f768a1'),
  'lasso (α = 0.01)': lassoStyle('#dd3497'),
  'lasso (α = 0.001)': lassoStyle('#ae017e'),
  'lasso (α = 0.0001)': lassoStyle('#7a0177'),
  'greedy tree of depth 4': { color: '#00838f', dash: [8, 3], width: 2 },
  'greedy tree': { color: '#4db6ac', dash: [3, 3], width: 2 },
  '3 nearest neighbours': { color: '#756bb1', dash: [4, 3], width: 2 },
  averaging: { color: '#8c6d31', dash: [2, 3], width: 2 },
  zero: { color: '#636363', dash: [2, 2], width: 1.6 },
};
const baselineNames = Object.keys(baselineStyles) as readonly BaselineName[];

/** The model's own lines are the strong ones. */
const series: readonly SeriesStyle[] = [
  ...trainingStyles,
  { name: modelName, color: '#d94801', dash: [1, 0], width: 2.6, marked: true },
  ...baselineNames.map((name) => ({ name, ...baselineStyles[name] })),
  { name: guessingName, color: '#636363', dash: [2, 2], width: 1.6 },
];

/** What a loss and an error are, as axes say it. */
export const quantities = {
  numbers: { loss: 'mean squared error', error: 'mean squared error of the next prediction', short: 'squared error' },
  signs: {
    loss: 'cross-entropy, nats an answer,',
    error: 'part of the next predictions that are wrong',
    short: 'part wrong',
  },
} as const satisfies Readonly<Record<AnswerKind, object>>;

export function lossChart(
  records: readonly MetricsRecord[],
  title: ChartTitle,
  answers: AnswerKind = 'numbers',
): TopLevelSpec {
  const train = records.filter(isIclTrain);
  const evaluations = records.filter(isIclEvaluation);
  const stages = records.filter((record): record is StageRecord => record.kind === 'stage');
  const lastStep = Math.max(1, records.at(-1)?.step ?? 1);
  const losses = train.map(({ step, loss }) => ({ x: step, y: loss }));
  const points: ChartPoint[] = [
    ...named('training', thinned(losses)),
    ...named('training, smoothed', thinned(smoothed(losses))),
    ...named(
      modelName,
      evaluations.map(({ step, loss }) => ({ x: step, y: loss })),
    ),
    ...(answers === 'numbers' ? stageLines(stages, lastStep) : guessingLine(lastStep)),
  ];
  const axes = { x: 'training step', y: `${quantities[answers].loss} over the context` };
  return chart({ points, series, axes, title, x: { min: 0, max: lastStep }, y: errorExtent(points) });
}

/** A baseline's mean error is a loss as long as both are squared errors. */
function stageLines(stages: readonly StageRecord[], lastStep: number): ChartPoint[] {
  return baselineNames.flatMap((name) =>
    stages.flatMap(({ step, baselines }, i) => {
      const until = stages[i + 1]?.step ?? lastStep;
      const y = mean(baselines[name] ?? []);
      return Number.isFinite(y)
        ? named(
            name,
            [step, until].map((x) => ({ x, y })),
          )
        : [];
    }),
  );
}

/** Either sign with the same probability. */
function guessingLine(lastStep: number): ChartPoint[] {
  return named(
    guessingName,
    [0, lastStep].map((x) => ({ x, y: Math.LN2 })),
  );
}

type ContextErrors = Pick<IclEvaluationRecord, 'pointwise' | 'baselines' | 'intervals' | 'points'>;

export function contextChart(
  evaluation: ContextErrors,
  title: ChartTitle,
  answers: AnswerKind = 'numbers',
): TopLevelSpec {
  const axes = { x: 'points already in the context', y: quantities[answers].error };
  return chart({ ...contextLines(evaluation), series, axes, title });
}

/** Errors over points in context under each setting, one small picture each. */
export function settingsChart(
  records: readonly SettingRecord[],
  title: ChartTitle,
  answers: AnswerKind = 'numbers',
): TopLevelSpec {
  const axes = { x: 'points in context', y: quantities[answers].short };
  const all = records.map(({ setting, points, model, baselines }) => {
    const means = Object.entries(baselines).map(([name, { mean }]) => [name, mean]);
    const errors = {
      points,
      pointwise: model.mean,
      baselines: Object.fromEntries(means),
      intervals: { model, ...baselines },
    };
    return { title: setting, ...contextLines(errors) };
  });
  return panels(all, { series, axes, title });
}

function contextLines({ pointwise, baselines, intervals = {}, points: count }: ContextErrors) {
  const curve = (values: readonly number[]) => values.map((y, p) => ({ x: p, y }));
  const band = (of: string, name: string): ChartBand[] => {
    const { low, high } = intervals[of] ?? { low: [], high: [] };
    return low.map((value, p) => ({ x: p, low: value, high: high[p], series: name }));
  };
  const points: ChartPoint[] = [
    ...named(modelName, curve(pointwise)),
    ...baselineNames.flatMap((name) => named(name, curve(baselines[name] ?? []))),
  ];
  const bands = [...band('model', modelName), ...baselineNames.flatMap((name) => band(name, name))];
  return { points, bands, x: { min: 0, max: count - 1 }, y: errorExtent(points) };
}

/** A baseline is drawn up to so many times the larger of the model's worst error and that of predicting nothing. */
const baselineRoom = 6;

/**
 * The model's own errors, all of them. A baseline may fall out of the picture, below, and above too: least squares does with as many
 * points as dimensions, where the answers are not linear.
 */
function errorExtent(points: readonly ChartPoint[]): Extent {
  const above = points.filter(({ y }) => y > 0);
  const heights = (keep: (name: string) => boolean) => above.filter(({ series: s }) => keep(s)).map(({ y }) => y);
  const own = heights((name) => !isBaseline(name));
  const all = Math.max(...heights(() => true), 0);
  const kept = Math.max(...own, ...heights((name) => name === 'zero'), 0);
  const max = kept > 0 ? Math.min(all, baselineRoom * kept) : all;
  return max > 0 ? { min: Math.min(...own, 0.3 * max) / 1.6, max: max * 1.25 } : { min: 0.1, max: 1 };
}

function isBaseline(name: string): boolean {
  return (baselineNames as readonly string[]).includes(name);
}
