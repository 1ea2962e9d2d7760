/**
 * What `explain` says, as the data that `--json` prints: costs from the analysis, work and memory from the plan itself.
 *
 * The trap: multiply-adds are summed from the loop bounds of the kernels that would run, not from the equations, so that a kernel
 * that did more than its equation says would show here.
 */
import { orderSteps } from '../analysis/cost.ts';
import type { RankBound } from '../analysis/rank.ts';
import { type AnalysisReport, analyse } from '../analysis/report.ts';
import type { CompiledFile } from '../command-line/source.ts';
import { originFinder, originText } from '../emit/origin.ts';
import { printTensor } from '../ir/print.ts';
import { type Dtype, elementCount } from '../ir/program.ts';
import { unfoldAxes } from '../passes/unfold.ts';
import { type PlanHeld, type PlanStream, planBytes, planMultiplyAdds } from '../schedule/plan.ts';
import type { SizeValue } from '../semantics/model.ts';
import type { UnboundTokens } from './unbound-tokens.ts';

export interface ExplainedTensor {
  readonly role: 'input' | 'param' | 'output';
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly init: string | null;
  readonly doc: string | null;
}

export interface ExplainedKernel {
  readonly makes: readonly string[];
  readonly family: string;
  readonly multiplyAdds: number;
  readonly bytes: number;
  readonly workgroups: readonly [number, number, number];
  readonly tuning: Readonly<Record<string, number | string>>;
  readonly origin: string | null;
  readonly equations: readonly string[];
  /** What it makes and does not store: tiles of a stream, elements that a thread holds. */
  readonly held: readonly (Pick<PlanHeld, 'tensor' | 'shape' | 'place'> & { readonly bytes: number })[];
  readonly streams: readonly PlanStream[];
}

export interface ExplainReport {
  readonly structure: string;
  readonly file: string;
  readonly doc: string | null;
  readonly gradients: boolean;
  readonly sizes: readonly {
    readonly name: string;
    readonly value: SizeValue | null;
    /** Nothing gives it a value: it counts as 1. */
    readonly unbound: boolean;
    readonly doc: string | null;
  }[];
  readonly consts: readonly { readonly name: string; readonly value: number | null; readonly doc: string | null }[];
  readonly tensors: readonly ExplainedTensor[];
  readonly params: number;
  readonly multiplyAdds: number;
  /** Null for what is neither a matrix nor scores; see `analysis/dense.ts`. */
  readonly denseMultiplyAdds: number | null;
  /** As the equations are written, operands joined from left to right. */
  readonly leftToRightMultiplyAdds: number;
  /** 'unknown' where nothing bounds it; null where there is no rank, or it is the number of tokens, and that is not bound. */
  readonly rankBound: RankBound | null;
  /** Sizes that number the tokens and are not bound: ranks and cache hold for any number of them. */
  readonly unboundTokens: readonly string[];
  readonly scoreRanks: AnalysisReport['scoreRanks'];
  readonly cacheBytes: AnalysisReport['cacheBytes'];
  readonly cached: AnalysisReport['cached'];
  /** Memory of all buffers together. */
  readonly peakBytes: number;
  /** The largest tensor in memory that is neither given nor an output. */
  readonly largestIntermediate: {
    readonly tensor: string;
    readonly shape: readonly number[];
    readonly bytes: number;
  } | null;
  readonly order: AnalysisReport['order'];
  readonly kernels: readonly ExplainedKernel[];
}

const bytesOf: Readonly<Record<Dtype, number>> = { f32: 4, i32: 4, f16: 2 };

/** A gradient step through a dense y = W x is three products of its size: W x, Wᵀ c and c xᵀ. */
const denseProductsWithGradients = 3;

export function explainReport(compiled: CompiledFile, unbound?: UnboundTokens): ExplainReport {
  const { file, sources, written, inlined, program, plan, gradients } = compiled;
  const { name, doc, sizes, consts } = compiled.interface;
  const forward = analyse({ written: unfoldAxes(written), inlined, optimised: compiled.forward }, unbound?.stages);
  const isBelowTokens = (bound: RankBound | null): boolean =>
    unbound === undefined || typeof bound !== 'number' || bound < unbound.tokens;
  const originOf = originFinder([written, program], sources);
  const { denseMultiplyAdds: dense } = forward;
  return {
    structure: name,
    file,
    doc: doc ?? null,
    gradients,
    sizes: sizes.map((size) => ({
      name: size.name,
      value: size.value ?? null,
      unbound: size.unbound,
      doc: size.doc ?? null,
    })),
    consts: consts.map((item) => ({ name: item.name, value: item.value ?? null, doc: item.doc ?? null })),
    tensors: explainedTensors(compiled),
    params: forward.params,
    multiplyAdds: planMultiplyAdds(plan),
    denseMultiplyAdds: dense === null ? null : dense * (gradients ? denseProductsWithGradients : 1),
    leftToRightMultiplyAdds: forward.leftToRightMultiplyAdds,
    rankBound: isBelowTokens(forward.rankBound) ? forward.rankBound : null,
    unboundTokens: unbound?.names ?? [],
    scoreRanks: forward.scoreRanks.filter(({ rankBound }) => isBelowTokens(rankBound)),
    cacheBytes: forward.cacheBytes,
    cached: forward.cached,
    peakBytes: planBytes(plan),
    largestIntermediate: largestIntermediate(compiled),
    order: orderSteps(program),
    kernels: plan.kernels.map((kernel) => {
      const { makes } = kernel;
      const origin = makes.map(originOf).find((found) => found !== undefined);
      const { family, multiplyAdds, bytes, workgroups, tuning, equations, streams } = kernel;
      return {
        makes,
        family,
        multiplyAdds,
        bytes,
        workgroups,
        tuning,
        origin: origin === undefined ? null : originText(origin),
        equations,
        held: kernel.held.map(({ tensor, shape, dtype, place }) => ({
          tensor,
          shape,
          place,
          bytes: elementCount(shape) * bytesOf[dtype],
        })),
        streams,
      };
    }),
  };
}

function explainedTensors({ written, interface: face }: CompiledFile): ExplainedTensor[] {
  const outputDoc = new Map(face.outputs.map((output) => [output.name, output.doc ?? null]));
  return written.tensors.flatMap((tensor): ExplainedTensor[] => {
    const { name, dtype, shape, doc = null, source } = tensor;
    const init = source.kind === 'param' ? printTensor(tensor).replace(/^.* ~ /, '') : null;
    const described = { name, dtype, shape, init, doc };
    const given = source.kind === 'input' || source.kind === 'param' ? [{ ...described, role: source.kind }] : [];
    return outputDoc.has(name)
      ? [...given, { ...described, init: null, doc: outputDoc.get(name) ?? null, role: 'output' }]
      : given;
  });
}

function largestIntermediate({ plan }: CompiledFile): ExplainReport['largestIntermediate'] {
  const known = new Set([...plan.inputs, ...plan.params, ...plan.outputs]);
  let largest: ExplainReport['largestIntermediate'] = null;
  for (const [tensor, { shape, dtype }] of Object.entries(plan.tensors)) {
    const bytes = elementCount(shape) * bytesOf[dtype];
    if (!known.has(tensor) && bytes > (largest?.bytes ?? 0)) largest = { tensor, shape, bytes };
  }
  return largest;
}
