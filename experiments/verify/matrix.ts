/** A golden matrix case: y = x Wᵀ of a library structure, and the gradients of sum(cotangent · y). */

import { UserError } from '../../compiler/command-line/errors.ts';
import { differentiate } from '../../compiler/passes/differentiate/differentiate.ts';
import { optimise, optimiseDerivatives } from '../../compiler/passes/pipeline.ts';
import type { StoredTensor } from '../../runtime/safetensors.ts';
import { structurePath } from '../library.ts';
import { analyseSource } from '../models/analyse.ts';
import { fileSource, resolveFile } from '../models/resolve.ts';
import type { MakeRunner } from '../training/runner.ts';
import { floats, type MatrixCase } from './case.ts';
import { matrixStructure } from './matrices.ts';

type Tensors = ReadonlyMap<string, StoredTensor>;

export async function verifyMatrix(golden: MatrixCase, tensors: Tensors, makeRunner: MakeRunner): Promise<Tensors> {
  const structure = matrixStructure(golden.structure);
  const source = fileSource(structurePath(structure.file));
  if (source === undefined) throw new UserError(`the library has no ${structure.file}`);
  const x = floats(tensors, 'x');
  const program = analyseSource(source, {
    sizes: structure.sizes(golden.cores),
    inputShapes: { x: x.shape },
    resolve: resolveFile,
  });
  const cores = Object.keys(golden.cores);
  const [output] = program.outputs;
  const wrt = ['x', ...cores.map(structure.param)];
  const backward = differentiate(optimise(program), { seeds: { [output]: 'input' }, wrt });
  const gradients = backward.outputs.slice(program.outputs.length);
  const runner = await makeRunner(optimiseDerivatives(backward));
  try {
    runner.upload('x', x.data);
    for (const core of cores) runner.upload(structure.param(core), floats(tensors, `core.${core}`).data);
    const cotangent = floats(tensors, 'cotangent');
    runner.upload(`cot.${output}`, cotangent.data);
    runner.run();
    const result = new Map<string, StoredTensor>();
    const give = async (name: string, from: string, shape: readonly number[]) => {
      const data = (await runner.download(from)).get(from) as ArrayLike<number>;
      result.set(name, { dtype: 'F32', shape, data: Float32Array.from(data) });
    };
    await give('y', output, cotangent.shape);
    await give('grad.x', gradients[0], x.shape);
    for (const [i, core] of cores.entries()) await give(`grad.${core}`, gradients[i + 1], golden.cores[core]);
    return result;
  } finally {
    runner.destroy();
  }
}
