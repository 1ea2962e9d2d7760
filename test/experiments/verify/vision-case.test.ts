/**
 * The golden case `vit_btt` is what plain loops make of its own inputs. `MLBTC_WRITE_CASES=1` makes it anew, every gradient by
 * differences; what is checked at every run is the outputs and a part of the gradients.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFolder } from '../../../compiler/command-line/folders.ts';
import { readSafetensors, type StoredTensor, writeSafetensors } from '../../../runtime/safetensors.ts';
import { integers, normals } from '../../support/random-values.ts';
import {
  type LoopTensors,
  visionCase,
  visionGradient,
  visionLoops,
  visionParams,
  visionStep,
} from '../../support/vision-loops.ts';
import { goldenFolder } from './check.ts';

const folder = goldenFolder('vit_btt');
const { batch, channels, height, width, classes, D, H, layers, s, patch } = visionCase;
const optimizer = {
  ...{ lr: visionCase.lr, beta1: visionCase.beta1, beta2: visionCase.beta2, eps: visionCase.eps },
  ...{ weight_decay: visionCase.weightDecay, grad_clip: visionCase.gradClip, lr_mults: [visionCase.multiplier] },
};
const description = {
  id: 'vit_btt',
  type: 'model',
  config: {
    ...{ kind: 'vit', token_mixing_struct: 'low_rank', d_model: D, n_head: H, n_layer: layers, patch_size: patch },
    ...{ pool: 'class', causal: false, bias: false, slot: 'linear=btt', sizes: { 'linear.s': s } },
  },
  inputs: ['image', 'label'],
  outputs: ['logits', 'loss'],
  loss_fn: 'cross_entropy',
  optimizer,
};

/** As a file has them, so that all is computed from what is stored. */
const rounded = (values: ArrayLike<number>) => Float64Array.from(values, Math.fround);

function drawn(): LoopTensors {
  const image = [batch, channels, height, width];
  const params = visionParams(visionCase).map(({ name, shape, fanIn }, i) => {
    const isNorm = /ln_|gq|gk/.test(name);
    const std = fanIn === undefined ? 0.5 : fanIn ** -0.5;
    const data = rounded(normals(shape, 100 + i).data.map((z) => (isNorm ? 1 + 0.1 * z : std * z)));
    return [name, { shape, data }] as const;
  });
  return new Map([
    ['image', { shape: image, data: rounded(normals(image, 1).data) }],
    ['label', { shape: [batch], data: Float64Array.from(integers([batch], 2, classes).data) }],
    ...params,
  ]);
}

function write(): void {
  const tensors = drawn();
  const { logits, loss } = visionLoops(visionCase, tensors);
  const names = visionParams(visionCase).map(({ name }) => name);
  const gradients = new Map(names.map((name) => [name, visionGradient(visionCase, tensors, name)]));
  const stepped = visionStep(visionCase, tensors, gradients);
  const after = new Map(
    [...tensors].map(([name, { shape, data }]) => [name, { shape, data: stepped.get(name) ?? data }]),
  );
  const stored = new Map<string, StoredTensor>();
  const give = (name: string, shape: readonly number[], data: ArrayLike<number>) =>
    stored.set(name, { dtype: 'F32', shape, data: Float32Array.from(data) });
  for (const [name, { shape, data }] of tensors) {
    if (name === 'label') stored.set(name, { dtype: 'I32', shape, data: Int32Array.from(data) });
    else give(name === 'image' ? name : `param.${name}`, shape, data);
  }
  give('logits', [batch, classes], logits);
  give('loss', [1], [loss]);
  give('step1.loss', [1], [visionLoops(visionCase, after).loss]);
  for (const { name, shape } of visionParams(visionCase)) {
    give(`grad.${name}`, shape, gradients.get(name) as Float64Array);
    give(`step1.${name}`, shape, stepped.get(name) as Float64Array);
  }
  makeFolder(folder);
  writeSafetensors(join(folder, 'tensors.safetensors'), stored);
  writeFileSync(join(folder, 'case.json'), `${JSON.stringify(description, null, 1)}\n`);
}

/** So many gradients are left out between two that are computed again. */
const every = 97;

test('is what plain loops make of it', () => {
  if (process.env.MLBTC_WRITE_CASES) write();
  expect(JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8'))).toEqual(description);
  const { tensors } = readSafetensors(join(folder, 'tensors.safetensors'));
  const at = (name: string) => tensors.get(name) as StoredTensor;
  const values = (name: string) => Float64Array.from(at(name).data as Float32Array);
  const params = visionParams(visionCase);
  const inputs: LoopTensors = new Map([
    ...['image', 'label'].map((name) => [name, { shape: at(name).shape, data: values(name) }] as const),
    ...params.map(({ name, shape }) => [name, { shape, data: values(`param.${name}`) }] as const),
  ]);
  for (const [name, { data }] of drawn()) expect(inputs.get(name)?.data).toEqual(data);
  const { logits, loss } = visionLoops(visionCase, inputs);
  expect(values('logits')).toEqual(rounded(logits));
  expect(values('loss')).toEqual(rounded([loss]));
  const stored = new Map(params.map(({ name }) => [name, values(`grad.${name}`)]));
  for (const { name } of params) {
    const gradient = visionGradient(visionCase, inputs, name, every);
    for (let i = 0; i < gradient.length; i += every) expect(stored.get(name)?.[i]).toBeCloseTo(gradient[i], 7);
  }
  const stepped = visionStep(visionCase, inputs, stored);
  for (const { name } of params) {
    const [now, then] = [stepped.get(name) as Float64Array, values(`step1.${name}`)];
    for (const [i, value] of now.entries()) expect(Math.abs(value - then[i])).toBeLessThan(1e-6);
  }
});
