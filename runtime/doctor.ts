/**
 * `mlbtc doctor`: what can run here. Every adapter of the ladder is opened, computes something small and is closed again;
 * then features and limits that matter, the kernel families they allow, what is missing and how to get it.
 *
 * The trap: a machine where the best device is broken must still get a report, so each adapter fails by itself; only where
 * none works does the command exit with 3.
 */

import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { bytesText } from '../compiler/command-line/amounts.ts';
import type { Target } from '../kernels/target.ts';
import { type Attempt, adapters, openAdapter, type Rung } from './device.ts';
import type { ExecutablePlan } from './executable-plan.ts';
import { createExecutor } from './executor.ts';
import { type FamilyVerdict, kernelFamilies } from './kernel-families.ts';
import { type MachineFacts, type Remedy, remedies } from './remedies.ts';
import { unsafeTogglesOfEnvironment } from './unsafe-toggles.ts';
import { oldLavapipe, vulkanSystem } from './vulkan-system.ts';

interface WorkingDevice {
  readonly rung: Rung;
  readonly target: Target;
  readonly families: readonly FamilyVerdict[];
  /** Milliseconds from asking for the device to its first result. */
  readonly firstResultMs: number;
}

export interface DoctorReport {
  readonly wanted: string;
  /** In the order of the ladder; the first is the one that commands use. */
  readonly devices: readonly WorkingDevice[];
  readonly failed: readonly Attempt[];
  readonly remedies: readonly Remedy[];
}

/** Adds `doctor` to the command line. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('say which devices this machine has, what they allow, what is missing and how to get it')
    .option('--device <name>', 'look only for this device: auto, gpu, cpu, lavapipe, swiftshader or a part of its name')
    .option('--json', 'the same as data')
    .action(async (options: { device?: string; json?: boolean }) => {
      const report = await examine(options.device ?? process.env.MLBTC_DEVICE ?? 'auto');
      const text = options.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report);
      process.stdout.write(text);
      if (report.devices.length === 0) process.exitCode = 3;
    });
}

/** Tries every device that the name admits. */
export async function examine(wanted: string): Promise<DoctorReport> {
  const failed: Attempt[] = [];
  const devices: WorkingDevice[] = [];
  for await (const found of adapters(wanted, failed)) {
    const startMs = performance.now();
    try {
      const opened = await openAdapter(found);
      await computeSomething(opened);
      const firstResultMs = performance.now() - startMs;
      devices.push({ rung: found.rung, target: opened.target, families: kernelFamilies(opened.target), firstResultMs });
      opened.destroy();
    } catch (error) {
      failed.push({ rung: found.rung, adapterName: found.name, reason: (error as Error).message });
    }
  }
  const rungs = devices.map(({ rung }) => rung);
  return { wanted, devices, failed, remedies: remedies(machineFacts(rungs, failed)) };
}

const selfTest: ExecutablePlan = {
  buffers: [{ id: 'squares', sizeBytes: 256 }],
  kernels: [
    {
      label: 'squares[i] = i * i',
      key: 'doctor',
      entryPoint: 'main',
      wgsl: `@group(0) @binding(0) var<storage, read_write> squares: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { squares[i] = f32(i * i); }`,
      bindings: [{ buffer: 'squares', offsetBytes: 0, sizeBytes: 256, access: 'read_write' }],
      workgroups: [1, 1, 1],
    },
  ],
  tensors: { squares: { buffer: 'squares', offsetBytes: 0, dtype: 'f32', shape: [64] } },
};

async function computeSomething(opened: Awaited<ReturnType<typeof openAdapter>>): Promise<void> {
  const executor = await createExecutor(opened, selfTest);
  const squares = (await executor.runAndRead('squares')).get('squares') ?? [];
  executor.destroy();
  for (let i = 0; i < 64; i += 1) {
    if (squares[i] !== i * i) throw new Error(`it opens, but computes ${i}² = ${squares[i]}`);
  }
}

function machineFacts(found: readonly Rung[], failed: readonly Attempt[]): MachineFacts {
  const { hardware, distribution, drivers } = vulkanSystem();
  return {
    platform: process.platform,
    arch: process.arch,
    distribution,
    inContainer: existsSync('/.dockerenv') || existsSync('/run/.containerenv'),
    hardware,
    renderNodeDenied: renderNodeDenied(),
    missing: failed.map(({ rung }) => rung).filter((rung) => !found.includes(rung)),
    nothingWorks: found.length === 0,
    oldLavapipe: drivers.some(({ obstacle }) => obstacle === oldLavapipe),
  };
}

function renderNodeDenied(): boolean {
  const folder = '/dev/dri';
  const nodes = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith('renderD')) : [];
  const denied = (name: string) => {
    try {
      accessSync(join(folder, name), constants.R_OK | constants.W_OK);
      return false;
    } catch {
      return true;
    }
  };
  return nodes.length > 0 && nodes.every(denied);
}

const rungTitles: Readonly<Record<Rung, string>> = {
  hardware: 'GPU',
  'system-software': 'system software device',
  'bundled-swiftshader': 'bundled software device',
};

const shownFeatures = ['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix'] as const;

/** The report for people. */
export function formatReport({ wanted, devices, failed, remedies: missing }: DoctorReport): string {
  const lines = ['Devices, in the order they are tried'];
  for (const [i, { rung, target, firstResultMs }] of devices.entries()) {
    lines.push(
      `  ${i === 0 ? '*' : ' '} ${rungTitles[rung]}: ${target.name} (first result after ${Math.round(firstResultMs)} ms)`,
    );
  }
  for (const { rung, adapterName, reason } of failed) {
    lines.push(`  - ${rungTitles[rung]}: ${adapterName === undefined ? '' : `${adapterName}: `}${reason}`);
  }
  if (devices.length > 0) {
    lines.push('  (* is used unless --device or MLBTC_DEVICE names another)', '', ...formatDevice(devices[0]));
  }
  lines.push('', 'What is missing');
  if (missing.length === 0) lines.push('  nothing');
  for (const { missing: what, command } of missing) {
    lines.push(`  - ${what}`);
    if (command !== undefined) lines.push(`      ${command}`);
  }
  if (devices.length === 0)
    lines.push('', `Nothing can run on this machine${wanted === 'auto' ? '' : ` with --device ${wanted}`}.`);
  return `${lines.join('\n')}\n`;
}

function formatDevice({ target, families }: WorkingDevice): string[] {
  const { limits, features, subgroupSize } = target;
  const rows: [string, string][] = [
    ...shownFeatures.map((feature): [string, string] => [feature, features.includes(feature) ? 'yes' : 'no']),
    ['subgroup size', subgroupSize === undefined ? '-' : [...new Set(Object.values(subgroupSize))].join(' to ')],
    ['largest buffer', bytesText(limits.maxBufferSize)],
    ['largest binding', bytesText(limits.maxStorageBufferBindingSize)],
    ['storage buffers a kernel', String(limits.maxStorageBuffersPerShaderStage)],
    ['workgroup memory', bytesText(limits.maxComputeWorkgroupStorageSize)],
    ['threads a workgroup', String(limits.maxComputeInvocationsPerWorkgroup)],
    ['workgroups a dimension', String(limits.maxComputeWorkgroupsPerDimension)],
    ['checks left out', unsafeTogglesOfEnvironment().join(', ') || 'none'],
  ];
  const verdicts = families.map(({ family, lacks, note }): [string, string] => [
    family,
    lacks === undefined ? `yes${note === undefined ? '' : ` (${note})`}` : `no, lacks ${lacks}`,
  ]);
  return [
    `Features and limits of ${target.name}`,
    ...alignColumns(rows),
    '',
    'Kernel families it allows',
    ...alignColumns(verdicts),
  ];
}

function alignColumns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `    ${name.padEnd(width)}  ${value}`);
}
