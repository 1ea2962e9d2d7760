/**
 * A model read token by token on the device: each step uploads a token, runs the incremental program (`compiler/passes/incremental/incremental.ts`)
 * and leaves what later tokens will read of it. The same without a cache runs the whole program over the text so far.
 *
 *   token ──▶ rows ──▶ logits
 *               └──▶ pasts, a row each
 *
 * The trap: not every order of contractions can be taken token by token. The ordered program is tried first, then the program as it
 * was written.
 */
import type { NdArray } from '../../compiler/ir/ndarray.ts';
import { elementCount, type Program } from '../../compiler/ir/program.ts';
import { type Incremental, incremental, now } from '../../compiler/passes/incremental/incremental.ts';
import { NotIncremental } from '../../compiler/passes/incremental/token-time.ts';
import { optimise, type PassName } from '../../compiler/passes/pipeline.ts';
import { limited } from '../../compiler/schedule/normalise/normalise.ts';
import type { OpenedDevice } from '../../runtime/device.ts';
import { deviceRunner } from '../training/device-runner.ts';

/** A program with one input of tokens, (batch, tokens), one row of logits a token, and params. */
export interface DecodedModel {
  readonly program: Program;
  readonly tokens: string;
  readonly logits: string;
}

export interface Decoder {
  /** Tokens that fit. */
  readonly length: number;
  /** Reads a token at the next place; its logits, (batch, vocabulary). Throws RangeError where no place is left. */
  readonly read: (token: Int32Array) => Promise<Float32Array>;
  /** Begins anew. */
  readonly reset: () => void;
  readonly destroy: () => void;
}

/** Passes that may make a program that cannot be taken token by token, most welcome first to do without; chunks of tokens are not tokens. */
const attempts: readonly (readonly PassName[])[] = [
  ['chunk'],
  ['chunk', 'order'],
  ['chunk', 'order', 'distribute', 'inline'],
];

/** Throws NotIncremental where no form of the program can be taken token by token: a score that sees later tokens. */
export function incrementalModel({ program, tokens, logits }: DecodedModel): Incremental {
  let failure: unknown;
  for (const disabled of attempts) {
    try {
      const optimised = optimise({ ...program, outputs: [logits] }, { disabled: new Set(disabled) });
      return incremental(limited(optimised), { inputs: new Map([[tokens, 1]]), outputs: [logits] });
    } catch (error) {
      if (!(error instanceof NotIncremental)) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

export type ParamValues = ReadonlyMap<string, Pick<NdArray, 'data'> | { readonly data: Float32Array }>;

/** Keeps what later tokens read. */
export async function cachedDecoder(opened: OpenedDevice, model: DecodedModel, params: ParamValues): Promise<Decoder> {
  const { program, prepared, pasts, tokens: length } = incrementalModel(model);
  const runner = await deviceRunner(opened, program);
  const inputs = new Set(runner.plan.inputs);
  const upload = (name: string, data: Float32Array | Float64Array | Int32Array) => {
    if (inputs.has(name) || runner.plan.params.includes(name)) runner.upload(name, data);
  };
  for (const [name, { data }] of params) upload(name, data);
  if (prepared.outputs.length > 0) {
    const once = await deviceRunner(opened, prepared);
    for (const [name, { data }] of params) if (once.plan.params.includes(name)) once.upload(name, data);
    once.run();
    for (const [name, data] of await once.download(...prepared.outputs))
      upload(name, data as Float32Array | Int32Array);
    once.destroy();
  }
  let place = 0;
  return {
    length,
    read: async (token) => {
      if (place >= length) throw new RangeError(`the model has no place after ${length} tokens`);
      upload(model.tokens, token);
      upload(now, new Int32Array([place]));
      const reading = runner.executor.runAndRead(model.logits);
      runner.executor.copyRows(
        pasts.map(({ name, row, length: kept }) => ({ from: row, to: name, row: place % kept })),
      );
      place += 1;
      return (await reading).get(model.logits) as Float32Array;
    },
    reset: () => {
      place = 0;
    },
    destroy: () => runner.destroy(),
  };
}

/** Runs the whole program for every token; what stands after the present one is of no account to a causal model. */
export async function plainDecoder(opened: OpenedDevice, model: DecodedModel, params: ParamValues): Promise<Decoder> {
  const program = optimise({ ...model.program, outputs: [model.logits] });
  const runner = await deviceRunner(opened, program);
  for (const [name, { data }] of params) if (runner.plan.params.includes(name)) runner.upload(name, data);
  const [batch, length] = runner.plan.tensors[model.tokens].shape;
  const vocabulary = elementCount(runner.plan.tensors[model.logits].shape) / (batch * length);
  const text = new Int32Array(batch * length);
  let place = 0;
  return {
    length,
    read: async (token) => {
      if (place >= length) throw new RangeError(`the model has no place after ${length} tokens`);
      for (const [b, value] of token.entries()) text[b * length + place] = value;
      runner.upload(model.tokens, text);
      const logits = (await runner.executor.runAndRead(model.logits)).get(model.logits) as Float32Array;
      const rows = new Float32Array(batch * vocabulary);
      for (let b = 0; b < batch; b += 1) {
        const start = (b * length + place) * vocabulary;
        rows.set(logits.subarray(start, start + vocabulary), b * vocabulary);
      }
      place += 1;
      return rows;
    },
    reset: () => {
      place = 0;
    },
    destroy: () => runner.destroy(),
  };
}
