/**
 * A model as options say it, before any weights: what `mlbtc export` reads of a run and `mlbtc import` makes a run of. One entry a
 * kind of training.
 */
import { UserError } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { chosenData } from '../data/choose.ts';
import { chosenImages } from '../data/choose-images.ts';
import { channelsOf, chosenSeries } from '../data/choose-series.ts';
import { inContextProgram, type ReferenceModel, visionProgram } from '../models/model.ts';
import { type Score, scoreOf } from '../models/score.ts';
import { resolveIcl } from '../options/icl.ts';
import { resolveLm } from '../options/lm.ts';
import type { Resolved } from '../options/parse.ts';
import { resolveSeries } from '../options/series.ts';
import type { TaskName } from '../options/set.ts';
import { checkModel, type ModelOptions, mixerSettings, scoreRows } from '../options/transformer.ts';
import { checkPatches, resolveVit } from '../options/vit.ts';
import { existingRun, type RunFolder } from '../runs/folder.ts';
import { dataRecord, readLmSetting } from '../runs/lm-run.ts';
import { readTask } from '../runs/provenance.ts';
import { readSeriesSetting, seriesRecord } from '../runs/series-run.ts';
import type { ResolvedTraining } from '../runs/training-run.ts';
import { readVitSetting, vitRecord } from '../runs/vit-run.ts';
import { lmProgram } from '../training/lm-task.ts';
import { seriesModel } from '../training/series-task.ts';
import { visionShape } from '../training/vit-task.ts';

export interface ModelSetup {
  readonly task: TaskName;
  /** Which of the reference's models; undefined: none. */
  readonly model: ReferenceModel | undefined;
  readonly resolved: ResolvedTraining;
  readonly score: Score;
  /** The forward pass and the loss, for the longest input that the model takes. */
  readonly program: Program;
  /** What `run.json` says beside where the run comes from. */
  readonly record: Readonly<Record<string, unknown>>;
  /** What the constructor of the reference's model takes, and its `kind` (oracle, "Cfg"). */
  readonly referenceConfig: Readonly<Record<string, unknown>>;
  /** Why the reference has no such model, whatever its score. */
  readonly unlikeReference?: string;
}

type Setup = (words: readonly string[], run: string | undefined) => ModelSetup;

const setups: Readonly<Record<TaskName, Setup>> = {
  icl: (words) => {
    const resolved = resolveIcl(words);
    const { options } = resolved;
    const score = checkedScore(resolved);
    const positions = 4 * options.n_dims;
    return {
      ...{ task: 'icl', model: 'in-context', resolved, score, record: {} },
      program: inContextProgram(options, score, { batch: 1, points: 2 * options.n_dims, positions }),
      referenceConfig: { kind: 'icl', n_dims: options.n_dims, block_size: positions, ...sharedConfig(options) },
    };
  },
  lm: (words, run) => {
    const resolved = resolveLm(words);
    const { options } = resolved;
    const score = checkedScore(resolved);
    const data = run === undefined ? dataRecord(chosenData(options)) : readLmSetting(run).data;
    const { block_size: length } = options;
    const vocabulary = options.vocab_size ?? data.vocabulary;
    return {
      ...{ task: 'lm', model: 'language-model', resolved, score, record: { data } },
      program: lmProgram(options, score, { batch: 1, length }, data.vocabulary),
      referenceConfig: { kind: 'lm', vocab_size: vocabulary, block_size: length, ...sharedConfig(options) },
    };
  },
  series: (words, run) => {
    const resolved = resolveSeries(words);
    const { options } = resolved;
    const score = checkedScore(resolved);
    const { block_size: context, horizon } = options;
    const data =
      run === undefined ? seriesRecord(chosenSeries(options), { context, horizon }) : readSeriesSetting(run).data;
    const channels = channelsOf(options, data);
    return {
      ...{ task: 'series', model: 'series', resolved, score, record: { data } },
      program: seriesModel(options, score, { batch: 1, context, horizon, channels }),
      referenceConfig: { kind: 'ts', block_size: context, ...sharedConfig(options) },
      ...(horizon * channels === 1
        ? {}
        : {
            unlikeReference: `its model of series reads and foresees one number at a time, not ${channels} and ${horizon} times ahead`,
          }),
    };
  },
  vit: (words, run) => {
    const resolved = resolveVit(words);
    const { options } = resolved;
    const score = checkedScore(resolved);
    const data = run === undefined ? vitRecord(chosenImages(options)) : readVitSetting(run).data;
    checkPatches(options, data);
    return {
      ...{ task: 'vit', model: undefined, resolved, score, record: { data } },
      program: visionProgram(options, score, { ...visionShape(options, data), batch: 1 }),
      referenceConfig: {},
      unlikeReference: 'it has none of images',
    };
  },
};

/** From the words of a command line. Throws UsageError for its mistakes, UserError for a file's. */
export function setupOf(task: TaskName, words: readonly string[]): ModelSetup {
  return setups[task](words, undefined);
}

/** Of a run that there is. Throws UserError where the folder holds none. */
export function setupOfRun(path: string): ModelSetup & { readonly folder: RunFolder } {
  const folder = existingRun(path, 'mlbtc train');
  const task = readTask(folder.recordPath);
  if (task === undefined) {
    throw new UserError(`${path} cannot be exported: ${folder.recordPath} does not say which training made it`);
  }
  return { ...setups[task](['--config', folder.configPath], path), folder };
}

function checkedScore({ options, sizes, copies }: Resolved<ModelOptions>): Score {
  checkModel(options);
  return scoreOf(options, sizes, copies);
}

/** In the forms of the reference: lists are written `16|8|4`, the sizes of heads are given; what is at its default is left out. */
function sharedConfig(options: ModelOptions): Readonly<Record<string, unknown>> {
  const { d_model, n_head, n_layer } = options;
  const { structure: _, ...rows } = scoreRows;
  const given = (Object.keys(rows) as (keyof typeof rows)[]).flatMap((name) => {
    const value = options[name];
    return value === null ? [] : [[name, Array.isArray(value) ? value.join('|') : value] as const];
  });
  const heads = { d_head: d_model / n_head, d_qk_head: mixerSettings(options).headSize };
  return { ...Object.fromEntries(given), d_model, n_head, n_layer, ...heads };
}
