/**
 * Texts to data that a language model trains on: reads documents, drops those that hold a character without a token, splits the others
 * into a training and a held-out part, and writes the tokens. The reference does it in `small_vocab_owt.py`.
 *
 * Memory does not grow with the inputs. An interrupted preparation goes on where it was, and what comes out is the same in every
 * byte: it depends on nothing but the inputs and the options.
 *
 * The trap: what goes on must know that it is the same work. So the inputs' paths, sizes and times are part of the request, and
 * another request begins anew.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { counted } from '../../compiler/command-line/amounts.ts';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { InterruptedError, UsageError, UserError } from '../../compiler/command-line/errors.ts';
import { makeFolder } from '../../compiler/command-line/folders.ts';
import { readText } from '../../compiler/command-line/input-file.ts';
import { packageVersion } from '../../compiler/command-line/version.ts';
import type { SignalRequests } from '../training/signals.ts';
import {
  documentFraction,
  fewestHeldOut,
  isHeldOut,
  lastFraction,
  lastPart,
  type SplitBy,
  splitSeed,
} from './held-out.ts';
import { findInputFiles, type InputFile } from './input-files.ts';
import { type Meta, metaFormat, metaName, metaText, type PartMeta, requestOf } from './meta.ts';
import { workFolder } from './open.ts';
import { readRows } from './rows.ts';
import { openPart, type TokenPart } from './token-part.ts';
import { characterName, chars96, type Tokenizer } from './tokenizers.ts';
import { completeOutput, enterWorkFolder, type PrepareState, type WorkFolder } from './work-folder.ts';

export interface PrepareOptions {
  readonly inputs: readonly string[];
  readonly out: string;
  readonly tokenizer: Tokenizer;
  /** Undefined: by chance, and the end where chance has too few documents. */
  readonly split: SplitBy | undefined;
  /** Undefined: as the split has it. */
  readonly valFraction: number | undefined;
  /** Where a row has its text. */
  readonly field: string;
}

export interface PrepareProgress {
  readonly doing: 'reading' | 'checking';
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly documents: number;
}

export interface PrepareWatcher {
  readonly update: (progress: PrepareProgress) => void;
  readonly say: (line: string) => void;
  readonly signals: Pick<SignalRequests, 'endAsked' | 'takeCheckpointAsked'>;
}

/** What is there, and what was the first of its kind. */
export interface Prepared {
  readonly meta: Meta;
  readonly firstDropped: string | undefined;
  readonly firstBad: string | undefined;
}

const stateEveryMs = 5000;
const yieldEveryMs = 50;
const pieceBytes = 2 ** 20;

/**
 * Undefined where the output is there already, made by the same request. Throws UserError for inputs that cannot be read or hold no
 * usable document, UsageError for a name that is empty, InterruptedError when a signal ends it, system errors.
 */
export async function prepareData(options: PrepareOptions, watcher: PrepareWatcher): Promise<Prepared | undefined> {
  const { inputs, tokenizer } = options;
  if (options.out === '') throw new UsageError("--out '': is empty; name a folder");
  if (inputs.includes('')) throw new UsageError("'' is no input; name files or folders");
  const out = existsSync(options.out) ? realpathSync(options.out) : resolve(options.out);
  const { files, hidden } = findInputFiles(inputs, [out, workFolder(out)]);
  const request = requestFor(options, files);
  if (isThere(out, options.out, request)) return undefined;
  if (hidden > 0) watcher.say(`left out: ${hidden} files or folders whose names begin with a dot`);

  makeFolder(dirname(out));
  const { work, state, begun } = enterWorkFolder(out, request);
  if (begun === 'anew') watcher.say(`${work.path} was begun with other inputs or options: beginning anew`);
  if (begun === 'on') watcher.say(`going on after ${counted(state.read, 'document')}`);
  try {
    if (begun !== 'complete') {
      await readAll(options, files, work, state, watcher);
      const split = settleSplit(options, work, state, tokenizer.bytesPerToken);
      const meta = await describe(options, files, work, state, split, watcher);
      writeFileAtomically(work.metaPath, [metaText(meta)]);
    }
    completeOutput(work, out);
  } catch (error) {
    // What is refused would be refused again; what was interrupted or had no room goes on.
    const isRefused = error instanceof UserError && !(error instanceof InterruptedError);
    if (isRefused || state.kept === 0) work.remove();
    else work.leave();
    throw error;
  }
  const meta = JSON.parse(readText(join(out, metaName))) as Meta;
  return { meta, firstDropped: state.firstDropped, firstBad: state.firstBad };
}

/** Everything that the result depends on. */
function requestFor({ tokenizer, split, valFraction, field }: PrepareOptions, files: readonly InputFile[]): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([metaFormat, tokenizer.name, split ?? 'auto', valFraction ?? 'auto', field]));
  for (const { path, sizeBytes, modifiedMs } of files) hash.update(JSON.stringify([path, sizeBytes, modifiedMs]));
  return hash.digest('hex');
}

/** Whether the output is complete. Throws UserError where something else is there. */
function isThere(out: string, name: string, request: string): boolean {
  if (!existsSync(out)) return false;
  if (!statSync(out).isDirectory()) throw new UserError(`--out ${name} is a file; name a folder`);
  if (statSync(out).dev !== statSync(dirname(out)).dev) {
    throw new UserError(
      `--out ${name} is mounted by itself and cannot be put there as a whole; name a folder inside it`,
    );
  }
  if (readdirSync(out).length === 0) return false;
  const metaPath = join(out, metaName);
  if (existsSync(metaPath) && requestOf(readText(metaPath)) === request) return true;
  throw new UserError(
    existsSync(metaPath)
      ? `--out ${name} holds data made from other inputs or with other options; choose another --out, or remove it`
      : `--out ${name} is not empty; choose another --out`,
  );
}

async function readAll(
  { tokenizer, split, valFraction, field }: PrepareOptions,
  files: readonly InputFile[],
  work: WorkFolder,
  state: PrepareState,
  { update, signals }: PrepareWatcher,
): Promise<void> {
  if (state.isCut) return;
  const chance = split === 'last' ? 0 : (valFraction ?? documentFraction);
  const end = Uint8Array.of(tokenizer.start);
  const endToken = tokenizer.bytesPerToken === 1 ? end : Uint16Array.of(tokenizer.start);
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let bytesBefore = files.slice(0, state.file).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let bytesHere = 0;
  let stateMs = performance.now();
  let yieldMs = stateMs;
  const train = openPart(work.trainPath, state.trainBytes);
  const val = openPart(work.valPath, state.valBytes);
  const save = () => {
    for (const part of [train, val]) {
      part.takeBack();
      part.sync();
    }
    work.writeState({ ...state, trainBytes: train.keptBytes(), valBytes: val.keptBytes() });
  };
  /** Between two documents the state may be written; a signal is answered inside one too, which is then begun again. */
  const pause = async (isBetween: boolean) => {
    await setImmediate();
    const nowMs = performance.now();
    yieldMs = nowMs;
    update({ doing: 'reading', doneBytes: bytesBefore + bytesHere, totalBytes, documents: state.read });
    if (signals.endAsked()) {
      throw new InterruptedError(
        `interrupted after ${counted(state.read, 'document')}; the same command goes on from there`,
      );
    }
    if (isBetween && (signals.takeCheckpointAsked() || nowMs - stateMs > stateEveryMs)) {
      save();
      stateMs = nowMs;
    }
  };

  const readFile = async (file: InputFile) => {
    const onBytes = (bytes: number) => {
      bytesHere = bytes;
    };
    let part: TokenPart | undefined;
    let tokens = 0;
    let unknown: string | undefined;
    const finish = () => {
      state.read += 1;
      state.row += 1;
      part = undefined;
      tokens = 0;
      unknown = undefined;
    };
    for await (const event of readRows(file, { skip: state.row, field, onBytes })) {
      part ??= isHeldOut(state.read, chance) ? val : train;
      switch (event.kind) {
        case 'text': {
          if (unknown !== undefined) break;
          const encoded = tokenizer.encode(event.text);
          if (encoded === undefined) {
            unknown = characterName(event.text, tokenizer.firstUnknown(event.text) as number);
          } else {
            tokens += encoded.length;
            part.append(encoded);
          }
          break;
        }
        case 'end':
          if (unknown !== undefined) {
            part.takeBack();
            state.dropped += 1;
            state.firstDropped ??= `${unknown} in ${event.place}`;
          } else if (tokens === 0) {
            state.empty += 1;
          } else {
            part.append(endToken);
            part.keep();
            state.kept += 1;
            if (part === val) state.heldOut += 1;
          }
          finish();
          break;
        case 'bad':
          part.takeBack();
          state.bad += 1;
          state.firstBad ??= `${event.place}: ${event.reason}`;
          finish();
          break;
        default:
          event satisfies never;
      }
      if (performance.now() - yieldMs >= yieldEveryMs) await pause(event.kind !== 'text');
    }
  };

  try {
    for (const file of files.slice(state.file)) {
      await readFile(file);
      bytesBefore += file.sizeBytes;
      bytesHere = 0;
      state.file += 1;
      state.row = 0;
    }
    save();
    update({ doing: 'reading', doneBytes: totalBytes, totalBytes, documents: state.read });
  } catch (error) {
    saveIfPossible(save);
    throw error;
  } finally {
    state.trainBytes = train.keptBytes();
    state.valBytes = val.keptBytes();
    train.close();
    val.close();
  }
}

/** Where the disk is full the state before stays, and is as good. */
function saveIfPossible(save: () => void): void {
  try {
    save();
  } catch {
    // What ended the reading is what is told.
  }
}

/** Makes the end of the text the held-out part, where that is asked for or chance had too few documents. Throws UserError. */
function settleSplit(
  { inputs, split, valFraction, tokenizer }: PrepareOptions,
  work: WorkFolder,
  state: PrepareState,
  bytesPerToken: number,
): Meta['split'] {
  if (state.kept === 0) throw new UserError(nothingUsable(inputs, tokenizer, state));
  const isLast = split === 'last' || (split === undefined && state.heldOut < fewestHeldOut);
  if (!isLast) {
    if (state.heldOut === 0 || state.heldOut === state.kept) {
      const which = state.heldOut === 0 ? 'held-out' : 'training';
      throw new UserError(
        `--split documents leaves no ${which} part of ${counted(state.kept, 'document')}; give another --val_fraction, or --split last`,
      );
    }
    return { by: 'documents', fraction: valFraction ?? documentFraction, seed: splitSeed };
  }
  const fraction = valFraction ?? lastFraction;
  if (!state.isCut) cutEnd(work, state, fraction, bytesPerToken);
  truncateSync(work.trainPath, state.trainBytes);
  rmSync(work.valPath, { force: true });
  return { by: 'last', fraction, seed: splitSeed };
}

/** The documents that chance had chosen come to the end, so that none of them is lost; then the last of the whole is held out. */
function cutEnd(work: WorkFolder, state: PrepareState, fraction: number, bytesPerToken: number): void {
  const { trainBytes, valBytes } = state;
  const total = trainBytes + valBytes;
  const end = lastPart(total / bytesPerToken, fraction) * bytesPerToken;
  const cut = openPart(work.cutPath, 0);
  copyRange(work.trainPath, Math.min(end, trainBytes), trainBytes, cut);
  copyRange(work.valPath, Math.max(0, end - trainBytes), valBytes, cut);
  const train = openPart(work.trainPath, trainBytes);
  if (end > trainBytes) copyRange(work.valPath, 0, end - trainBytes, train);
  for (const part of [cut, train]) {
    part.sync();
    part.close();
  }
  Object.assign(state, { isCut: true, trainBytes: end, valBytes: total - end });
  work.writeState(state);
}

function copyRange(path: string, from: number, to: number, part: TokenPart): void {
  for (const piece of pieces(path, from, to)) part.append(piece);
  part.keep();
}

function* pieces(path: string, from: number, to: number): Generator<Uint8Array> {
  const file = openSync(path, 'r');
  try {
    for (let at = from; at < to; ) {
      const piece = new Uint8Array(Math.min(pieceBytes, to - at));
      const got = readSync(file, piece, 0, piece.length, at);
      if (got === 0) throw new Error(`${path} became shorter while it was read`);
      at += got;
      yield piece.subarray(0, got);
    }
  } finally {
    closeSync(file);
  }
}

async function describe(
  { tokenizer, field }: PrepareOptions,
  files: readonly InputFile[],
  work: WorkFolder,
  state: PrepareState,
  split: Meta['split'],
  { update, signals }: PrepareWatcher,
): Promise<Meta> {
  const { read, kept, dropped, empty, bad, trainBytes, valBytes, isCut } = state;
  let doneBytes = 0;
  const describePart = async (path: string, bytes: number): Promise<PartMeta> => {
    const hash = createHash('sha256');
    let characters = 0;
    let half = new Uint8Array();
    for (const piece of pieces(path, 0, bytes)) {
      hash.update(piece);
      const joined = half.length === 0 ? piece : Buffer.concat([half, piece]);
      const whole = joined.length - (joined.length % tokenizer.bytesPerToken);
      half = new Uint8Array(joined.subarray(whole));
      for (const token of tokensOf(joined.subarray(0, whole), tokenizer.bytesPerToken)) {
        characters += tokenizer.characters(token);
      }
      doneBytes += piece.length;
      await setImmediate();
      update({ doing: 'checking', doneBytes, totalBytes: trainBytes + valBytes, documents: read });
      if (signals.endAsked()) throw new InterruptedError('interrupted at the end; the same command goes on from there');
    }
    return { tokens: bytes / tokenizer.bytesPerToken, bytes, characters, sha256: hash.digest('hex') };
  };
  return {
    format: metaFormat,
    version: packageVersion(),
    tokenizer: tokenizer.name,
    vocabulary: tokenizer.vocabulary,
    dtype: tokenizer.bytesPerToken === 1 ? 'uint8' : 'uint16',
    ...(tokenizer.name === chars96.name ? { symbols: symbolsOf(tokenizer) } : {}),
    end: tokenizer.start,
    train: await describePart(work.trainPath, trainBytes),
    val: await describePart(isCut ? work.cutPath : work.valPath, valBytes),
    split,
    documents: { read, kept, dropped, empty, bad, percentKept: Number(((100 * kept) / read).toFixed(2)) },
    inputs: {
      files: files.length,
      bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      field,
      request: state.request,
    },
  };
}

function tokensOf(bytes: Uint8Array, bytesPerToken: 1 | 2): Uint8Array | Uint16Array {
  return bytesPerToken === 1 ? bytes : new Uint16Array(Uint8Array.from(bytes).buffer);
}

function symbolsOf({ vocabulary, decoder }: Tokenizer): string {
  const { push } = decoder();
  return Array.from({ length: vocabulary }, (_, token) => push(token)).join('');
}

function nothingUsable(inputs: readonly string[], { name }: Tokenizer, state: PrepareState): string {
  const { read, dropped, empty, bad, firstDropped, firstBad } = state;
  if (read === 0) return `no document in ${inputs.join(', ')}`;
  const reasons = [
    ...(dropped === 0 ? [] : [`${dropped} with a character that ${name} has no token for`]),
    ...(empty === 0 ? [] : [`${empty} empty`]),
    ...(bad === 0 ? [] : [`${bad} that could not be read`]),
  ];
  return [
    `no usable document in ${inputs.join(', ')}: of ${read}, ${reasons.join(', ')}`,
    ...(dropped === 0 ? [] : ['  --tokenizer bytes takes any text']),
    ...(firstDropped === undefined ? [] : [`  the first character without a token: ${firstDropped}`]),
    ...(firstBad === undefined ? [] : [`  the first that could not be read: ${firstBad}`]),
  ].join('\n');
}
