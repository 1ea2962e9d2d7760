/**
 * The training loop: one submission a step, nothing awaited but the pace; metrics, evaluations, checkpoints and plots as they
 * fall due. What a step computes is entirely in its program (training-step.ts), what is trained in its task (task.ts).
 *
 * The trap: values that are read back arrive some steps later. So a record is made of the step at which it was asked for, and a
 * divergence is noticed late; the state has stopped at the right step by itself (adamw.ts).
 */
import { DivergedError, InterruptedError } from '../../compiler/command-line/errors.ts';
import { availableBytes } from '../../runtime/device-memory.ts';
import { bestCheckpointPath, saveCheckpoint, writeCheckpoint } from '../runs/checkpoint.ts';
import { diskFailure, refuseWithoutDisk } from '../runs/disk-room.ts';
import type { RunFolder } from '../runs/folder.ts';
import type { EvaluationRecord, TrainRecord } from '../runs/metrics.ts';
import { openRecord } from '../runs/record.ts';
import { packArena } from './arena.ts';
import { createLog, DivergedAt } from './log.ts';
import type { Progress } from './progress.ts';
import { refuseWithoutMemory } from './room.ts';
import type { SignalRequests } from './signals.ts';
import type { SharedState } from './state.ts';
import { type CompiledTask, type Phase, phaseAt, type Task } from './task.ts';

export interface TrainingIo {
  readonly folder: RunFolder;
  readonly progress: Progress;
  /** Asked before every step. */
  readonly signals: Omit<SignalRequests, 'stop'>;
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
>(task: Task<P, C, R, E>, { folder, progress, signals }: TrainingIo): Promise<TrainingResult<E>> {
  const { steps, phases } = task;
  await refuseWithoutMemory(task.demand, task.opened, (bytes) => availableBytes(task.opened, bytes));
  let phase = phases[0];
  const { compiled: first, state } = await task.compile(phase, undefined);
  refuseWithoutDisk(task, first.arena, folder);
  let compiled = first;
  let next: { readonly phase: P; readonly made: Promise<C> } | undefined;
  const enter = (begun: P) => {
    phase = begun;
    compiled.enter(phase);
    const begins = task.begun(phase);
    if (begins !== undefined) record.append(begins);
  };
  state.executor.upload('params', packArena(compiled.arena, task.initialValue));
  const record = openRecord(folder);
  enter(phase);

  const log = createLog(task, { record, progress });
  let lastPlotMs = performance.now();
  let best = Number.POSITIVE_INFINITY;
  const takeState = async (done: number) => {
    const found = await state.executor.download('params', 'm', 'v');
    const [params, m, v] = ['params', 'm', 'v'].map((name) => found.get(name) as Float32Array);
    return { step: done, params, m, v };
  };
  const save = async (done: number) =>
    writeCheckpoint(folder.checkpointsPath, compiled.arena, await takeState(done), task.keepEverySteps);
  const saveIfAsked = async (done: number) => {
    if (signals.takeCheckpointAsked()) progress.say(`checkpoint as asked: ${await save(done)}`);
  };
  const evaluate = async (done: number): Promise<E> => {
    const found = await task.evaluate(compiled, phase, done);
    record.append(found);
    const { saveAtEvaluation: saves } = task;
    if (saves !== 'never' && found.loss < best) {
      saveCheckpoint(bestCheckpointPath(folder.checkpointsPath), compiled.arena, await takeState(done));
    }
    if (saves === 'always') await save(done);
    best = Math.min(best, found.loss);
    return found;
  };

  let step = 0;
  try {
    for (; step < steps; step += 1) {
      if (signals.endAsked()) break;
      log.check();
      await saveIfAsked(step);
      const due = phaseAt(phases, step);
      if (due !== phase) {
        if (!task.sameShape(due, phase)) {
          await log.finish();
          const isReady = next !== undefined && task.sameShape(next.phase, due);
          const made = isReady ? await next?.made : (await task.compile(due, state)).compiled;
          compiled.destroy();
          compiled = made as C;
          next = undefined;
        }
        enter(due);
      }
      const isLogged = step === 0 || step + 1 === steps || (step + 1) % task.logEverySteps === 0;
      if (isLogged) log.ask(compiled.runAndRead(step), phase, step);
      else compiled.run(step);
      await compiled.pace();
      const done = step + 1;
      if (done % task.evaluateEverySteps === 0 && done < steps) {
        // It may take longer than a scheduler waits between its signal and the kill; the state stays as it is meanwhile.
        const evaluating = evaluate(done);
        await Promise.race([evaluating, signals.asked()]);
        await Promise.all([evaluating, signals.endAsked() ? save(done) : saveIfAsked(done)]);
        if (performance.now() - lastPlotMs > plotEveryMs) {
          await task.plot(folder);
          lastPlotMs = performance.now();
        }
      }
      if (task.saveEverySteps !== undefined && done % task.saveEverySteps === 0 && done < steps) await save(done);
      next ??= prepareNext(task, step, phase, state);
    }
    await log.finish();
    await save(step);
    if (step < steps) {
      progress.end();
      await task.plot(folder);
      throw new InterruptedError(`interrupted after step ${step}; its checkpoint is in ${folder.checkpointsPath}`);
    }
    const evaluation = await evaluate(step);
    // The last step's gradients may have been the first that are not finite, and no step after it tells.
    if (!Number.isFinite(evaluation.loss)) throw new DivergedAt(step - 1);
    progress.end();
    await task.plot(folder);
    return { steps, evaluation };
  } catch (error) {
    progress.end();
    if (!(error instanceof DivergedAt)) throw diskFailure(error, folder);
    const tensor = error.reason === undefined ? await compiled.firstNonFinite(error.step, phase) : undefined;
    const found = tensor === undefined ? 'a gradient is not finite there' : `${tensor} is not finite there`;
    const whose = tensor === undefined || tensor === 'loss' ? '' : ', the first tensor that is not';
    throw new DivergedError(
      `training diverged at step ${error.step + 1}: ${error.reason ?? `${found}${whose}`}; ${task.remedy}`,
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
