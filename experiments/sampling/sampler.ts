/**
 * Text from a language model, token by token: the prompt is read, then each token is drawn from the logits of the one before it.
 *
 *   p ∝ exp(logit / temperature) over the top k;  temperature 0 takes the most likely
 *
 * A draw is a function of (seed, its number), so the same seed gives the same text. When the model has no place left, the last half
 * of its context is read again and the text goes on: what a place means, and what is kept, has changed, with and without a cache alike.
 */
import { drawUniform } from '../../compiler/ir/philox.ts';
import type { Decoder } from './decoder.ts';

export interface SamplingOptions {
  readonly tokens: number;
  readonly temperature: number;
  /** Only the k most likely are drawn; none: all. */
  readonly topK: number | null;
  readonly seed: number;
}

/** Stream of the draws; those of training lie elsewhere. */
const sampleStream = 16;

/** Tokens after the prompt, as they are drawn. The prompt holds at least one. */
export async function* sample(
  decoder: Decoder,
  prompt: ArrayLike<number>,
  { tokens, temperature, topK, seed }: SamplingOptions,
): AsyncGenerator<number> {
  const keep = Math.max(1, Math.floor(decoder.length / 2));
  const text = Array.from(prompt).slice(-decoder.length);
  decoder.reset();
  let read = 0;
  let logits = new Float32Array();
  for (let drawn = 0; drawn < tokens; drawn += 1) {
    if (text.length > decoder.length) {
      text.splice(0, text.length - keep);
      decoder.reset();
      read = 0;
    }
    for (; read < text.length; read += 1) {
      logits = (await decoder.read(Int32Array.of(text[read]))) as Float32Array<ArrayBuffer>;
    }
    const token = drawToken(logits, temperature, topK, drawUniform(seed, sampleStream, 0, drawn));
    text.push(token);
    yield token;
  }
}

/** `unit` in (0, 1) picks from the distribution, most likely first; equal logits in the order of their tokens. */
export function drawToken(logits: ArrayLike<number>, temperature: number, topK: number | null, unit: number): number {
  const order = Array.from(logits, (_, token) => token).sort((a, b) => logits[b] - logits[a] || a - b);
  if (temperature === 0) return order[0];
  const taken = topK === null ? order : order.slice(0, topK);
  const most = logits[taken[0]];
  const weights = taken.map((token) => Math.exp((logits[token] - most) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let left = unit * total;
  for (const [i, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return taken[i];
  }
  return taken[taken.length - 1];
}
