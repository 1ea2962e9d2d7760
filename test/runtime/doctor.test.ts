import { Command } from 'commander';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { portableTarget, type Target } from '../../kernels/target.ts';
import { examine, formatReport, registerDoctor } from '../../runtime/doctor.ts';
import { kernelFamilies } from '../../runtime/kernel-families.ts';
import { type MachineFacts, remedies } from '../../runtime/remedies.ts';
import { testWithSwiftShader } from '../support/bundled.ts';

afterEach(() => {
  process.exitCode = undefined;
  vi.restoreAllMocks();
});

async function doctor(...args: string[]): Promise<{ text: string; exitCode: unknown }> {
  let text = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  const program = new Command('mlbtc').exitOverride();
  registerDoctor(program);
  await program.parseAsync(['node', 'mlbtc', 'doctor', ...args]);
  return { text, exitCode: process.exitCode };
}

describe('mlbtc doctor', () => {
  testWithSwiftShader('finds the bundled device, computes on it and says what it allows', async () => {
    const { text, exitCode } = await doctor('--device', 'swiftshader');
    expect(exitCode).toBeUndefined();
    expect(text).toMatch(/^ {2}\* bundled software device: SwiftShader driver [\d.]+ \(first result after \d+ ms\)$/m);
    expect(text).toMatch(/^ {4}shader-f16 +no$/m);
    expect(text).toMatch(/^ {4}storage buffers a kernel +12$/m);
    expect(text).toMatch(
      /^ {4}contraction f32 on tensor cores +no, lacks shader-f16, chromium-experimental-subgroup-matrix$/m,
    );
    expect(text).toContain('What is missing\n  nothing\n');
  });

  test('exits with 3 where nothing can run, and names the reasons', async () => {
    const { text, exitCode } = await doctor('--device', 'voodoo 3');
    expect(exitCode).toBe(3);
    expect(text).toContain("its name does not contain 'voodoo 3'");
    expect(text).toContain('Nothing can run on this machine with --device voodoo 3.');
  });

  testWithSwiftShader('gives the same as data', async () => {
    const report = JSON.parse((await doctor('--device', 'swiftshader', '--json')).text);
    expect(report.devices[0].rung).toBe('bundled-swiftshader');
    expect(report.devices[0].target.class).toBe('cpu');
  });

  testWithSwiftShader('tries the whole ladder', async () => {
    const report = await examine('auto');
    expect(report.devices.map(({ rung }) => rung)).toContain('bundled-swiftshader');
    expect(formatReport(report)).toContain('GPU: ');
  });
});

describe('what is missing', () => {
  const bare: MachineFacts = {
    platform: 'linux',
    arch: 'x64',
    distribution: 'debian 12',
    inContainer: false,
    hardware: [],
    renderNodeDenied: false,
    missing: ['hardware', 'system-software'],
    nothingWorks: false,
    oldLavapipe: false,
  };
  const advice = (facts: Partial<MachineFacts>) =>
    remedies({ ...bare, ...facts }).map(({ missing, command }) => `${missing} > ${command ?? ''}`);

  test('a machine without a GPU lacks only the faster software device', () => {
    expect(advice({})).toEqual([
      expect.stringMatching(/^lavapipe.* > sudo apt-get install -t bookworm-backports mesa-/),
    ]);
    expect(advice({ distribution: 'ubuntu 24.04' })).toEqual([expect.stringMatching(/> sudo apt-get install mesa-/)]);
    expect(advice({ distribution: 'plan9 4' })).toEqual([expect.stringMatching(/^lavapipe.* > $/)]);
    expect(advice({ oldLavapipe: true })[0]).toContain('the one installed is too old');
  });

  test('a GPU without its driver comes first, with the command of the place it is in', () => {
    expect(advice({ hardware: ['NVIDIA'] })[0]).toContain('> sudo apt-get install nvidia-driver');
    expect(advice({ hardware: ['NVIDIA'], inContainer: true })[0]).toContain('NVIDIA_DRIVER_CAPABILITIES=all');
    expect(advice({ hardware: ['AMD'] })[0]).toContain('a Vulkan driver for the AMD GPU');
    expect(advice({ hardware: ['AMD'], renderNodeDenied: true })[0]).toContain('usermod -aG render');
  });

  test('nothing is advised for what works, and the last resort is named where it is gone', () => {
    expect(advice({ missing: ['system-software'] })).toEqual([]);
    expect(advice({ missing: ['bundled-swiftshader'] })[0]).toContain(
      'npm install --no-save @sparticuz/chromium@147.0.0',
    );
    expect(advice({ missing: ['bundled-swiftshader'], arch: 'arm64' })).toEqual([]);
    expect(advice({ platform: 'darwin', nothingWorks: true })[0]).toContain('Metal');
  });
});

test('tensor cores need f16, subgroups, subgroup matrices and the memory to stage tiles', () => {
  const gpu: Target = {
    ...portableTarget,
    features: ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups', 'timestamp-query'],
    limits: { ...portableTarget.limits, maxComputeWorkgroupStorageSize: 49152 },
    subgroupSize: { min: 32, max: 32 },
    subgroupMatrices: [{ component: 'f16', result: 'f32', m: 16, n: 16, k: 16 }],
  };
  const lacking = (target: Target) => kernelFamilies(target).flatMap(({ family, lacks }) => (lacks ? [family] : []));
  expect(lacking(gpu)).toEqual([]);
  expect(lacking({ ...gpu, limits: portableTarget.limits })).toEqual(['contraction f32 on tensor cores']);
  expect(lacking({ ...gpu, subgroupMatrices: [] })).toEqual(['contraction f32 on tensor cores']);
  expect(lacking(portableTarget)).toContain('timing of single kernels');
});
