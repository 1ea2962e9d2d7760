/**
 * Refuses to train a model that sees the future: in a task that asks for each next token, a score that sees it reads the answer, and
 * the loss falls below everything that could be learned.
 *
 *   A[b, h, t, u] = softmax[u](S[b, h, t, u])     →     mine.mlbtc:9:19: … `where u <= t`, or --allow_noncausal
 *
 * Decided from the model's whole program, so that whatever a score does is seen: its weights, its values, its own normalisations.
 * Domains that do not decide it are put to the test (compiler/analysis/probe.ts).
 *
 * The trap: a score may be causal for some numbers of tokens alone, so it is asked for the fewest and the most of the training.
 */
import { basename } from 'node:path';
import { type Clocks, causality, type Lookahead } from '../../compiler/analysis/causality.ts';
import { canProbe, probeCausality } from '../../compiler/analysis/probe.ts';
import { DiagnosticsError } from '../../compiler/command-line/errors.ts';
import { equationsOf, neededFor } from '../../compiler/ir/equation.ts';
import type { Program } from '../../compiler/ir/program.ts';
import type { Span } from '../../compiler/syntax/diagnostic.ts';
import { renderDiagnostic } from '../../compiler/syntax/render.ts';
import { modelFolder, structurePath } from '../library.ts';
import type { IclOptions } from '../options/icl.ts';
import type { LmOptions } from '../options/lm.ts';
import type { SeriesOptions } from '../options/series.ts';
import { inContextProgram } from './model.ts';
import { fileSource } from './resolve.ts';
import type { Score } from './score.ts';

/** Tokens x₁ y₁ x₂ y₂ …: point p is read at 2p and 2p + 1, and its y is predicted at 2p. */
const inContextClocks: Clocks = {
  inputs: [
    { tensor: 'xs', dimension: 1, stride: 2 },
    { tensor: 'ys', dimension: 1, stride: 2, offset: 1 },
  ],
  outputs: [{ tensor: 'pred', dimension: 1, stride: 2 }],
};

/** For the fewest and the most points that the training will have; see `refuseLookahead`. */
export function checkCausal(options: IclOptions, score: Score, points: readonly number[]): string | undefined {
  if (isKnownCausal(score)) return undefined;
  for (const some of new Set([Math.min(...points), Math.max(...points)])) {
    const program = inContextProgram(options, score, { batch: 1, points: some });
    const note = refuseLookahead(program, inContextClocks, score, options.allow_noncausal);
    if (note !== undefined) return note;
  }
  return undefined;
}

/** A language model's logits at a token, which are to say the next one. */
const textClocks: Clocks = {
  inputs: [{ tensor: 'tokens', dimension: 1 }],
  outputs: [{ tensor: 'logits', dimension: 1 }],
};

/** See `refuseLookahead`; `model` has the number of tokens that the training will have. */
export function checkLmCausal(
  options: Pick<LmOptions, 'allow_noncausal'>,
  score: Score,
  model: Program,
): string | undefined {
  return isKnownCausal(score) ? undefined : refuseLookahead(model, textClocks, score, options.allow_noncausal);
}

/** A series model's values at a time, which are to say those of the next one. */
const seriesClocks: Clocks = {
  inputs: [{ tensor: 'x', dimension: 1 }],
  outputs: [{ tensor: 'pred', dimension: 1 }],
};

/** See `refuseLookahead`; `model` has the number of times that the training will have. */
export function checkSeriesCausal(
  options: Pick<SeriesOptions, 'allow_noncausal'>,
  score: Score,
  model: Program,
): string | undefined {
  return isKnownCausal(score) ? undefined : refuseLookahead(model, seriesClocks, score, options.allow_noncausal);
}

/** The library's scores are causal, which tests hold them to, unless their size `causal` says otherwise. */
function isKnownCausal({ isLibrarys, sizes }: Score): boolean {
  return isLibrarys && sizes.causal !== 0;
}

/**
 * Throws DiagnosticsError where the model looks ahead, naming the equation of the score's that does; where that is allowed, returns
 * a note in its place. Undefined where there is nothing to say.
 */
export function refuseLookahead(
  program: Program,
  clocks: Clocks,
  score: Score,
  isAllowed: boolean,
): string | undefined {
  const found = lookahead(program, clocks, ({ file }) => isScores(file, score));
  if (found === undefined) return undefined;
  if (isAllowed) {
    return `the score of ${score.source.file} sees later tokens (--allow_noncausal): the loss may be read off the answers`;
  }
  throw new DiagnosticsError(explain(program, score, found));
}

/**
 * What the program sees too early, with an equation that is not one of the models' own where there is one; undefined where the
 * program is causal, by its domains or as far as a probe could see.
 */
export function lookahead(
  program: Program,
  clocks: Clocks,
  isBlamed: (span: Span) => boolean = ({ file }) => !file.startsWith(modelFolder),
): Lookahead | undefined {
  const found = causality(program, clocks, ({ span }) => span !== undefined && isBlamed(span));
  if (found.kind === 'causal') return undefined;
  return canProbe(program) && probeCausality(program, clocks) === undefined ? undefined : found;
}

function explain(program: Program, score: Score, { equation, output, at, sees }: Lookahead): string {
  const { source } = score;
  // Weights that read no token see one all the same where they are not 0: then the last that the score makes is to be named.
  const needed = neededFor(program, [output]);
  const made = program.tensors.filter(({ name }) => needed.has(name)).flatMap(equationsOf);
  const own = made.findLast(({ span }) => span?.file === source.file)?.span;
  const blamed = equation?.span !== undefined && isScores(equation.span.file, score) ? equation.span : undefined;
  const help =
    score.sizes.causal === 0
      ? 'its size `causal` is 0: leave it at 1'
      : 'keep what comes later out with `where u <= t` (t the token, u those it sees)';
  const span = blamed ?? own ?? { file: source.file, start: 0, end: 0 };
  return renderDiagnostic(
    {
      code: 'E0801',
      severity: 'error',
      span,
      message: `the score looks ahead: token ${at} sees token ${sees}, which a model that predicts each next token must not`,
      help: `${help}, or insist with --allow_noncausal`,
    },
    [span.file === source.file ? source : (fileSource(span.file) ?? source)],
  );
}

/** Whether a file is the score's, or one of the user's in the place of a map; those of the models and of the library's maps see one token. */
function isScores(file: string, { source, maps }: Score): boolean {
  if (file === source.file) return true;
  const libraryMaps = ['dense', ...[...maps.slots.values()].map((map) => basename(map.file, '.mlbtc'))].map(
    structurePath,
  );
  return !file.startsWith(modelFolder) && !libraryMaps.includes(file);
}
