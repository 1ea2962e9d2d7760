/** `mlbtc verify CASE_DIR --out FILE`: a golden case through the compiled step on the device; the checker judges the result. */
import type { Command } from 'commander';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { UserError } from '../../compiler/command-line/errors.ts';
import { outputPlace, refuseOverwriting } from '../../compiler/command-line/output-place.ts';
import { openDevice } from '../../runtime/device.ts';
import { type StoredTensor, writeSafetensors } from '../../runtime/safetensors.ts';
import { deviceRunners } from '../training/device-runner.ts';
import type { MakeRunner } from '../training/runner.ts';
import { caseFiles, readCase, readCaseTensors } from '../verify/case.ts';
import { verifyMatrix } from '../verify/matrix.ts';
import { verifyModel } from '../verify/model.ts';
import { verifyTables } from '../verify/tables.ts';

export function registerVerify(program: Command): void {
  program
    .command('verify')
    .description('compute a golden case: outputs, loss, gradients, parameters after optimizer steps')
    .argument('<case-dir>', 'folder with case.json and tensors.safetensors')
    .requiredOption('--out <file>', 'file for the result: safetensors, of the tables JSON')
    .option('--device <name>', 'adapter to use, as `mlbtc doctor` names it')
    .action(async (folder: string, options: { out: string; device?: string }) => {
      refuseOverwriting(options.out, caseFiles(folder));
      const golden = readCase(folder);
      if (golden.type === 'tables') {
        writeFileAtomically(options.out, [JSON.stringify(verifyTables(golden), null, 1)]);
        process.stdout.write(`tables in ${options.out}\n`);
        return;
      }
      const opened = await openDevice(options.device === undefined ? {} : { name: options.device });
      try {
        const result = await verifyCase(folder, deviceRunners(opened));
        writeSafetensors(options.out, result);
        // Where the result itself goes to standard output, nothing else may.
        const told = outputPlace(options.out).kind === 'file' ? process.stdout : process.stderr;
        told.write(`${result.size} tensors in ${options.out}, computed on ${opened.name}\n`);
      } finally {
        opened.destroy();
      }
    });
}

/** Every tensor that a case asks for, under the name that it has there. Throws UserError for a case of tables. */
export async function verifyCase(folder: string, makeRunner: MakeRunner): Promise<ReadonlyMap<string, StoredTensor>> {
  const golden = readCase(folder);
  switch (golden.type) {
    case 'model':
      return verifyModel(golden, readCaseTensors(folder), makeRunner);
    case 'matrix':
      return verifyMatrix(golden, readCaseTensors(folder), makeRunner);
    case 'tables':
      throw new UserError(`${golden.id} asks for tables, not for tensors`);
    default:
      return golden satisfies never;
  }
}
