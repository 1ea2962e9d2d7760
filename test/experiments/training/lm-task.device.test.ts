import { describe, expect, test } from 'vitest';
import { splitOf, type TokenData } from '../../../experiments/data/token-data.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveLm } from '../../../experiments/options/lm.ts';
import { packArena } from '../../../experiments/training/arena.ts';
import { evaluateLm, lmTask } from '../../../experiments/training/lm-task.ts';
import { testDevice } from '../../support/device.ts';

const opened = await testDevice();
/** A text in which every token but the first of a pair follows from the one before. */
const text = Uint8Array.from(
  { length: 4000 },
  (_, i) => (i % 2 === 0 ? (i * 2654435761) >>> 29 : ((i - 1) * 2654435761) >>> 29) % 8,
);
const data: TokenData = {
  name: 'pairs',
  tokenizer: 'bytes',
  vocabulary: 8,
  train: splitOf(text.subarray(0, 3000), 3000),
  val: splitOf(text.subarray(3000), 1000),
};
const levels = { bigrams: 1, vocabulary: 8 };
const small = [
  '--d_model=8',
  '--n_head=2',
  '--n_layer=1',
  '--block_size=8',
  '--warmup_iters=2',
  '--eval_iters=3',
  '--seed=4',
];

async function train(words: readonly string[], steps: number) {
  const resolved = resolveLm([...small, ...words]);
  const score = scoreOf(resolved.options, resolved.sizes);
  const task = lmTask({ resolved, score, data, opened, flopsPerToken: undefined, levels });
  const { compiled, state } = await task.compile({ step: 0 }, undefined);
  state.executor.upload('params', packArena(compiled.arena, task.initialValue));
  compiled.enter({ step: 0 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step += 1) {
    losses.push((await compiled.runAndRead(step)).get('loss')?.[0] ?? Number.NaN);
    await compiled.pace();
  }
  const evaluation = await evaluateLm(compiled, resolved.options, data, steps);
  const params = Float32Array.from((await state.executor.download('params')).get('params') as Float32Array);
  compiled.destroy();
  state.executor.destroy();
  return { losses, evaluation, params };
}

describe('a language model', () => {
  test('begins at the logarithm of the vocabulary and learns what follows', async () => {
    const { losses, evaluation } = await train(
      ['--batch_size=8', '--gradient_accumulation_steps=1', '--init_lr=1e-3'],
      60,
    );
    expect(losses[0]).toBeCloseTo(Math.log(8), 4);
    expect(losses[59]).toBeLessThan(0.8 * losses[0]);
    expect(evaluation.perplexity).toBeCloseTo(Math.exp(evaluation.loss), 6);
    expect(evaluation.bitsPerCharacter).toBeCloseTo(evaluation.loss / Math.LN2, 6);
    expect(evaluation.tokens).toBe(3 * 8 * 8);
  });

  test('learns the same however its sequences are dealt out to batches', async () => {
    const [whole, dealt] = [
      await train(['--batch_size=8', '--gradient_accumulation_steps=1', '--weight_decay=0.1'], 4),
      await train(['--batch_size=2', '--gradient_accumulation_steps=4', '--weight_decay=0.1'], 4),
    ];
    for (const [i, loss] of whole.losses.entries()) expect(dealt.losses[i]).toBeCloseTo(loss, 4);
    const error = whole.params.reduce((sum, value, i) => sum + (value - dealt.params[i]) ** 2, 0);
    const size = whole.params.reduce((sum, value) => sum + value ** 2, 0);
    expect(Math.sqrt(error / size)).toBeLessThan(1e-3);
  });

  test('--eval_only is a training of no steps', () => {
    const resolved = resolveLm([...small, '--eval_only']);
    const score = scoreOf(resolved.options, resolved.sizes);
    expect(lmTask({ resolved, score, data, opened, flopsPerToken: undefined, levels }).steps).toBe(0);
  });
});
