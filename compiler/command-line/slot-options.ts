/**
 * `--slot up=btt`, `--slot up=./mine.mlbtc`: what fills the slots of a structure. A bare name is one of the library, anything
 * with a slash or `.mlbtc` a file, as in an `import`.
 *
 * Whether the structure has such a slot, and whether the file fits it, is the analysis's question.
 */
import { Option } from 'commander';
import type { Source } from '../syntax/diagnostic.ts';
import { closest } from '../syntax/suggest.ts';
import { UsageError, UserError } from './errors.ts';
import { libraryNames, type SourceFiles } from './files.ts';

/** Files or library names by slot. */
export type SlotBindings = Readonly<Record<string, string>>;

const slotPattern = /^(\p{L}[\p{L}\p{Nd}_.]*)=(.+)$/su;

/** The option as commander takes it: repeatable. */
export function slotOption(): Option {
  return new Option('--slot <name=file>', 'fill a slot; repeatable: --slot up=btt --slot down=./mine.mlbtc').argParser(
    (text: string, previous: SlotBindings | undefined) => addSlot(previous ?? {}, text),
  );
}

/** Adds what one `--slot` says. Throws UsageError. */
export function addSlot(known: SlotBindings, text: string): SlotBindings {
  const match = slotPattern.exec(text.normalize('NFC'));
  if (match === null) {
    throw new UsageError(
      `--slot ${JSON.stringify(text)}: write NAME=FILE, as in --slot up=btt or --slot up=./mine.mlbtc`,
    );
  }
  const [, name = '', file = ''] = match;
  if (Object.hasOwn(known, name)) throw new UsageError(`--slot ${text}: the slot ${name} is filled twice`);
  return { ...known, [name]: file };
}

/** The files that fill slots. Throws UserError where one cannot be read. */
export function readSlots(slots: SlotBindings, files: SourceFiles): Readonly<Record<string, Source>> {
  return Object.fromEntries(Object.entries(slots).map(([name, file]) => [name, readFiller(name, file, files)]));
}

function readFiller(slot: string, file: string, files: SourceFiles): Source {
  if (!/[\\/]|\.mlbtc$/.test(file)) {
    const found = files.resolve(file, '');
    if (found !== undefined) return found;
    const near = closest(file, libraryNames());
    const help = near === undefined ? `for a file of yours write ./${file}.mlbtc` : `did you mean ${near}?`;
    throw new UserError(`--slot ${slot}=${file}: the library has no ${file}; ${help}`);
  }
  const source = files.read(file);
  if ('diagnostic' in source) throw new UserError(`--slot ${slot}=${file}: ${source.diagnostic.message}`);
  return source;
}
