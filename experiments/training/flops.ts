/**
 * Floating-point operations of a model, for speeds that can be compared: two for each multiply-add of its forward pass and four
 * more for its backward pass, counted from the ordered program, within its domains. Recomputing and the optimizer are not the model's.
 */
import { multiplyAdds } from '../../compiler/analysis/cost.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { optimise } from '../../compiler/passes/pipeline.ts';
import { limited } from '../../compiler/schedule/normalise/normalise.ts';

const forwardAndBackward = 6;

/** Multiply-adds of one token of a forward pass to `output`; `tokens` are those of the program's batch. */
export function forwardMultiplyAddsPerToken(model: Program, output: string, tokens: number): number {
  return multiplyAdds(limited(optimise({ ...model, outputs: [output] }))) / tokens;
}

/** Of one token of a training step. */
export function trainingFlopsPerToken(model: Program, output: string, tokens: number): number {
  return forwardAndBackward * forwardMultiplyAddsPerToken(model, output, tokens);
}
