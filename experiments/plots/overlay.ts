/**
 * `mlbtc plot RUN RUN…`: runs of one kind in the same charts, as SVG and PNG, and as a page. What is drawn comes from their folders alone.
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { TopLevelSpec } from 'vega-lite';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { differingOptions } from '../runs/differing-options.ts';
import { scoreName } from '../runs/folder.ts';
import { isIclEvaluation } from '../runs/metrics.ts';
import { summarise } from '../runs/run-summary.ts';
import { summaryCells } from '../runs/runs-text.ts';
import { readRun, type StoredRun } from '../runs/stored-run.ts';
import { type Abscissa, abscissae, curvesOver } from './curves.ts';
import { runLabels } from './labels.ts';
import { type Measure, measureOf } from './measure.ts';
import { type Drawing, errorsByPoint, learningCurves, lossByCompute } from './overlay-charts.ts';
import { pageOf } from './page.ts';
import { chartSvg, renderChart } from './render.ts';

export interface OverlaySettings {
  /** Folder of the pictures. */
  readonly out: string;
  readonly abscissa: Abscissa;
  readonly smoothing: number;
  /** Undefined: y alone, and both where loss is held against compute. */
  readonly scales: Drawing['scales'] | undefined;
  /** Options that runs are called by; none: their folders. */
  readonly label: readonly string[];
  /** File of the page. */
  readonly html: string | undefined;
}

export interface Overlay {
  readonly files: readonly string[];
  /** What a person should hear. */
  readonly notes: readonly string[];
}

interface Shown {
  readonly label: string;
  readonly run: StoredRun;
}

/** Draws runs of one kind over one another. Throws UserError where they cannot be compared, or have nothing to draw. */
export async function plotRuns(paths: readonly string[], settings: OverlaySettings): Promise<Overlay> {
  const runs = paths.map(readRun);
  const measures = runs.map(measureOf);
  const [measure] = measures;
  const other = measures.findIndex(({ loss }) => loss !== measure.loss);
  if (other >= 0) {
    throw new UserError(
      `losses of different kinds are not compared: of ${paths[0]} it is ${measure.loss}, of ${paths[other]} ` +
        `${measures[other].loss}; plot each kind by itself`,
    );
  }
  checkLabel(runs, settings.label);
  const labels = runLabels(
    runs.map(({ folder, options }) => ({ path: folder.path, options })),
    settings.label,
  );
  const shown = runs.map((run, i) => ({ label: labels[i], run }));
  const drawing = { smoothing: settings.smoothing, scales: settings.scales ?? ({ x: 'linear', y: 'log' } as const) };
  const curves = curvesChart(shown, settings.abscissa, measure, drawing);
  if (curves === undefined) {
    const what = runs.some(({ records }) => records.length > 0) ? `says its ${settings.abscissa}` : 'has a step yet';
    throw new UserError(`nothing to draw: none of ${paths.join(', ')} ${what}`);
  }
  const byPoint = pointChart(shown, measure, drawing);
  const byCompute = computeChart(shown, measure, settings.scales ?? { x: 'log', y: 'log' });
  makeFolder(settings.out);
  const files: string[] = [];
  const draw = async (spec: TopLevelSpec | undefined, name: string) => {
    if (spec === undefined) return;
    await renderChart(spec, settings.out, name);
    files.push(join(settings.out, `${name}.svg`), join(settings.out, `${name}.png`));
  };
  await draw(curves.spec, 'learning-curves');
  await draw(byPoint, 'error-by-point');
  await draw(byCompute, 'loss-by-compute');
  if (settings.html !== undefined) {
    const page = await pageText(shown, measure, drawing, { first: settings.abscissa, byPoint, byCompute });
    writeFileAtomically(settings.html, [page]);
    files.push(settings.html);
  }
  const left = curves.without.map((label) => `note: ${label} does not say its ${settings.abscissa} and is left out`);
  return { files, notes: [...left, ...subjectNotes(runs, measures)] };
}

function curvesChart(
  shown: readonly Shown[],
  abscissa: Abscissa,
  title: Measure,
  drawing: Drawing,
): { readonly spec: TopLevelSpec; readonly without: readonly string[] } | undefined {
  const all = shown.map(({ label, run }) => ({
    label,
    curves: run.records.length === 0 ? undefined : curvesOver(run.records, abscissa),
  }));
  const drawn = all.flatMap(({ label, curves }) => (curves === undefined ? [] : [{ label, curves }]));
  const without = all.filter(({ curves }) => curves === undefined).map(({ label }) => label);
  return drawn.length === 0 ? undefined : { spec: learningCurves(drawn, abscissa, title, drawing), without };
}

function pointChart(shown: readonly Shown[], { error }: Measure, { scales }: Drawing): TopLevelSpec | undefined {
  const drawn = shown.flatMap(({ label, run }) => {
    const evaluation = run.records.filter(isIclEvaluation).at(-1);
    return evaluation === undefined ? [] : [{ label, evaluation }];
  });
  return drawn.length === 0 ? undefined : errorsByPoint(drawn, error, scales.y);
}

function computeChart(shown: readonly Shown[], { loss }: Measure, scales: Drawing['scales']): TopLevelSpec | undefined {
  const points = shown.flatMap(({ run }) => {
    const { flops, bestLoss } = summarise(run);
    return flops === null || bestLoss === null ? [] : [{ x: flops, y: bestLoss, score: scoreOfRun(run) }];
  });
  return points.length === 0 ? undefined : lossByCompute(points, loss, scales);
}

function scoreOfRun({ options: { structure, token_mixing_struct } }: StoredRun): string {
  return scoreName({
    options: {
      structure: typeof structure === 'string' ? structure : null,
      token_mixing_struct: typeof token_mixing_struct === 'string' ? token_mixing_struct : null,
    },
  });
}

async function pageText(
  shown: readonly Shown[],
  title: Measure,
  drawing: Drawing,
  {
    first,
    byPoint,
    byCompute,
  }: { first: Abscissa; byPoint: TopLevelSpec | undefined; byCompute: TopLevelSpec | undefined },
): Promise<string> {
  const order = [first, ...abscissae.filter((abscissa) => abscissa !== first)];
  const curves = order.flatMap((abscissa) => {
    const spec = curvesChart(shown, abscissa, title, drawing)?.spec;
    return spec === undefined ? [] : [{ choice: choices[abscissa], alt: `losses over ${choices[abscissa]}`, spec }];
  });
  const groups = [
    { heading: 'Learning curves', specs: curves },
    ...(byPoint === undefined
      ? []
      : [{ heading: 'Error by point in context', specs: [{ choice: '', alt: 'errors by point', spec: byPoint }] }]),
    ...(byCompute === undefined
      ? []
      : [{ heading: 'Loss against compute', specs: [{ choice: '', alt: 'loss by compute', spec: byCompute }] }]),
  ];
  const differs = differingOptions(shown.map(({ run }) => run));
  return pageOf({
    title: title.title,
    groups: await Promise.all(
      groups.map(async ({ heading, specs }) => ({
        heading,
        pictures: await Promise.all(
          specs.map(async ({ choice, alt, spec }) => ({ choice, alt, svg: await chartSvg(spec) })),
        ),
      })),
    ),
    runs: shown.map(({ label, run }, i) => ({
      label,
      cells: { ...summaryCells(summarise(run)), ...differs[i] },
      config: readFileSync(run.folder.configPath, 'utf8'),
    })),
  });
}

const choices: Readonly<Record<Abscissa, string>> = {
  step: 'steps',
  time: 'time',
  tokens: 'tokens',
  flops: 'floating-point operations',
};

function checkLabel(runs: readonly StoredRun[], label: readonly string[]): void {
  const known = new Set(runs.flatMap(({ options }) => Object.keys(options)));
  for (const name of label) {
    if (known.has(name)) continue;
    const near = closest(name, known);
    throw new UsageError(
      `--label ${name}: no option of these runs${near === undefined ? '' : `; did you mean ${near}?`}`,
    );
  }
}

function subjectNotes(runs: readonly StoredRun[], measures: readonly Measure[]): readonly string[] {
  const subjects = measures.map(({ subject }) => subject);
  if (new Set(subjects).size === 1) return [];
  const told = runs.map(({ folder }, i) => `${basename(folder.path)}: ${subjects[i]}`);
  return [`note: these runs learn different things, so their losses are no contest (${told.join('; ')})`];
}
