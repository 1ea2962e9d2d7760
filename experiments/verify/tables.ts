/** The golden tables: factor pairs, learning rates, curricula, and for each configuration muP and all counts. */
import type { Program } from '../../compiler/ir/program.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import { split } from '../../compiler/semantics/sizes.ts';
import { inContextProgram, languageModelProgram, type ReferenceModel, seriesProgram } from '../models/model.ts';
import { type ParameterMapping, referenceParameters, referenceShape } from '../models/parameters.ts';
import { referenceCounts, referenceFlops } from '../models/reference-counts.ts';
import { scoreOf } from '../models/score.ts';
import { checkModel } from '../options/transformer.ts';
import { curriculumStages } from '../tasks/curriculum.ts';
import { rateMultiplier } from '../training/learning-rate.ts';
import { type Param, paramsOf, rateFactor } from '../training/mup.ts';
import type { TablesCase } from './case.ts';
import { type ConfigOptions, optionsOfConfig } from './config.ts';

type Tables = TablesCase['tables'];

/** Shaped like the case's `tables`; of that only what is asked is read, never an answer. */
export function verifyTables({ tables, id }: TablesCase): Record<string, unknown> {
  return {
    btt_factor: Object.fromEntries(Object.keys(tables.btt_factor).map((n) => [n, split(Number(n))])),
    lr_mult: tables.lr_mult.map(rates),
    curriculum: tables.curriculum.map(curriculum),
    models: tables.models.map(({ config }) => modelTable(config, id)),
  };
}

function rates(asked: Tables['lr_mult'][number]): unknown {
  const { init_lr, min_lr, warmup, decay_iters: decaySteps, at } = asked;
  const schedule = { warmup, decaySteps, floor: min_lr / init_lr };
  const found = Object.keys(at).map((step) => [step, rateMultiplier(Number(step), schedule)]);
  return { ...asked, at: Object.fromEntries(found) };
}

/** The reference's defaults beside what is asked. */
const startOfCurriculum = { dimsStart: 4, pointsStart: 8, increments: undefined, warmupRatio: 0.06 };

function curriculum({ n_dims, train_steps, interval }: Tables['curriculum'][number]): unknown {
  const stages = curriculumStages({
    ...startOfCurriculum,
    nDims: n_dims,
    trainSteps: train_steps,
    intervalSteps: interval,
  });
  return { n_dims, train_steps, interval, changes: stages.map(({ step, dims, points }) => [step, dims, points]) };
}

interface Kind {
  readonly model: ReferenceModel;
  readonly features: (options: ConfigOptions) => number;
  /** As small a batch as there is: the tables are of parameters. */
  readonly program: (options: ConfigOptions) => Program;
}

const kinds: Readonly<Record<string, Kind>> = {
  icl: {
    model: 'in-context',
    features: ({ n_dims }) => n_dims,
    program: (options) => {
      const { block_size: positions } = options;
      return inContextProgram(options, scoreOf(options, {}), {
        batch: 1,
        points: Math.floor(positions / 2),
        positions,
      });
    },
  },
  lm: {
    model: 'language-model',
    features: ({ vocab_size }) => vocab_size,
    program: (options) => {
      const { block_size: tokens, vocab_size: vocabulary } = options;
      const shape = { batch: 1, tokens, positions: tokens, vocabulary };
      return languageModelProgram(options, scoreOf(options, {}), shape);
    },
  },
  ts: {
    model: 'series',
    features: () => 1,
    program: (options) => {
      const { block_size: tokens } = options;
      return seriesProgram(options, scoreOf(options, {}), {
        batch: 1,
        tokens,
        positions: tokens,
        channels: 1,
        horizon: 1,
      });
    },
  },
};

function modelTable(config: Readonly<Record<string, unknown>>, id: string): unknown {
  const options = optionsOfConfig(config, id);
  checkModel(options);
  const kind = kinds[String(config.kind)] ?? (kinds.icl as Kind);
  const params = new Map(paramsOf(kind.program(options)).map((param) => [param.name, param]));
  const mappings = referenceParameters(kind.model, options);
  return { config, count: countsOf(options, kind, params), mup: mupOf(mappings, params, options) };
}

function countsOf(options: ConfigOptions, kind: Kind, params: ReadonlyMap<string, Param>): unknown {
  const { model } = kind;
  const { block_size: tokens, d_model: width } = options;
  const elements = (name: string) => elementCount(params.get(name)?.shape ?? [0]);
  // A position table that nothing reads is no param of ours.
  const wpe = tokens * width;
  const embedding = elements('wte') + wpe;
  const head = elements('lm_head');
  const all = [...params.keys()].filter((name) => name !== 'wpe').reduce((sum, name) => sum + elements(name), wpe);
  const counts = referenceCounts(options, { model, tokens, features: kind.features(options) });
  if (counts === undefined) throw new Error(`no counts of ${options.token_mixing_struct}`);
  const { linear, logits, values } = counts;
  return {
    params: all,
    params_embedding: embedding,
    params_head: head,
    params_non_embedding: all - embedding - head,
    macs_linear: linear,
    macs_logits: logits,
    macs_values: values,
    macs_non_embedding: linear + logits + values,
    macs: linear + logits + values + counts.head,
    ref_flops: referenceFlops(counts, false),
    ref_flops_non_embedding: referenceFlops(counts, true),
  };
}

/** Initialisation and rate of each parameter; the first layer stands for all. */
function mupOf(
  mappings: readonly ParameterMapping[],
  params: ReadonlyMap<string, Param>,
  options: ConfigOptions,
): unknown {
  const rows = mappings.flatMap((mapping): [string, unknown][] => {
    if (/\.h\.[1-9]/.test(mapping.reference)) return [];
    const ours = mapping.ours.map((name) => params.get(name) as Param);
    const [param] = ours;
    // The series model's position table, which is no param of ours, starts as every other does.
    if (param === undefined) {
      return [[mapping.reference, { shape: [options.block_size, options.d_model], init: 0.02, lr_mult: 1 }]];
    }
    const shape = referenceShape(
      mapping,
      ours.map((each) => each.shape),
    );
    return [[mapping.reference, { shape, init: startOf(param), lr_mult: rateFactor(param) }]];
  });
  return Object.fromEntries(rows);
}

function startOf({ init }: Param): number | 'zeros' | 'ones' {
  if (init.kind === 'normal') return init.std;
  return init.value === 0 ? 'zeros' : 'ones';
}
