/** `mlbtc verify CASE_DIR --out FILE`: a golden case through the compiled step on the device; the checker judges the result. */
import type { Command } from 'commander';
import { UserError } from '../../compiler/command-line/errors.ts';
import { refuseOverwriting } from '../../compiler/command-line/output-place.ts';
import { openDevice } from '../../runtime/device.ts';
import { type StoredTensor, writeSafetensors } from '../../runtime/safetensors.ts';
import { deviceRunners } from '../training/device-runner.ts';
import type { MakeRunner } from '../training/runner.ts';
import { caseFiles, readCase, readCaseTensors } from '../verify/case.ts';
import { verifyMatrix } from '../verify/matrix.ts';
import { verifyModel } from '../verify/model.ts';

export function registerVerify(program: Command): void {
  program
    .command('verify')
    .description('compute a golden case: outputs, loss, gradients, parameters after optimizer steps')
    .argument('<case-dir>', 'folder with case.json and tensors.safetensors')
    .requiredOption('--out <file>', 'safetensors file for the result')
    .option('--device <name>', 'adapter to use, as `mlbtc doctor` names it')
    .action(async (folder: string, options: { out: string; device?: string }) => {
      refuseOverwriting(options.out, caseFiles(folder));
      const opened = await openDevice(options.device === undefined ? {} : { name: options.device });
      try {
        const result = await verifyCase(folder, deviceRunners(opened));
        writeSafetensors(options.out, result);
        process.stdout.write(`${result.size} tensors in ${options.out}, computed on ${opened.name}\n`);
      } finally {
        opened.destroy();
      }
    });
}

/** Everything a case asks for, under the names that it has there. */
export async function verifyCase(folder: string, makeRunner: MakeRunner): Promise<ReadonlyMap<string, StoredTensor>> {
  const golden = readCase(folder);
  switch (golden.type) {
    case 'model':
      return verifyModel(golden, readCaseTensors(folder), makeRunner);
    case 'matrix':
      return verifyMatrix(golden, readCaseTensors(folder), makeRunner);
    case 'tables':
      throw new UserError(`${golden.id}: the tables are not there yet; for now in-context models and matrices`);
    default:
      return golden satisfies never;
  }
}
