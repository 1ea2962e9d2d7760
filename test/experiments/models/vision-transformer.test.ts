/** The vision transformer: tokens are the patches of an image, which come in no order but that of their positions. */
import { describe, expect, test } from 'vitest';
import { interpret } from '../../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../../compiler/ir/ndarray.ts';
import { visionProgram } from '../../../experiments/models/model.ts';
import { scoreOf } from '../../../experiments/models/score.ts';
import { resolveVit } from '../../../experiments/options/vit.ts';
import { paramsOf } from '../../../experiments/training/mup.ts';
import { normals } from '../../support/random-values.ts';

const shape = { batch: 2, channels: 2, height: 4, width: 6, classes: 3 } as const;
const label = ndarray([2], Int32Array.of(0, 2));
/** Rows and columns of patches of 2 × 2. */
const [rows, columns] = [2, 3];

function model(...words: string[]) {
  const { options, sizes } = resolveVit(['--d_model=8', '--n_head=2', '--n_layer=2', '--patch_size=2', ...words]);
  const program = visionProgram(options, scoreOf(options, sizes), shape);
  const params = new Map(paramsOf(program).map((param, i) => [param.name, normals(param.shape, 11 + i)]));
  return { program, params };
}

/** The patch at (row, column) comes from where `from` says. */
function shuffled(image: NdArray, from: (row: number, column: number) => readonly [number, number]): NdArray {
  const { height, width } = shape;
  return ndarray(
    image.shape,
    Float64Array.from(image.data, (_, i) => {
      const [plane, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
      const [row, column] = from(Math.floor(y / 2), Math.floor(x / 2));
      return image.data[(plane * height + 2 * row + (y % 2)) * width + 2 * column + (x % 2)];
    }),
  );
}

const backwards = (row: number, column: number) => [rows - 1 - row, columns - 1 - column] as const;

describe.each([
  [['--pool=class']],
  [['--pool=mean']],
  [['--pool=class', '--token_mixing_struct=bilinear_BTT']],
  [['--pool=mean', '--token_mixing_struct=multi_level_low_rank', '--mlr_rank_list=2|2']],
  [['--pool=mean', '--token_mixing_struct=low_rank_with_sliding_window', '--sliding_block_size=1', '--bias']],
])('%j', (words) => {
  test('patches in another order with their positions are the same image; under a mask they are not', () => {
    const results = ['--causal=False', '--causal=True'].map((causal) => {
      const { program, params } = model(...words, causal);
      const image = normals([2, 2, 4, 6], 3);
      const wpe = params.get('wpe') as NdArray;
      const [, width] = wpe.shape;
      const patches = rows * columns;
      const moved = Float64Array.from(wpe.data, (value, i) => {
        const t = Math.floor(i / width);
        return t < patches ? wpe.data[(patches - 1 - t) * width + (i % width)] : value;
      });
      const logits = (values: ReadonlyMap<string, NdArray>) =>
        interpret(program, new Map([...params, ['label', label], ...values]), ['logits']).get('logits') as NdArray;
      const found = logits(new Map([['image', image]]));
      const other = logits(
        new Map([
          ['image', shuffled(image, backwards)],
          ['wpe', ndarray(wpe.shape, moved)],
        ]),
      );
      return Math.max(...found.data.map((value, i) => Math.abs(value - other.data[i])));
    });
    expect(results[0]).toBeLessThan(1e-10);
    expect(results[1]).toBeGreaterThan(1e-3);
  });
});
