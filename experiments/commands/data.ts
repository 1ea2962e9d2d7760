/** `mlbtc data prepare INPUT... --out DIR`: texts to tokens that `mlbtc train lm --data DIR` reads. */
import { type Command, Option } from 'commander';
import { bytesText, counted } from '../../compiler/command-line/amounts.ts';
import { hasCode, UsageError } from '../../compiler/command-line/errors.ts';
import { documentFraction, fewestHeldOut, lastFraction, type SplitBy } from '../data/held-out.ts';
import { workFolder } from '../data/open.ts';
import { type Prepared, prepareData } from '../data/prepare.ts';
import { drawPreparing } from '../data/prepare-progress.ts';
import { tokenizerNamed, tokenizerNames } from '../data/tokenizers.ts';
import { listenForSignals } from '../training/signals.ts';

const help = `
Inputs are files, or folders with files at any depth, read in the order of their names:
  .jsonl .ndjson .json   rows of JSON, one a line, the text in --field
  .parquet               a table, the text in the column --field
  anything else          one document of UTF-8 text
each of them but Parquet also as .gz and .zst.

Tokenizers
  chars96   a newline and the 95 printable characters of ASCII; a document that holds another is dropped and counted
  bytes     the bytes of UTF-8, 256 tokens
  gpt2      GPT-2's byte pairs, 50257 tokens
After each document comes a newline (gpt2: its end of text).

What comes out: DIR/train.bin and DIR/val.bin (uint8; gpt2: uint16, the lower byte first) and DIR/meta.json. DIR appears when all of it is
there; until then the work is in DIR.partial. An interrupted command is run again as it was, and goes on.

Examples
  mlbtc data prepare book.txt --out data/book
  mlbtc data prepare openwebtext/ --out data/owt --tokenizer chars96
  mlbtc data prepare pile.jsonl.zst --out data/pile --tokenizer gpt2 --val_fraction 0.001
`;

interface PrepareWords {
  readonly out: string;
  readonly tokenizer: string;
  readonly split?: SplitBy;
  readonly val_fraction?: string;
  readonly field: string;
}

export function registerData(program: Command): void {
  const data = program.command('data').description('texts for language models');
  data
    .command('prepare')
    .description('make tokens of texts, for `mlbtc train lm --data DIR`')
    .argument('<input...>', 'files and folders')
    .requiredOption('--out <dir>', 'folder of the tokens')
    .addOption(new Option('--tokenizer <name>', 'what a token is').choices(tokenizerNames).default('chars96'))
    .addOption(
      new Option(
        '--split <how>',
        `what is held out: documents by chance, or the last of the text (default: by chance where that holds out ${fewestHeldOut} documents or more)`,
      ).choices(['documents', 'last']),
    )
    .option(
      '--val_fraction <part>',
      `how much of it is held out (default: ${documentFraction} of the documents as in the reference, or the last ${lastFraction})`,
    )
    .option('--field <name>', 'field of a JSON row or column of a table that is the text', 'text')
    .addHelpText('after', help)
    .action(prepare);
}

async function prepare(inputs: readonly string[], words: PrepareWords): Promise<void> {
  const tokenizer = await tokenizerNamed(words.tokenizer);
  const { out, split, field } = words;
  const valFraction = words.val_fraction === undefined ? undefined : fraction(words.val_fraction);
  const drawing = drawPreparing(process.stderr);
  const signals = listenForSignals({ onEndAsked: () => undefined, beforeLeaving: () => drawing.end() });
  try {
    const prepared = await prepareData({ inputs, out, tokenizer, split, valFraction, field }, { ...drawing, signals });
    drawing.end();
    process.stdout.write(prepared === undefined ? `${out} is complete already\n` : summary(out, prepared));
  } catch (error) {
    drawing.end();
    if (hasCode(error, 'ENOSPC', 'EDQUOT')) {
      drawing.say(`with more room the same command goes on from what it last made safe in ${workFolder(out)}`);
    }
    throw error;
  } finally {
    signals.stop();
  }
}

function fraction(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value > 0 && value < 1) return value;
  throw new UsageError(`--val_fraction ${text}: has to be a number between 0 and 1`);
}

function summary(out: string, { meta, firstDropped, firstBad }: Prepared): string {
  const { documents, train, val, split, tokenizer, vocabulary } = meta;
  const { read, kept, dropped, empty, bad, percentKept } = documents;
  const part = (name: string, { tokens, bytes }: typeof train) =>
    `  ${name}: ${counted(tokens, 'token')}, ${bytesText(bytes)}`;
  const heldOut =
    split.by === 'last' ? `the last ${split.fraction} of the text` : `${split.fraction} of the documents, by chance`;
  const lines = [
    `${out}: ${kept} of ${counted(read, 'document')} (${percentKept} %) as ${tokenizer}, ${vocabulary} different tokens`,
    part('train.bin', train),
    `${part('val.bin', val)}: ${heldOut}`,
    ...(dropped === 0 ? [] : [`  dropped for a character without a token: ${dropped}${first(firstDropped)}`]),
    ...(empty === 0 ? [] : [`  empty: ${empty}`]),
    ...(bad === 0 ? [] : [`  could not be read: ${bad}${first(firstBad)}`]),
    `train on it: mlbtc train lm --data ${out}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** Undefined where an earlier process counted, and only its counts are left. */
function first(what: string | undefined): string {
  return what === undefined ? '' : `, the first: ${what}`;
}
