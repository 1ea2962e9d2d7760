/**
 * `npm run bench`: the compiler's own speed (compiler.ts), then the kernel families on the device present (kernels.ts).
 * Small shapes on a device that is software.
 *
 * The trap: the two share the machine with everything else on it. The record says how loaded it was when the bench began;
 * numbers from a loaded machine are no reason to change anything.
 */
import { Command } from 'commander';
import { runCommand } from '../../compiler/command-line/errors.ts';
import { openDevice } from '../../runtime/device.ts';
import { stageCases, timeStage } from './compiler.ts';
import { benchCases } from './kernel-cases.ts';
import { timeKernels } from './kernels.ts';
import { recordHeader, writeRecord } from './record.ts';

interface Flags {
  readonly json?: string;
  readonly only: string;
  readonly device?: string;
}

const examples = `
A case is called \`compiler STRUCTURE STAGE\` or \`kernels NAME\`:
  npm run bench -- --only compiler                     no device is opened
  npm run bench -- --only "compiler bilinear_btt"      one structure
  npm run bench -- --only kernels --device swiftshader
  npm run bench -- --json test/bench/records/2026-11-24-bench.jsonl
`;

const command = new Command('bench')
  .description('Times the compiler stage by stage, then the kernel families on a device.')
  .option('--json <file>', 'keep the results, one JSON object a line; the first says date, device and command')
  .option('--only <text>', 'only cases whose name contains it', '')
  .option('--device <name>', 'auto, gpu, cpu, lavapipe, swiftshader or a part of a device’s name')
  .addHelpText('after', examples)
  .exitOverride()
  .action(bench);

async function bench({ json, only, device }: Flags): Promise<void> {
  const results: object[] = [];
  const wanted = (family: string) => (name: string) => `${family} ${name}`.includes(only);
  let header = recordHeader('none');

  const stages = stageCases(wanted('compiler'));
  if (stages.length > 0) say(columns('compiler', 'ms', 'a second', '±'));
  for (const stage of stages) {
    const result = timeStage(stage);
    results.push({ family: 'compiler', ...result });
    say(columns(result.case, `${result.timeMs}`, `${result.opsPerS}`, `${result.marginPercent} %`));
  }

  if ([...benchCases(true), ...benchCases(false)].some(({ name }) => wanted('kernels')(name))) {
    const opened = await openDevice(device === undefined ? {} : { name: device });
    header = { ...header, device: opened.name };
    try {
      say(columns(`kernels on ${opened.name}`, 'µs', 'rate', ''));
      for (const one of benchCases(opened.class === 'cpu').filter(({ name }) => wanted('kernels')(name))) {
        const result = await timeKernels(opened, one);
        results.push({ family: 'kernels', ...result });
        const rate = result.gflops === undefined ? `${result.gbytesPerS} GB/s` : `${result.gflops} GFLOP/s`;
        say(columns(result.case, `${result.timeUs}`, rate, `  ${result.kernels.join(', ')}`));
      }
    } finally {
      opened.destroy();
    }
  }
  if (json !== undefined) writeRecord(json, header, results);
}

function columns(name: string, time: string, rate: string, rest: string): string {
  return `${name.padEnd(44)}${time.padStart(10)}${rate.padStart(16)}${rest.padStart(8)}`.trimEnd();
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

await runCommand(async (argv) => {
  await command.parseAsync([...argv]);
});
