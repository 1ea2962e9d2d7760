/**
 * A model's parameters as files that other programs read, and back: under their own names or the reference's, as safetensors or npz.
 *
 *   reference     safetensors, the reference's names and layouts: `transformer.h.0.attn.c_attn_q.weight`
 *   safetensors   our names and layouts: `body.block.0.attn.Wq`
 *   npz           the same for NumPy
 *
 * Both namings hold the same elements in the same order (models/parameters.ts), so neither direction computes anything.
 *
 * The trap: the reference's own checkpoints hold more than parameters, masks that its modules keep as buffers; and names may have
 * got a prefix on the way, from `torch.compile` or from data-parallel training.
 */
import { statSync } from 'node:fs';
import { UserError } from '../../compiler/command-line/errors.ts';
import { readSome, withInput } from '../../compiler/command-line/input-file.ts';
import { elementCount } from '../../compiler/ir/program.ts';
import { closest } from '../../compiler/syntax/suggest.ts';
import { isZip, readNpz, writeNpz } from '../../runtime/npz.ts';
import { readSafetensors, type StoredTensor, toFloat64, writeSafetensors } from '../../runtime/safetensors.ts';
import { joined, type ParameterMapping, parted, referenceParameters, referenceShape } from '../models/parameters.ts';
import { type Param, paramsOf } from '../training/mup.ts';
import type { ModelSetup } from './model-setup.ts';

export const exportFormats = ['reference', 'safetensors', 'npz'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** What a file is called if nobody says it. */
export const exportNames: Readonly<Record<ExportFormat, string>> = {
  reference: 'reference.safetensors',
  safetensors: 'model.safetensors',
  npz: 'model.npz',
};

export type Parameters = ReadonlyMap<string, Float32Array>;
type Tensors = ReadonlyMap<string, StoredTensor>;

/** Throws UserError where the reference has no such model. */
export function writeParameters(
  path: string,
  setup: ModelSetup,
  parameters: Parameters,
  format: ExportFormat,
): Tensors {
  switch (format) {
    case 'reference': {
      const tensors = inReference(setup, parameters);
      writeSafetensors(path, tensors, { format: 'pt', config: JSON.stringify(setup.referenceConfig) });
      return tensors;
    }
    case 'safetensors': {
      const tensors = asTheyAre(setup, parameters);
      writeSafetensors(path, tensors, { format: 'pt' });
      return tensors;
    }
    case 'npz': {
      const tensors = asTheyAre(setup, parameters);
      writeNpz(path, tensors);
      return tensors;
    }
    default:
      return format satisfies never;
  }
}

/** Parameters by our names, from a file of any of the formats. Throws UserError where they are not this model's. */
export function readParameters(path: string, setup: ModelSetup): Parameters {
  const tensors = withoutPrefix(readTensors(path));
  const ours = paramsOf(setup.program);
  const own: Naming = { who: 'this model', names: ours.map(({ name }) => name) };
  const mappings = referencesOf(setup);
  const theirs: Naming = { who: "the reference's model", names: mappings.map(({ reference }) => reference) };
  const count = ({ names }: Naming) => names.filter((name) => tensors.has(name)).length;
  if (count(own) >= count(theirs)) {
    checkNames(path, tensors, own);
    return new Map(ours.map(({ name, shape }) => [name, floats(path, tensors, name, shape)]));
  }
  checkNames(path, withoutMasks(tensors), theirs);
  const shapes = shapesOf(ours);
  return new Map(
    mappings.flatMap((mapping) => {
      if (mapping.ours.length === 0) return [];
      const whole = floats(path, tensors, mapping.reference, shapeIn(mapping, shapes));
      return [...parted(mapping, whole, (name) => elementCount(shapes.get(name) as readonly number[]))];
    }),
  );
}

function inReference(setup: ModelSetup, parameters: Parameters): Tensors {
  const { options, sizes } = setup.resolved;
  if (options.structure !== null) {
    throw new UserError(
      `the reference has no score like ${options.structure}: its names are of its own scores alone\n` +
        "  help: --to safetensors or --to npz write this model under its own names; `mlbtc export FILE.mlbtc --to pytorch` writes the score's module",
    );
  }
  const { model, unlikeReference } = setup;
  if (model === undefined || unlikeReference !== undefined) {
    throw new UserError(`the reference has no such model: ${unlikeReference}\n  help: --to safetensors or --to npz`);
  }
  const given = Object.keys(sizes);
  if (given.length > 0) {
    throw new UserError(
      `the reference knows no -s ${given.join(', ')}: a score whose sizes were given by hand may be none of its own\n  help: --to safetensors or --to npz`,
    );
  }
  const shapes = shapesOf(paramsOf(setup.program));
  return new Map(
    referenceParameters(model, options).map((mapping) => {
      if (mapping.ours.length === 0) return [mapping.reference, unread(setup)];
      return [
        mapping.reference,
        { dtype: 'F32', shape: shapeIn(mapping, shapes), data: joined(mapping, parameters) } satisfies StoredTensor,
      ];
    }),
  );
}

/** The series model of the reference has a position table that nothing reads. */
function unread({ referenceConfig, resolved }: ModelSetup): StoredTensor {
  const shape = [Number(referenceConfig.block_size), resolved.options.d_model];
  return { dtype: 'F32', shape, data: new Float32Array(elementCount(shape)) };
}

function asTheyAre({ program }: ModelSetup, parameters: Parameters): Tensors {
  return new Map(
    paramsOf(program).map(({ name, shape }) => {
      const data = parameters.get(name);
      if (data === undefined) throw new Error(`no values of the param ${name}`);
      return [name, { dtype: 'F32', shape, data } satisfies StoredTensor];
    }),
  );
}

/** None where the reference has no such model. */
function referencesOf({ model, resolved, unlikeReference }: ModelSetup): readonly ParameterMapping[] {
  const { options } = resolved;
  const isReferences = options.structure === null && options.slot === null && unlikeReference === undefined;
  return model !== undefined && isReferences ? referenceParameters(model, options) : [];
}

function shapesOf(params: readonly Param[]): ReadonlyMap<string, readonly number[]> {
  return new Map(params.map(({ name, shape }) => [name, shape]));
}

function shapeIn(mapping: ParameterMapping, shapes: ReadonlyMap<string, readonly number[]>): readonly number[] {
  return referenceShape(
    mapping,
    mapping.ours.map((name) => shapes.get(name) as readonly number[]),
  );
}

function readTensors(path: string): Tensors {
  if (path.endsWith('.npz')) return readNpz(path);
  if (statSync(path).isFile() && withInput(path, beginsAsZip)) {
    throw new UserError(
      `${path}: a zip that is not called .npz: a checkpoint of PyTorch's own, perhaps, which holds objects of Python's and is not read\n` +
        '  help: in Python, safetensors.torch.save_file(torch.load(FILE)["model"], "weights.safetensors"); of train_ICL.py the entry is "model_state_dict"',
    );
  }
  return readSafetensors(path).tensors;
}

function beginsAsZip(file: number): boolean {
  const start = Buffer.alloc(4);
  readSome(file, start);
  return isZip(start);
}

const prefixes = /^(_orig_mod\.|module\.)+/;

function withoutPrefix(tensors: Tensors): Tensors {
  return new Map([...tensors].map(([name, tensor]) => [name.replace(prefixes, ''), tensor]));
}

/** Buffers of the reference's attention: which tokens a token sees, which follows from the options. */
const masks = /\.attn\.(bias|bias_global|bias_SWA|mlr_block_mask)$/;

function withoutMasks(tensors: Tensors): Tensors {
  return new Map([...tensors].filter(([name]) => !masks.test(name)));
}

interface Naming {
  readonly who: string;
  readonly names: readonly string[];
}

const mostNamed = 5;

function checkNames(path: string, tensors: Tensors, { who, names }: Naming): void {
  const known = new Set(names);
  const missing = names.filter((name) => !tensors.has(name));
  const extra = [...tensors.keys()].filter((name) => !known.has(name));
  if (missing.length === 0 && extra.length === 0) return;
  const listed = (found: readonly string[]) =>
    found.length <= mostNamed
      ? found.join(', ')
      : `${found.slice(0, mostNamed).join(', ')} and ${found.length - mostNamed} more`;
  const near = missing.length > 0 ? closest(missing[0], extra) : undefined;
  throw new UserError(
    [
      `${path} does not hold the parameters of ${who}:`,
      ...(missing.length > 0 ? [`  missing: ${listed(missing)}`] : []),
      ...(extra.length > 0 ? [`  not of it: ${listed(extra)}`] : []),
      ...(near === undefined ? [] : [`  is ${near} what should be ${missing[0]}?`]),
      '  help: the options of the model (layers, score, its flags, --bias) must be those that the file was made with',
    ].join('\n'),
  );
}

const floating = ['F64', 'F32', 'F16', 'BF16'];

function floats(path: string, tensors: Tensors, name: string, shape: readonly number[]): Float32Array {
  const tensor = tensors.get(name) as StoredTensor;
  if (!floating.includes(tensor.dtype)) throw new UserError(`${path}: ${name} is ${tensor.dtype}, a float is expected`);
  if (tensor.shape.join() !== shape.join()) {
    throw new UserError(
      `${path}: ${name} has shape (${tensor.shape.join(', ')}), the model wants (${shape.join(', ')})\n` +
        '  help: the sizes among the options (--d_model, --n_head, --n_dims, --block_size, ranks) must be those that the file was made with',
    );
  }
  return tensor.data instanceof Float32Array ? tensor.data : Float32Array.from(toFloat64(tensor));
}
