/**
 * How long the compiler takes over the six training steps (step-cases.ts), stage by stage, as CPU time of the process.
 *
 *   node dist/test/bench/compile-time.js --only "lm low_rank" --layers 6,12,24,48
 *
 *   read          text → tensor program: parse, check, bind, lower
 *   optimise      tensor program → ordered program
 *   differentiate ordered program → that with its derivatives, ordered, and the optimizer around it
 *   schedule      → the plan with all WGSL, for an H100 on its f32 units; `tensorCores`: the same program once more, on tensor cores
 *
 * Each case has a process of its own: its first compilation is `cold`, the least of each stage from the third on `warm`.
 *
 * The trap: CPU time counts what V8 compiles and collects on other threads, and still depends on what else the machine does.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { runCommand } from '../../compiler/command-line/errors.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import { listenToStages } from '../../runtime/stages.ts';
import { h100, h100WithoutTensorCores } from '../support/h100-target.ts';
import { recordHeader, writeRecord } from './record.ts';
import { type StepCase, stepCases } from './step-cases.ts';

const stageNames = ['read', 'optimise', 'differentiate', 'schedule', 'tensorCores'] as const;
/** CPU milliseconds; `whole` is all but `tensorCores`. */
type Times = Readonly<Record<(typeof stageNames)[number] | 'whole', number>>;

interface CaseResult {
  readonly case: string;
  readonly layers: number;
  readonly cold: Times;
  readonly warm: Times;
}

interface Flags {
  readonly only: string;
  readonly layers: string;
  readonly rounds: string;
  readonly json?: string;
  readonly here?: boolean;
}

const command = new Command('compile-time')
  .description('CPU milliseconds of each stage of the compiler over the six training steps. Opens no device.')
  .option('--only <text>', 'only models whose name contains it', '')
  .option('--layers <list>', 'layers of the models', '6')
  .option('--rounds <n>', 'compilations in a process; `warm` is the least of those from the third on', '5')
  .option('--json <file>', 'keep the results, one JSON object a line')
  .option('--here', 'in this process, one after the other: for a profiler')
  .addHelpText('after', `\nmodels:\n${stepCases.map(({ name }) => `  ${name}\n`).join('')}`)
  .exitOverride()
  .action(bench);

function bench({ only, layers, rounds, json, here }: Flags): void {
  const header = recordHeader('none');
  const results: CaseResult[] = [];
  for (const one of stepCases.filter(({ name }) => name.includes(only)))
    for (const count of layers.split(',').map(Number)) {
      const result = here ? timeCase(one, count, Number(rounds)) : inProcess(one.name, count, rounds);
      process.stdout.write(`${JSON.stringify(result)}\n`);
      results.push(result);
    }
  if (json !== undefined) writeRecord(json, header, results);
}

function inProcess(name: string, layers: number, rounds: string): CaseResult {
  const words = [fileURLToPath(import.meta.url), '--here', '--only', name, '--layers', `${layers}`, '--rounds', rounds];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' })) as CaseResult;
}

function timeCase(one: StepCase, layers: number, rounds: number): CaseResult {
  const times = Array.from({ length: rounds }, () => compileOnce(one, layers));
  const [cold] = times;
  const settled = times.slice(Math.min(2, rounds - 1));
  const least = stageNames.map((_, i) => Math.min(...settled.map((spent) => spent[i])));
  return { case: one.name, layers, cold: named(cold), warm: named(least) };
}

function named(spent: readonly number[]): Times {
  const [read, optimise, differentiate, scheduled, tensorCores] = spent;
  const whole = read + optimise + differentiate + scheduled;
  return { read, optimise, differentiate, schedule: scheduled, whole, tensorCores };
}

/** CPU milliseconds of each stage. */
function compileOnce({ program }: StepCase, layers: number): readonly number[] {
  const marks = [process.cpuUsage()];
  const mark = () => void marks.push(process.cpuUsage());
  const stop = listenToStages(({ name }) => {
    if (name !== 'differentiate') mark();
  });
  const step = program(layers);
  stop();
  mark();
  schedule(step, { target: h100WithoutTensorCores });
  mark();
  schedule(step, { target: h100 });
  mark();
  return stageNames.map((_, i) => {
    const [from, to] = [marks[i], marks[i + 1]].map(({ user, system }) => user + system);
    return Math.round((to - from) / 1e3);
  });
}

await runCommand(async (argv) => {
  await command.parseAsync([...argv]);
});
