/** An incremental program run over a text by the interpreter, as a decoder runs it on the device. */
import { interpret } from '../../compiler/ir/interpret.ts';
import { type NdArray, ndarray } from '../../compiler/ir/ndarray.ts';
import { elementCount, type Program, type Tensor } from '../../compiler/ir/program.ts';
import { type Incremental, now } from '../../compiler/passes/incremental/incremental.ts';
import { normals } from './random-values.ts';

/** The rows of `logits`, token by token; `text` is (batch, tokens, …). What was never kept is NaN. */
export function tokenByToken(
  { program, prepared, pasts, tokens }: Incremental,
  params: ReadonlyMap<string, NdArray>,
  input: string,
  text: NdArray,
): readonly Float64Array[] {
  const still = interpret(prepared, params, prepared.outputs);
  const [batch, , ...inner] = text.shape;
  const width = elementCount(inner);
  const given = new Map<string, NdArray>([...params, ...still]);
  const nothingYet = (name: string) => {
    const { shape } = program.tensors.find((tensor) => tensor.name === name) as Tensor;
    return ndarray(shape, new Float64Array(elementCount(shape)).fill(Number.NaN));
  };
  for (const { name } of pasts) given.set(name, nothingYet(name));
  const rows: Float64Array[] = [];
  for (let t = 0; t < tokens; t += 1) {
    const row = Float64Array.from({ length: batch * width }, (_, n) => {
      const [b, i] = [Math.floor(n / width), n % width];
      return text.data[(b * tokens + t) * width + i];
    });
    given.set(input, ndarray([batch, ...inner], row));
    given.set(now, ndarray([], [t]));
    const values = interpret(program, given);
    rows.push(values.get('logits')?.data as Float64Array);
    for (const { name, row: from, length } of pasts) {
      const past = given.get(name) as NdArray;
      const made = values.get(from) as NdArray;
      past.data.set(made.data, (t % length) * made.data.length);
    }
  }
  return rows;
}

export function valuesOf(program: Program, name: string): NdArray {
  const { shape } = program.tensors.find((tensor) => tensor.name === name) ?? { shape: [] };
  return normals(shape, name.length + shape.length);
}
