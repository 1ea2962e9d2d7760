/**
 * Time and memory of causal attention, forward and backward, as the text grows: linear attention, whose sums go in chunks, beside softmax.
 *
 *   node dist/test/bench/attention.js --tokens 1024,4096,16384,65536
 *
 * Queries, keys and values are given, 8 heads of 64, one text. One JSON object a line: what does not fit into the device's memory says
 * how much it would take, and is not run.
 */
import { Command } from 'commander';
import { bytesText } from '../../compiler/command-line/amounts.ts';
import { runCommand } from '../../compiler/command-line/errors.ts';
import { compile } from '../../compiler/compile.ts';
import { planBytes, planMultiplyAdds } from '../../compiler/schedule/plan.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { createExecutor } from '../../runtime/executor.ts';
import { recordHeader, writeRecord } from './record.ts';
import { round, time, warmUpMs } from './timing.ts';

interface Flags {
  readonly device?: string;
  readonly tokens: string;
  readonly steps: string;
  readonly most: string;
  readonly json?: string;
}

const links = {
  linear: `
    mass[h, t] = sum[u, k](exp(q[h, t, k]) * exp(key[h, u, k]) where u <= t)
    A[h, t, u] = exp(q[h, t, k]) * exp(key[h, u, k]) / mass[h, t] where u <= t`,
  softmax: 'A[h, t, u] = softmax[u](q[h, t, k] * key[h, u, k] where u <= t)',
} as const;

const text = (link: keyof typeof links) => `structure Attention {
    size T, H = 8, D = 64
    axis h: H, t, u: T, k, e: D
    input q[h, t, k]
    input key[h, t, k]
    input v[h, t, e]
    ${links[link]}
    y[h, t, e] = A[h, t, u] * v[h, u, e]
    output y
  }`;

const command = new Command('attention')
  .description('Times linear and softmax attention, forward and backward, at several lengths. One JSON object a line.')
  .option('--device <name>', 'auto, gpu, cpu, lavapipe, swiftshader or a part of a device’s name')
  .option('--tokens <list>', 'lengths of the text', '1024,4096,16384,65536')
  .option('--steps <n>', 'runs that are timed', '20')
  .option('--most <gib>', 'memory that a plan may take', '40')
  .option('--json <file>', 'keep the results in a file as well')
  .exitOverride()
  .action(bench);

async function bench({ device, tokens, steps, most, json }: Flags): Promise<void> {
  const opened = await openDevice(device === undefined ? {} : { name: device });
  const header = recordHeader(opened.name);
  const lines: object[] = [];
  process.stdout.write(`${JSON.stringify(header)}\n`);
  try {
    for (const length of tokens.split(',').map(Number)) {
      for (const link of Object.keys(links) as (keyof typeof links)[]) {
        const line = {
          case: `${link} attention`,
          tokens: length,
          ...(await timeOne(opened, link, length, Number(steps), Number(most))),
        };
        process.stdout.write(`${JSON.stringify(line)}\n`);
        lines.push(line);
      }
    }
  } finally {
    opened.destroy();
  }
  if (json !== undefined) writeRecord(json, header, lines);
}

async function timeOne(opened: OpenedDevice, link: keyof typeof links, T: number, steps: number, mostGib: number) {
  const source = { file: `${link}.mlbtc`, text: text(link) };
  const { compiled, diagnostics } = compile({
    source,
    sizes: { T },
    resolve: () => undefined,
    unbound: 'refuse',
    target: opened.target,
    gradients: true,
  });
  if (compiled === undefined) throw new Error(diagnostics.map(({ message }) => message).join('\n'));
  const { plan } = compiled;
  const bytes = planBytes(plan);
  const about = {
    multiplyAdds: planMultiplyAdds(plan),
    dispatches: plan.kernels.length,
    mebibytes: Math.round(bytes / 2 ** 20),
  };
  if (bytes > mostGib * 2 ** 30) return { ...about, skipped: `${bytesText(bytes)} is more than ${mostGib} GiB` };
  try {
    const executor = await createExecutor(opened, plan);
    try {
      for (const name of plan.inputs) {
        const elements = plan.tensors[name].shape.reduce((n, extent) => n * extent, 1);
        executor.upload(
          name,
          Float32Array.from({ length: elements }, (_, i) => Math.sin(i * 7.1)),
        );
      }
      const { stepMs, waitedMs } = await time(executor, steps, opened.class === 'gpu' ? warmUpMs : 0);
      return { ...about, stepMs: round(stepMs), waitedMs: round(waitedMs) };
    } finally {
      executor.destroy();
    }
  } catch (error) {
    // A buffer that is larger than the device binds is the answer, not a failure of the bench.
    return { ...about, skipped: (error as Error).message.split('\n')[0] };
  }
}

await runCommand(async (argv) => {
  await command.parseAsync([...argv]);
});
