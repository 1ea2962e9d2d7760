/**
 * The training loop: one submission a step, nothing awaited but the pace; metrics, evaluations, checkpoints and plots as they
 * fall due. What a step computes is entirely in its program (training-step.ts), what is trained in its task (task.ts).
 *
 * Between two steps things happen in one order: the checkpoint, the evaluation, the phase that begins. A run that goes on from a
 * checkpoint begins there, so that its record is that of a run which never stopped.
 *
 * The trap: values that are read back arrive some steps later. So a record is made of the step at which it was asked for, and a
 * divergence is noticed late; the state has stopped at the right step by itself (adamw.ts), and no checkpoint is made of it.
 */
import { DivergedError, InterruptedError } from '../../compiler/command-line/errors.ts';
import { availableBytes } from '../../runtime/device-memory.ts';
import { staged, stagedAsync } from '../../runtime/stages.ts';
import {
  bestCheckpointPath,
  type Checkpoint,
  checkpointPath,
  packCheckpoint,
  saveCheckpoint,
  type TrainingState,
  writeCheckpoint,
} from '../runs/checkpoint.ts';
import { diskFailure, refuseWithoutDisk } from '../runs/disk-room.ts';
import type { RunFolder } from '../runs/folder.ts';
import { cutMetrics, type EvaluationRecord, syncMetrics, type TrainRecord } from '../runs/metrics.ts';
import { openRecord } from '../runs/record.ts';
import { decisionsOf } from './decisions.ts';
import type { NonFinite } from './inspect.ts';
import { differingKernel, kernelChoices } from './kernel-choices.ts';
import { createLog, DivergedAt } from './log.ts';
import { pinChoices } from './plans.ts';
import type { Profiler } from './profile.ts';
import type { Progress } from './progress.ts';
import { refuseWithoutMemory } from './room.ts';
import type { SignalRequests } from './signals.ts';
import { downloadState, newState, readDivergence, type SharedState, uploadState } from './state.ts';
import { type CompiledTask, type Phase, phaseAt, type Task } from './task.ts';

export interface TrainingIo {
  readonly folder: RunFolder;
  readonly progress: Progress;
  /** Asked before every step. */
  readonly signals: Omit<SignalRequests, 'stop'>;
  /** Where the run goes on; without it it begins. */
  readonly from?: Checkpoint | undefined;
  /** Throws where the run's folder is not this process's any more; asked before every checkpoint. */
  readonly checkClaim?: () => void;
  /** Looks at every step whether its numbers are finite, and tells more where they are not. */
  readonly debugNans?: boolean;
  /** Takes the kernels of some steps. */
  readonly profiler?: Profiler | undefined;
}

export interface TrainingResult<E extends EvaluationRecord> {
  readonly steps: number;
  readonly evaluation: E;
}

/** Plots are drawn at evaluations, but no more often than this. */
const plotEveryMs = 30_000;

/** Trains to the end. Throws InterruptedError after a checkpoint, DivergedError naming step and tensor. */
export async function train<
  P extends Phase,
  C extends CompiledTask<P>,
  R extends TrainRecord,
  E extends EvaluationRecord,
>(
  task: Task<P, C, R, E>,
  { folder, progress, signals, from, checkClaim, debugNans = false, profiler }: TrainingIo,
): Promise<TrainingResult<E>> {
  const { steps, phases } = task;
  // Before anything is planned.
  if (from?.decisions !== undefined) pinChoices(task.opened.target, from.decisions);
  await refuseWithoutMemory(task.demand, task.opened, (bytes) => availableBytes(task.opened, bytes));
  const begin = from?.step ?? 0;
  // The phase that begins where the run goes on is entered there.
  let phase = phaseAt(phases, Math.max(0, begin - 1));
  const { compiled: first, state } = await task.compile(phase, undefined);
  refuseWithoutDisk(task, first.arena, folder);
  let compiled = first;
  let next: { readonly phase: P; readonly made: Promise<C> } | undefined;
  uploadState(state, from === undefined ? newState(first.arena, task.initialValue) : packCheckpoint(from, first.arena));
  const note = from === undefined ? undefined : kernelNote(from, first);
  if (note !== undefined) progress.say(note);
  const before = cutMetrics(folder.metricsPath, begin);
  const record = openRecord(folder, begin);
  const log = createLog(task, { record, progress, begin, before });

  const enter = (begun: P) => {
    phase = begun;
    compiled.enter(phase);
    const begins = task.begun(phase);
    if (begins !== undefined) log.append(begins);
  };
  if (begin === 0) enter(phase);
  else compiled.enter(phase);

  let lastPlotMs = performance.now();
  let best = from?.best;
  let savedAt: number | undefined;
  const takeState = async (done: number): Promise<TrainingState> => {
    const { diverged, ...tensors } = await downloadState(state);
    if (diverged !== 0) throw new DivergedAt(diverged - 1);
    // What the record says of the steps before a checkpoint is on the disk before it is.
    await log.finish();
    syncMetrics(folder.metricsPath);
    checkClaim?.();
    const { plans } = compiled;
    const standing = { step: done, phase: phase.step, best };
    return { ...standing, choices: kernelChoices(plans), decisions: decisionsOf(plans), ...tensors };
  };
  const plot = () => stagedAsync('draw plots', () => task.plot(folder));
  const save = async (done: number): Promise<void> => {
    if (savedAt === done) return;
    const taken = await takeState(done);
    staged('write checkpoint', () =>
      writeCheckpoint(folder.checkpointsPath, compiled.arena, taken, task.keepEverySteps),
    );
    savedAt = done;
  };
  const saveIfAsked = async (done: number) => {
    if (!signals.takeCheckpointAsked()) return;
    await save(done);
    progress.say(`checkpoint as asked: ${checkpointPath(folder.checkpointsPath, done)}`);
  };
  const evaluate = async (done: number): Promise<E> => {
    const found = await stagedAsync('evaluate', () => task.evaluate(compiled, phase, done));
    if (!Number.isFinite(found.loss)) {
      const diverged = await readDivergence(state);
      if (diverged !== 0) throw new DivergedAt(diverged - 1);
      throw new DivergedAt(done - 1, `the loss on what is held out is ${found.loss}, with params that are finite`);
    }
    if (task.keepsBest && (best === undefined || found.loss < best)) {
      saveCheckpoint(bestCheckpointPath(folder.checkpointsPath), compiled.arena, await takeState(done));
    }
    log.append(found);
    return found;
  };
  const evaluateBetween = async (done: number) => {
    // It may take longer than a scheduler waits between its signal and the kill; the state stays as it is meanwhile.
    const evaluating = evaluate(done);
    await Promise.race([evaluating, signals.asked()]);
    const [{ loss }] = await Promise.all([evaluating, signals.endAsked() ? save(done) : saveIfAsked(done)]);
    best = Math.min(best ?? loss, loss);
    if (performance.now() - lastPlotMs > plotEveryMs) {
      await log.finish();
      await plot();
      lastPlotMs = performance.now();
    }
  };
  const goTo = async (due: P) => {
    if (!task.sameShape(due, phase)) {
      await log.finish();
      const isReady = next !== undefined && task.sameShape(next.phase, due);
      const made = isReady ? await next?.made : (await task.compile(due, state)).compiled;
      compiled.destroy();
      compiled = made as C;
      next = undefined;
    }
    enter(due);
  };

  let step = begin;
  try {
    for (; step < steps; step += 1) {
      if (signals.endAsked()) break;
      log.check();
      await saveIfAsked(step);
      if (step > begin && step % task.saveEverySteps === 0) await save(step);
      if (step > 0 && step % task.evaluateEverySteps === 0) {
        await evaluateBetween(step);
        if (signals.endAsked()) break;
      }
      const due = phaseAt(phases, step);
      if (due !== phase) await goTo(due);
      const isLogged = step === 0 || step + 1 === steps || (step + 1) % task.logEverySteps === 0;
      if (profiler?.wants(step)) {
        const startMs = performance.now();
        const { kernels, reading } = await compiled.profile(step);
        profiler.take({ step, startMs, kernels });
        if (isLogged) log.ask(Promise.resolve(reading), phase, step);
      } else if (isLogged) log.ask(compiled.runAndRead(step), phase, step);
      else if (debugNans) log.watch(compiled.runAndRead(step));
      else compiled.run(step);
      await compiled.pace();
      next ??= prepareNext(task, step, phase, state);
    }
    await save(step);
    if (step < steps) {
      progress.end();
      if (step > 0) await plot();
      throw new InterruptedError(
        `interrupted after step ${step}; its checkpoint is in ${folder.checkpointsPath}; \`mlbtc resume ${folder.path}\` goes on`,
      );
    }
    const evaluation = await evaluate(step);
    await log.finish();
    progress.end();
    await plot();
    return { steps, evaluation };
  } catch (error) {
    progress.end();
    if (!(error instanceof DivergedAt)) throw diskFailure(error, folder);
    throw await divergence(error, task, debugNans, () =>
      compiled.firstNonFinite(error.step, phaseAt(phases, error.step)),
    );
  } finally {
    record.close();
    compiled.destroy();
    next?.made.then(
      (unused) => unused.destroy(),
      () => undefined,
    );
    state.executor.destroy();
  }
}

/** Starts compiling the next shape shortly before it is due. */
function prepareNext<P extends Phase, C extends CompiledTask<P>>(
  task: Pick<Task<P, C, TrainRecord, EvaluationRecord>, 'phases' | 'sameShape' | 'compile' | 'compileAheadSteps'>,
  step: number,
  current: P,
  state: SharedState,
): { readonly phase: P; readonly made: Promise<C> } | undefined {
  const phase = task.phases.find((later) => later.step > step && !task.sameShape(later, current));
  if (phase === undefined || phase.step - step > task.compileAheadSteps) return undefined;
  const made = task.compile(phase, state).then(({ compiled }) => compiled);
  // Whoever awaits it hears of a failure; until then it must not end the process.
  made.catch(() => undefined);
  return { phase, made };
}

/** What a person is told: the step, the first tensor that is not finite, and where that is asked for how it came to be so. */
async function divergence(
  { step, reason }: DivergedAt,
  { remedy }: { readonly remedy: string },
  isDetailed: boolean,
  firstNonFinite: () => Promise<NonFinite | undefined>,
): Promise<DivergedError> {
  const at = `training diverged at step ${step + 1}`;
  if (reason !== undefined) return new DivergedError(`${at}: ${reason}; ${remedy}`);
  const found = await firstNonFinite();
  if (found === undefined)
    return new DivergedError(
      `${at}: the loss or the norm of its gradients is not finite, though each tensor by itself is; ${remedy}`,
    );
  const { name, lines } = found;
  const whose = name === 'loss' ? '' : ', the first tensor that is not';
  const more = isDetailed ? lines.map((line) => `\n  ${line}`).join('') : '; --debug_nans says which values made it so';
  return new DivergedError(`${at}: ${name} is not finite there${whose}; ${remedy}${more}`);
}

/** A note where a run does not go on with the kernels that it stopped with. */
function kernelNote({ choices }: Checkpoint, { plans }: Pick<CompiledTask<Phase>, 'plans'>): string | undefined {
  const difference = differingKernel(choices, kernelChoices(plans));
  if (difference === undefined) return undefined;
  return `note: ${difference}: from here on the run is not, bit for bit, what it would have been`;
}
