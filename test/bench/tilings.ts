/**
 * Which tile each product of the six training steps (step-cases.ts) is fastest with: every candidate of the table, timed where it
 * stands, in the whole step with what lies in the caches there.
 *
 *   node dist/test/bench/tilings.js [--device NAME] [--only TEXT] [--least PERCENT] [--json FILE]
 *
 * A line a problem, one JSON object: what the default rules choose and its time in microseconds, the best and its time, all times.
 * Problems are told apart by their key in the plan's choices, so one that several models have is timed once. Left out is what makes
 * less than `--least` per cent of a model's multiply-adds.
 *
 * The traps: every kernel has a dispatch of its own here, or its time could not be told. An idle GPU runs at a fraction of its clock, so every candidate is warmed up before it is timed.
 */
import { parseArgs } from 'node:util';
import { runCommand } from '../../compiler/command-line/errors.ts';
import type { Program } from '../../compiler/ir/program.ts';
import { type Plan, planMultiplyAdds } from '../../compiler/schedule/plan.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import { matrixCandidates } from '../../kernels/families/contraction/matrix-tile-sizes.ts';
import { tiledCandidates } from '../../kernels/families/contraction/tile-sizes.ts';
import type { ContractionTuning } from '../../kernels/families/contraction/tuning.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { createExecutor } from '../../runtime/executor.ts';
import { recordHeader, writeRecord } from './record.ts';
import { type StepCase, stepCases } from './step-cases.ts';

const warmUpMs = 300;
const profiles = 5;

interface Problem {
  readonly key: string;
  readonly label: string;
  readonly kernels: readonly number[];
  readonly multiplyAdds: number;
  readonly byRule: ContractionTuning;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      device: { type: 'string' },
      only: { type: 'string', default: '' },
      least: { type: 'string', default: '1' },
      json: { type: 'string' },
    },
  });
  const opened = await openDevice(values.device === undefined ? {} : { name: values.device });
  const header = recordHeader(opened.name);
  const lines: object[] = [];
  process.stdout.write(`${JSON.stringify(header)}\n`);
  const seen = new Set<string>();
  try {
    for (const one of stepCases.filter(({ name }) => name.includes(values.only))) {
      const program = one.program();
      const problems = problemsOf(
        schedule(program, { target: opened.target, combine: false }),
        Number(values.least) / 100,
      ).filter(({ key }) => !seen.has(key));
      for (const { key } of problems) seen.add(key);
      if (problems.length === 0) continue;
      for (const line of await timeProblems(opened, one, program, problems)) {
        process.stdout.write(`${JSON.stringify(line)}\n`);
        lines.push(line);
      }
    }
  } finally {
    opened.destroy();
  }
  if (values.json !== undefined) writeRecord(values.json, header, lines);
}

/** The contractions of a plan by their problems' keys. */
function contractionsOf(plan: Plan): ReadonlyMap<string, readonly number[]> {
  const kernelsOf = new Map<string, number[]>();
  for (const [i, { choices }] of plan.kernels.entries())
    for (const key of choices)
      if (key in plan.choices.contractions) kernelsOf.set(key, [...(kernelsOf.get(key) ?? []), i]);
  return kernelsOf;
}

/** Each problem once. */
function problemsOf(plan: Plan, leastShare: number): readonly Problem[] {
  return [...contractionsOf(plan)].flatMap(([key, kernels]) => {
    const multiplyAdds = kernels.reduce((sum, i) => sum + plan.kernels[i].multiplyAdds, 0);
    if (multiplyAdds < leastShare * planMultiplyAdds(plan)) return [];
    const [label] = plan.kernels[kernels[0]].equations;
    return [{ key, label, kernels, multiplyAdds, byRule: plan.choices.contractions[key] }];
  });
}

async function timeProblems(
  opened: OpenedDevice,
  { name, input }: StepCase,
  program: Program,
  problems: readonly Problem[],
): Promise<readonly object[]> {
  const times = new Map<Problem, Map<string, number>>(problems.map((problem) => [problem, new Map()]));
  const timePlan = async (plan: Plan, tuningOf: (problem: Problem) => ContractionTuning): Promise<void> => {
    const timesUs = await timeKernels(opened, input, plan);
    const kernelsOf = contractionsOf(plan);
    for (const problem of problems) {
      // A tile that does not hold the rows of an epilogue makes another problem of it.
      const kernels = kernelsOf.get(problem.key);
      if (kernels === undefined) continue;
      const timeUs = kernels.reduce((sum, i) => sum + timesUs[i], 0) / kernels.length;
      times.get(problem)!.set(short(tuningOf(problem)), Number(timeUs.toPrecision(4)));
    }
  };
  const options = { target: opened.target, combine: false };
  await timePlan(schedule(program, options), ({ byRule }) => byRule);
  for (const candidate of [...tiledCandidates(opened.target), ...matrixCandidates(opened.target)]) {
    const contractions = Object.fromEntries(problems.map(({ key }) => [key, candidate]));
    await timePlan(schedule(program, { ...options, choices: { contractions } }), () => candidate);
  }
  return problems.map((problem) => {
    const { key, label, kernels, multiplyAdds, byRule } = problem;
    const found = [...times.get(problem)!].sort(([, a], [, b]) => a - b);
    const [[best, bestUs]] = found;
    const rate = (timeUs: number) => Number(((2 * multiplyAdds) / kernels.length / timeUs / 1e6).toPrecision(3));
    const ruleUs = times.get(problem)!.get(short(byRule))!;
    return {
      case: name,
      problem: label,
      key,
      kernels: kernels.length,
      rule: short(byRule),
      ruleUs,
      ruleTflops: rate(ruleUs),
      best,
      bestUs,
      bestTflops: rate(bestUs),
      all: Object.fromEntries(found),
    };
  });
}

function short(tuning: ContractionTuning): string {
  return Object.values(tuning).join('/');
}

/** Median time of each kernel in microseconds. */
async function timeKernels(opened: OpenedDevice, input: StepCase['input'], plan: Plan): Promise<readonly number[]> {
  const executor = await createExecutor(opened, plan);
  try {
    for (const name of plan.inputs) executor.upload(name, input(name, plan.tensors[name]));
    const begun = performance.now();
    do {
      executor.run();
      await executor.finish();
    } while (performance.now() - begun < (opened.class === 'gpu' ? warmUpMs : 0));
    const all: number[][] = [];
    while (all.length < profiles) all.push((await executor.profile()).map(({ timeUs }) => timeUs));
    return plan.kernels.map((_, i) => all.map((times) => times[i]).sort((a, b) => a - b)[profiles >> 1]);
  } finally {
    executor.destroy();
  }
}

await runCommand(main);
