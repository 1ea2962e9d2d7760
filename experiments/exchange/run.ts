/** Parameters of a run's checkpoint, and a run of parameters: what `mlbtc export` and `mlbtc import` do with a folder. */
import { UserError } from '../../compiler/command-line/errors.ts';
import { packCheckpoint, readCheckpoint, writeCheckpoint } from '../runs/checkpoint.ts';
import { createRunFolder, type RunFolder } from '../runs/folder.ts';
import { newTrainingRun } from '../runs/training-run.ts';
import { layOut, packArena, unpackArena } from '../training/arena.ts';
import { initialValue, paramsOf } from '../training/mup.ts';
import type { ModelSetup } from './model-setup.ts';
import type { Parameters } from './parameter-files.ts';

/** All of a model's parameters; what is not trained is in no checkpoint, and is as it started. */
export function trainedParameters(checkpoint: string, { program, resolved }: ModelSetup): Parameters {
  const params = paramsOf(program);
  const arena = layOut(params);
  const fixed = params.filter((param) => param.fixed);
  return new Map([
    ...fixed.map((param) => [param.name, initialValue(param, resolved.options.seed)] as const),
    ...unpackArena(arena, packCheckpoint(readCheckpoint(checkpoint), arena).params),
  ]);
}

/**
 * Makes a run that has these parameters and no step done: it can be evaluated, sampled from, exported and trained on. Throws UserError
 * where a run is there already.
 */
export function importedRun(setup: ModelSetup, parameters: Parameters, words: readonly string[]): RunFolder {
  const { task, resolved, score, record, program } = setup;
  const params = paramsOf(program);
  for (const param of params.filter(({ fixed }) => fixed)) {
    const start = initialValue(param, resolved.options.seed);
    if (parameters.get(param.name)?.every((value, i) => value === start[i])) continue;
    throw new UserError(
      `${param.name} is not trained (\`fixed\`), so a run has it as --seed ${resolved.options.seed} draws it; the file has other values`,
    );
  }
  const arena = layOut(params);
  const packed = packArena(arena, ({ name }) => parameters.get(name) as Float32Array);
  const zeros = new Float32Array(arena.elements);
  const folder = createRunFolder(newTrainingRun(task, resolved, score, undefined, words, record, 'import'));
  writeCheckpoint(
    folder.checkpointsPath,
    arena,
    { step: 0, phase: 0, best: undefined, choices: {}, decisions: undefined, params: packed, m: zeros, v: zeros },
    Number.POSITIVE_INFINITY,
  );
  return folder;
}
