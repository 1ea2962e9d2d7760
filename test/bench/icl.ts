/**
 * Step time of ICL training at the three sizes that are compared with other frameworks: batch 64, 6 layers, 8 heads, f32.
 *
 *   node dist/test/bench/icl.js [--device NAME] [--only PART] [--steps N] [--profile N]
 *
 * `stepMs` is the mean over pipelined steps as training runs them, `waitedMs` the median with a wait after every step.
 * `--profile N` prints the N kernels that take most of the device's time. One JSON object a line on standard output.
 */
import type { Plan } from '../../compiler/schedule/plan.ts';
import { planMultiplyAdds } from '../../compiler/schedule/plan.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import { inContextProgram } from '../../experiments/models/model.ts';
import { scoreOf } from '../../experiments/models/score.ts';
import { resolveIcl } from '../../experiments/options/icl.ts';
import { dimsInput, drawnPrompts, streams } from '../../experiments/tasks/prompts.ts';
import { taskFileOf } from '../../experiments/tasks/tasks.ts';
import { optimizerSettings, trainingStep } from '../../experiments/training/training-step.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { createExecutor, type Executor } from '../../runtime/executor.ts';

const sizes = [
  { name: 'bilinear_BTT 16 64', struct: 'bilinear_BTT', nDims: 16, dModel: 64 },
  { name: 'low_rank 16 256', struct: 'low_rank', nDims: 16, dModel: 256 },
  { name: 'bilinear_BTT 64 256', struct: 'bilinear_BTT', nDims: 64, dModel: 256 },
] as const;

/** An idle GPU needs a second under load to reach its clock. */
const warmUpMs = 1500;

interface Settings {
  readonly steps: number;
  readonly profile: number;
}

async function bench(opened: OpenedDevice, size: (typeof sizes)[number], settings: Settings): Promise<void> {
  const words = `--token_mixing_struct ${size.struct} --mlr_rank_list 8 --n_dims ${size.nDims} --d_model ${size.dModel} --n_head 8 --n_layer 6 --out_dir none`;
  const { options } = resolveIcl(words.split(' '));
  const shape = { batch: options.training_batch_size, points: 2 * size.nDims };
  const begun = performance.now();
  const model = inContextProgram(options, scoreOf(options, {}), shape);
  const prompts = drawnPrompts({ ...shape, nDims: size.nDims }, streams.train, taskFileOf(options));
  const { program } = trainingStep(model, prompts, optimizerSettings(options), ['loss', 'pointwise']);
  const plan = schedule(program, { target: opened.target });
  const compileMs = performance.now() - begun;
  const executor = await createExecutor(opened, plan);
  const pipelinesMs = performance.now() - begun - compileMs;
  try {
    fill(executor, plan, size.nDims);
    const { stepMs, waitedMs } = await time(executor, settings.steps, opened.class === 'gpu' ? warmUpMs : 0);
    const multiplyAdds = planMultiplyAdds(plan);
    console.log(
      JSON.stringify({
        case: size.name,
        stepMs: round(stepMs),
        waitedMs: round(waitedMs),
        tflops: round((2 * multiplyAdds) / stepMs / 1e9),
        dispatches: plan.kernels.length,
        pipelines: new Set(plan.kernels.map((k) => k.key)).size,
        mebibytes: Math.round(plan.buffers.reduce((n, b) => n + b.sizeBytes, 0) / 2 ** 20),
        compileMs: Math.round(compileMs),
        pipelinesMs: Math.round(pipelinesMs),
      }),
    );
    if (settings.profile > 0) await profile(executor, plan, settings.profile);
  } finally {
    executor.destroy();
  }
}

/** Inputs of a run in full swing: nothing is zero that is not zero in training. */
function fill(executor: Executor, plan: Plan, dims: number): void {
  for (const name of plan.inputs) {
    const { dtype, shape } = plan.tensors[name];
    const length = shape.reduce((n, extent) => n * extent, 1);
    if (name === 'dims') executor.upload(name, dimsInput(dims));
    else if (dtype === 'i32') executor.upload(name, new Int32Array(length).fill(name === 'diverged' ? 0 : 2));
    else
      executor.upload(
        name,
        Float32Array.from({ length }, (_, i) => start(name, i)),
      );
  }
}

function start(name: string, i: number): number {
  if (name === 'params') return Math.sin(i * 7.1) * 0.05;
  if (name === 'rate') return 1e-5;
  return name === 'hyper' ? 1 : 0;
}

async function time(executor: Executor, steps: number, warmMs: number): Promise<{ stepMs: number; waitedMs: number }> {
  const step = async (): Promise<void> => {
    executor.run();
    await executor.pace();
  };
  const begun = performance.now();
  do await step();
  while (performance.now() - begun < warmMs);
  await executor.finish();
  const from = performance.now();
  for (let i = 0; i < steps; i++) await step();
  await executor.finish();
  const stepMs = (performance.now() - from) / steps;
  const waits: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    executor.run();
    await executor.finish();
    waits.push(performance.now() - start);
  }
  return { stepMs, waitedMs: waits.sort((a, b) => a - b)[steps >> 1] };
}

/** Kernels of one key together, the dearest first. */
async function profile(executor: Executor, plan: Plan, most: number): Promise<void> {
  await executor.profile();
  const rows = new Map<string, { timeUs: number; count: number; multiplyAdds: number; bytes: number; label: string }>();
  for (const [i, { timeUs }] of (await executor.profile()).entries()) {
    const kernel = plan.kernels[i];
    const row = rows.get(kernel.key) ?? { timeUs: 0, count: 0, multiplyAdds: 0, bytes: 0, label: kernel.label };
    rows.set(kernel.key, {
      ...row,
      timeUs: row.timeUs + timeUs,
      count: row.count + 1,
      multiplyAdds: row.multiplyAdds + kernel.multiplyAdds,
      bytes: row.bytes + kernel.bytes,
    });
  }
  for (const row of [...rows.values()].sort((a, b) => b.timeUs - a.timeUs).slice(0, most)) {
    const rates = {
      tflops: round((2 * row.multiplyAdds) / row.timeUs / 1e6),
      gbytesPerS: Math.round(row.bytes / row.timeUs / 1e3),
    };
    console.log(JSON.stringify({ kernel: row.label, count: row.count, timeUs: Math.round(row.timeUs), ...rates }));
  }
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

const argv = process.argv.slice(2);
const option = (name: string): string | undefined => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : undefined);
const device = option('--device');
const opened = await openDevice(device === undefined ? {} : { name: device });
const date = new Date().toISOString().slice(0, 10);
console.log(
  JSON.stringify({ device: opened.name, date, command: `node dist/test/bench/icl.js ${argv.join(' ')}`.trim() }),
);
for (const size of sizes) {
  if (!size.name.includes(option('--only') ?? '')) continue;
  await bench(opened, size, { steps: Number(option('--steps') ?? 40), profile: Number(option('--profile') ?? 0) });
}
opened.destroy();
