/**
 * What `mlbtc doctor` tells a person to do: each device that is missing, why, and the command that would bring it on this
 * system. Pure, from facts gathered elsewhere (vulkan-system.ts, device.ts), so that every case can be tested on one machine.
 *
 * The trap: advice must not send people after hardware they do not have. A machine without a GPU lacks nothing.
 */

import type { Rung } from './device.ts';

export interface MachineFacts {
  readonly platform: string;
  readonly arch: string;
  /** `debian 12`, `ubuntu 24.04`; empty where unknown. */
  readonly distribution: string;
  readonly inContainer: boolean;
  /** Vendors of the hardware that the kernel shows. */
  readonly hardware: readonly string[];
  /** Render nodes are there, and this user may not open them. */
  readonly renderNodeDenied: boolean;
  /** Rungs of the ladder that were tried and gave no device that works. */
  readonly missing: readonly Rung[];
  /** Nothing at all works. */
  readonly nothingWorks: boolean;
  /** A lavapipe that Dawn refuses. */
  readonly oldLavapipe: boolean;
}

export interface Remedy {
  readonly missing: string;
  /** What to type; absent where no command helps. */
  readonly command?: string;
}

const nvidiaDriver: Readonly<Record<string, string>> = {
  debian: 'sudo apt-get install nvidia-driver nvidia-vulkan-icd libvulkan1',
  ubuntu: 'sudo ubuntu-drivers install && sudo apt-get install libvulkan1',
  fedora: 'sudo dnf install akmod-nvidia vulkan-loader',
  arch: 'sudo pacman -S nvidia vulkan-icd-loader',
};

const mesaDriver: Readonly<Record<string, string>> = {
  'debian 12': 'sudo apt-get install -t bookworm-backports mesa-vulkan-drivers libvulkan1',
  debian: 'sudo apt-get install mesa-vulkan-drivers libvulkan1',
  ubuntu: 'sudo apt-get install mesa-vulkan-drivers libvulkan1',
  fedora: 'sudo dnf install mesa-vulkan-drivers vulkan-loader',
  arch: 'sudo pacman -S vulkan-swrast vulkan-icd-loader',
};

/** What is missing on this machine, most useful first; empty where there is nothing to gain. */
export function remedies(facts: MachineFacts): Remedy[] {
  const { platform, arch, distribution, hardware } = facts;
  const missing = new Set(facts.missing);
  const result: Remedy[] = [];
  if (platform !== 'linux') {
    if (facts.nothingWorks)
      result.push({ missing: 'a GPU driver with Metal (macOS 13 or later) or Direct3D 12 (Windows 10)' });
    return result;
  }
  if (missing.has('hardware')) {
    for (const vendor of hardware) result.push(hardwareRemedy(vendor, facts));
  }
  if (missing.has('system-software') && (missing.has('hardware') || facts.nothingWorks)) {
    const why = facts.oldLavapipe ? 'the one installed is too old' : 'not installed';
    const command = forDistribution(mesaDriver, distribution);
    const sources =
      distribution === 'debian 12' ? ', from bookworm-backports, which must be among the apt sources' : '';
    result.push({
      missing: `lavapipe, a software device several times faster than SwiftShader (${why}${sources})`,
      command,
    });
  }
  if (missing.has('bundled-swiftshader') && arch === 'x64') {
    const what = 'the bundled SwiftShader, the device of last resort';
    result.push({ missing: what, command: 'npm install --no-save @sparticuz/chromium@147.0.0' });
  }
  return result;
}

function hardwareRemedy(vendor: string, facts: MachineFacts): Remedy {
  if (facts.renderNodeDenied) {
    const missing = `the right to use the ${vendor} GPU (/dev/dri/renderD*); log in again afterwards`;
    return { missing, command: 'sudo usermod -aG render,video "$USER"' };
  }
  const missing = `a Vulkan driver for the ${vendor} GPU in this machine`;
  if (vendor !== 'NVIDIA') return { missing, command: forDistribution(mesaDriver, facts.distribution) };
  if (facts.inContainer) {
    const command = 'docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=all …';
    return { missing: `${missing}: the container was started without the graphics part of the driver`, command };
  }
  return { missing, command: forDistribution(nvidiaDriver, facts.distribution) };
}

function forDistribution(commands: Readonly<Record<string, string>>, distribution: string): string | undefined {
  return commands[distribution] ?? commands[distribution.split(' ')[0]];
}
