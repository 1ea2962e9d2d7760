/**
 * `mlbtcc build --print-after PASS|all`: the program as it stands after each pass, in the order in which they run, and the kernels
 * that it is scheduled as. For whoever wants to see which pass made of an equation what a kernel computes.
 *
 * The trap: a pass runs several times, on the program as it was written and on that with its derivatives; each time is printed, and
 * says which it is. What was printed just before is not printed again.
 */
import { Option } from 'commander';
import { UsageError } from '../command-line/errors.ts';
import type { CompileStage } from '../compile.ts';
import { printProgram } from '../ir/print.ts';
import type { Program } from '../ir/program.ts';
import { passes } from '../passes/pipeline.ts';
import type { Plan, PlanKernel } from '../schedule/plan.ts';
import { closest } from '../syntax/suggest.ts';

/** What can be asked for: `written` is before every pass. */
const printable: readonly PrintedStage[] = [
  'written',
  ...(Object.keys(passes) as (keyof typeof passes)[]),
  'differentiate',
  'schedule',
];

type PrintedStage = CompileStage | 'schedule';

export type PrintAfter = ReadonlySet<PrintedStage>;

export function printAfterOption(): Option {
  const help = `print the program after a pass: ${printable.join(', ')}, several with commas, or all`;
  // Commander would miss `--out` otherwise.
  return new Option('--print-after <pass>', help).argParser(parsePasses).implies({ out: null });
}

function parsePasses(text: string): PrintAfter {
  const words = text.split(',').map((word) => word.trim());
  if (words.includes('all')) return new Set(printable);
  for (const word of words) {
    if ((printable as readonly string[]).includes(word)) continue;
    const near = closest(word, [...printable, 'all']);
    const help = near === undefined ? `there are ${printable.join(', ')} and all` : `did you mean ${near}?`;
    throw new UsageError(`--print-after ${JSON.stringify(text)}: there is no pass ${JSON.stringify(word)}; ${help}`);
  }
  return new Set(words as PrintedStage[]);
}

/** A function for `CompileOptions.inspect` that prints what was asked for. */
export function passPrinter(asked: PrintAfter, out: (text: string) => void): (stage: CompileStage, p: Program) => void {
  const times = new Map<CompileStage, number>();
  let printed: string | undefined;
  let isDerived = false;
  return (stage, program) => {
    isDerived ||= stage === 'differentiate';
    const time = (times.get(stage) ?? 0) + 1;
    times.set(stage, time);
    if (!asked.has(stage)) return;
    const text = printProgram(program);
    const isSame = text === printed;
    printed = text;
    const which = stage === 'written' ? 'as written' : `after ${stage}${time === 1 ? '' : `, time ${time}`}`;
    const whose = isDerived && stage !== 'differentiate' ? ', with derivatives' : '';
    out(`// ${which}${whose}${isSame ? ': the same\n' : `\n${text}`}\n`);
  };
}

/** The kernels in their order: what each makes, how, where its tensors lie: in a buffer, in tiles that are never stored, or in registers. */
export function printPlan({ kernels, buffers }: Plan): string {
  const memory = buffers.map(({ id, sizeBytes, role }) => `buffer ${id}: ${sizeBytes} bytes, ${role}`);
  return `// after schedule\n${[...memory, ...kernels.map(printKernel)].join('\n')}\n\n`;
}

function printKernel(kernel: PlanKernel): string {
  const { label, family, workgroups, tuning, multiplyAdds, bytes, bindings, held, equations } = kernel;
  const tuned = Object.entries(tuning).map(([name, value]) => `, ${name} ${value}`);
  const bound = bindings.map(
    ({ buffer, offsetBytes, sizeBytes, access, tensors }) =>
      `  ${access === 'read' ? 'reads ' : 'writes'} ${tensors.join(', ')} in ${buffer}[${offsetBytes}, +${sizeBytes}]`,
  );
  return [
    `kernel ${label}: ${family} on ${workgroups.join('×')} workgroups${tuned.join('')}`,
    `  ${multiplyAdds} multiply-adds, ${bytes} bytes`,
    ...bound,
    ...held.map(({ tensor, shape, place }) => `  holds  ${tensor} (${shape.join(', ')}) in ${place}s`),
    ...equations.map((equation) => `  ${equation}`),
  ].join('\n');
}
