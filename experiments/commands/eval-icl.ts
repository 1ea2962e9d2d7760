/** `mlbtc eval RUN` of in-context learning: the error under each setting, beside the baselines'. */
import { counted } from '../../compiler/command-line/amounts.ts';
import { UsageError } from '../../compiler/command-line/errors.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { openDevice } from '../../runtime/device.ts';
import { inContextProgram } from '../models/model.ts';
import { plotSettings, settingsPlotFiles } from '../plots/icl-run.ts';
import { readIclRun, type SettingRecord, writeSettings } from '../runs/icl-run.ts';
import { chosenCheckpoint } from '../runs/lm-run.ts';
import { checkpointParams } from '../sampling/run.ts';
import { type Setting, settingsOf } from '../tasks/settings.ts';
import type { IclTaskName } from '../tasks/tasks.ts';
import { evaluateSetting } from '../training/icl-evaluation.ts';
import { short } from '../training/progress.ts';
import { batchesOf, type EvalKind, type EvalOptions } from './eval-kind.ts';

/** As many prompts as the reference takes, or a few more. */
const usualPrompts = 1280;

export const iclEval: EvalKind = {
  takes: ['setting', 'checkpoint', 'eval_iters', 'json', 'device'],
  evaluate: evaluateRun,
};

async function evaluateRun(path: string, given: EvalOptions): Promise<void> {
  const { folder, options, score } = readIclRun(path);
  const settings = chosenSettings(options.training_task, given.setting);
  const batches = batchesOf(given) ?? Math.ceil(usualPrompts / options.training_batch_size);
  const checkpoint = chosenCheckpoint(folder, given.checkpoint ?? 'best');
  const params = checkpointParams(checkpoint, inContextProgram(options, score, { batch: 1, points: 1 }));
  const say = (line: string) => {
    if (given.json !== true) process.stdout.write(`${line}\n`);
  };
  const opened = await openDevice(given.device === undefined ? {} : { name: given.device });
  const found: SettingRecord[] = [];
  try {
    say(
      `${checkpoint}: error at the last point, in brackets 90 % of its bootstrap over ${batches * options.training_batch_size} prompts`,
    );
    for (const setting of settings) {
      const { model, baselines, ...sizes } = await evaluateSetting(opened, options, score, params, setting, batches);
      const record = { setting: setting.name, checkpoint, ...sizes, model, baselines };
      found.push(record);
      for (const line of linesOf(setting, record)) say(line);
    }
  } finally {
    opened.destroy();
  }
  const written = writeSettings(folder, found);
  makeFolder(folder.plotsPath);
  await plotSettings(folder, { options });
  if (given.json === true) process.stdout.write(`${JSON.stringify(found)}\n`);
  else process.stdout.write(`${[written, ...settingsPlotFiles(folder)].join('\n')}\n`);
}

/** `all`, or some by name. Throws UsageError for a name that the task does not have. */
function chosenSettings(task: IclTaskName, names = 'all'): readonly Setting[] {
  const known = settingsOf(task);
  if (names === 'all') return known;
  return names.split(',').map((name) => {
    const setting = known.find((one) => one.name === name);
    if (setting !== undefined) return setting;
    const all = known.map((one) => one.name);
    const near = closest(name, all);
    throw new UsageError(
      `--setting ${name}: ${near === undefined ? `${task} has ${all.join(', ')}, or all` : `did you mean ${near}?`}`,
    );
  });
}

function linesOf({ name, about }: Setting, { points, model, baselines }: SettingRecord): readonly string[] {
  const last = points - 1;
  const at = ({ mean, low, high }: SettingRecord['model']) =>
    `${short(mean[last])} [${short(low[last])}, ${short(high[last])}]`;
  const others = Object.entries(baselines).map(([baseline, curve]) => `${baseline} ${short(curve.mean[last])}`);
  return [`${name.padEnd(24)}${at(model).padEnd(26)}${about}, ${counted(last, 'point')}`, `  ${others.join(', ')}`];
}
