/**
 * The curriculum of in-context regression: few dimensions and points at first, more at every interval (oracle, "ICL data and
 * curriculum").
 *
 * The trap: the ends clamp after every step, so a start beyond the end lasts exactly one step. Step numbers here count from 0,
 * and a change "after step k" is in force from step k on.
 */

export interface CurriculumSettings {
  readonly nDims: number;
  readonly trainSteps: number;
  readonly dimsStart: number;
  readonly pointsStart: number;
  readonly intervalSteps: number;
  /** Increments; undefined: chosen so that the end is reached within `warmupRatio` of the training. */
  readonly increments: { readonly dims: number; readonly points: number } | undefined;
  readonly warmupRatio: number;
}

/** In force from `step` on. */
export interface Stage {
  readonly step: number;
  readonly dims: number;
  readonly points: number;
}

export function curriculumStages(settings: CurriculumSettings): readonly Stage[] {
  const { nDims, trainSteps, intervalSteps, dimsStart, pointsStart } = settings;
  const increments = settings.increments ?? adaptiveIncrements(settings);
  const pointsEnd = 2 * nDims;
  const stages: Stage[] = [{ step: 0, dims: dimsStart, points: pointsStart }];
  const advance = (step: number, dims: number, points: number) => {
    const next = { step, dims: Math.min(dims, nDims), points: Math.min(points, pointsEnd) };
    const last = stages[stages.length - 1];
    if (step < trainSteps && (next.dims !== last.dims || next.points !== last.points)) stages.push(next);
  };
  // Interval 1 grows at the very first step; otherwise the first step only clamps.
  if (intervalSteps > 1) advance(1, dimsStart, pointsStart);
  for (let step = intervalSteps; step < trainSteps; step += intervalSteps) {
    const { dims, points } = stages[stages.length - 1];
    if (dims >= nDims && points >= pointsEnd) break;
    advance(step, dims + increments.dims, points + increments.points);
  }
  return stages;
}

/** So that the end is reached within the part of the training that `warmupRatio` says. */
export function adaptiveIncrements({
  nDims,
  trainSteps,
  dimsStart,
  intervalSteps,
  warmupRatio,
}: Omit<CurriculumSettings, 'increments'>) {
  const updates = Math.max(1, Math.floor((warmupRatio * trainSteps) / intervalSteps));
  const dims = Math.max(1, Math.ceil((nDims - dimsStart) / updates));
  return { dims, points: 2 * dims };
}
