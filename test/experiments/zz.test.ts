import { test } from 'vitest';
import { resolveIcl } from '../../experiments/options/parse.ts';
import { inContextProgram, scoreOf } from '../../experiments/models/inContext.ts';
import { drawnPrompts, streams } from '../../experiments/tasks/regression.ts';
import { trainingStep } from '../../experiments/training/trainingStep.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import { createExecutor } from '../../runtime/executor.ts';
import { openDevice } from '../../runtime/device.ts';
test('time', async () => {
  const opened = await openDevice();
  const t = (s: string, t0: number) => console.log(s, ((performance.now() - t0) / 1000).toFixed(2));
  const { options } = resolveIcl(['--preset=tiny', ...(process.env.WORDS ?? '').split(' ').filter(Boolean)]);
  let t0 = performance.now();
  const batch = options.training_batch_size;
  const model = inContextProgram(options, scoreOf(options, {}), { batch, points: 8 }); t('analyse', t0); t0 = performance.now();
  const step = trainingStep(model, drawnPrompts({ batch, points: 8, nDims: options.n_dims, dims: 4 }, streams.train), { beta1: 0.9, beta2: 0.95, weightDecay: 0, gradClip: 0 }); t('passes', t0); t0 = performance.now();
  const plan = schedule(step.program, { target: opened.target }); t('schedule', t0); t0 = performance.now();
  const fam: Record<string, number> = {}; for (const k of plan.kernels) fam[k.family] = (fam[k.family] ?? 0) + 1;
  console.log('kernels', plan.kernels.length, 'keys', new Set(plan.kernels.map((k) => k.key)).size, fam, 'madds', plan.kernels.reduce((s, k) => s + k.multiplyAdds, 0), 'wgsl', plan.kernels.reduce((s, k) => s + k.wgsl.length, 0));
  const ex = await createExecutor(opened, plan); t('executor', t0); t0 = performance.now();
  ex.run(); await ex.finish(); t('run1', t0); t0 = performance.now();
  for (let i = 0; i < 10; i++) { ex.run(); await ex.pace(); } await ex.finish(); t('run10', t0);
  try { const p = await ex.profile(); const s = [...p].sort((a, b) => b.timeUs - a.timeUs); console.log(s.slice(0, 15).map((x) => `${x.timeUs.toFixed(0)} ${x.label}`).join('\n'), 'total', s.reduce((a, b) => a + b.timeUs, 0)); } catch (e) { console.log(String(e)); }
  ex.destroy(); opened.destroy();
}, 600000);
