/**
 * The grammar of the language as a Chevrotain parser that builds the tree of `ast.ts` as it reads.
 *
 * A file is imports, functions and structures; a structure is items; an item begins with a reserved word, or is an equation
 * and begins with a name. Newlines separate nothing: an item ends where the next begins, which one token tells, since no
 * operand may follow an operand. What stands in an item is in `expressions.ts`.
 *
 * The trap: a mistake must cost its own item and no other, so items are read under `recovering`, and the header of a block
 * by itself, so that the items in the block are still read when only its header is wrong.
 */
import type { FunctionItem, Identifier, IfItem, ImportItem, Item, LevelItem, Structure } from './ast.ts';
import { type IToken, tokenMatcher } from './chevrotain.ts';
import type { Diagnostic, Source } from './diagnostic.ts';
import { type Doc, ItemGrammar, unquoted } from './items.ts';
import type { Lexed } from './lexer.ts';
import { foundWords } from './recovery.ts';
import { slipHelp } from './slips.ts';
import * as T from './tokens.ts';
import { itemWords, meantWord, topWords } from './vocabulary.ts';

export type TopItem = ImportItem | FunctionItem | Structure;

export interface Parsed {
  readonly items: readonly TopItem[];
  readonly diagnostics: readonly Diagnostic[];
}

class Grammar extends ItemGrammar {
  private items: TopItem[] = [];

  constructor() {
    super();
    this.performSelfAnalysis();
  }

  read(source: Source, lexed: Lexed): Parsed {
    this.begin(source, lexed);
    this.items = [];
    this.file();
    return { items: this.items, diagnostics: this.diagnostics };
  }

  // Files

  private readonly file = this.RULE('file', (): void => {
    this.MANY(() => {
      this.recovering(() => {
        const doc = this.docBefore();
        this.OR({
          MAX_LOOKAHEAD: 1,
          IGNORE_AMBIGUITIES: true,
          DEF: [
            { ALT: () => this.recovering(() => this.SUBRULE(this.importItem), this.skipLine) },
            { ALT: () => this.SUBRULE(this.functionItem, { ARGS: [doc] }) },
            { ALT: () => this.SUBRULE(this.structure, { ARGS: [doc] }) },
            { ALT: () => this.SUBRULE(this.strayAtTop) },
          ],
        });
      }, this.skipToTop);
    });
  });

  private readonly importItem = this.RULE('importItem', (): void => {
    const start = this.CONSUME(T.Import);
    const path = this.CONSUME(T.StringLiteral, { ERR_MSG: 'the path of a file in double quotes' });
    this.ACTION(() => {
      const span = this.spanFrom(start);
      this.items.push({ kind: 'import', path: unquoted(path), pathSpan: this.tokenSpan(path), span });
    });
  });

  private readonly functionItem = this.RULE('functionItem', (doc: Doc): void => {
    const start = this.CONSUME(T.Fn);
    const name = this.SUBRULE(this.identifier, { ARGS: ['the name of a function'] });
    const axes = this.OPTION(() => this.SUBRULE(this.axisNames));
    this.CONSUME(T.LeftParen, { ERR_MSG: '`(` and the names of the arguments' });
    const parameters: Identifier[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => parameters.push(this.SUBRULE2(this.identifier, { ARGS: ['the name of an argument'] })),
    });
    this.CONSUME(T.RightParen, { ERR_MSG: '`,` or `)`' });
    this.CONSUME(T.Equal);
    const body = this.SUBRULE(this.expression, { ARGS: [false] });
    this.ACTION(() => {
      this.items.push({ kind: 'function', name, axes, parameters, body, doc, span: this.spanFrom(start) });
    });
  });

  private readonly structure = this.RULE('structure', (doc: Doc): void => {
    const start = this.CONSUME(T.Structure);
    const name = this.recovering(
      () => this.SUBRULE(this.identifier, { ARGS: ['the name of a structure'] }),
      this.skipToBlock,
    );
    const items = this.SUBRULE(this.block, { ARGS: [start, true] });
    this.ACTION(() => {
      if (name === undefined) return;
      this.items.push({ kind: 'structure', name, items, doc, span: this.spanFrom(start) });
    });
  });

  private readonly strayAtTop = this.RULE('strayAtTop', (): void => {
    const token = this.CONSUME(T.AnyToken);
    this.ACTION(() => {
      const span = this.tokenSpan(token);
      if (token.tokenType === T.RightBrace) return this.report('E0109', span, 'this `}` closes nothing');
      const meant = meantWord(token.image, topWords);
      if (tokenMatcher(token, T.Name) && meant !== undefined) {
        this.fail('E0122', span, `\`${token.image}\` begins nothing`, `did you mean \`${meant}\`?`);
      }
      if (itemWords.includes(token.image) || (tokenMatcher(token, T.Name) && !tokenMatcher(this.LA(1), T.Name))) {
        const what = itemWords.includes(token.image) ? `\`${token.image}\`` : 'an equation';
        this.fail('E0110', span, `${what} stands inside a structure`, 'write `structure NAME { … }` around it');
      }
      this.fail('E0106', span, `expected \`structure\`, \`fn\` or \`import\`, found ${foundWords(token)}`);
    });
  });

  // Structures

  /** `{ items }`. `opener` is the reserved word before it; without `certain`, a missing `{` means that there is no block. */
  private readonly block = this.RULE('block', (opener: IToken, certain: boolean): Item[] => {
    if (!this.RECORDING_PHASE && !this.is(T.LeftBrace)) {
      if (!certain) return [];
      this.braceMissing = true;
      this.reportExpecting('`{`', 'E0106');
    } else {
      this.CONSUME(T.LeftBrace);
    }
    const items: Item[] = [];
    this.MANY({
      GATE: () => !this.is(T.RightBrace) && !this.is(T.Structure),
      DEF: () => {
        const item = this.recovering(() => this.SUBRULE(this.item), this.skipToItem);
        if (item !== undefined) items.push(item);
      },
    });
    if (!this.RECORDING_PHASE && !this.is(T.RightBrace)) {
      const line = this.lineOf(opener.startOffset);
      if (!this.braceMissing) this.reportExpecting(`\`}\` to close the \`${opener.image}\` of line ${line}`, 'E0109');
    } else {
      this.CONSUME(T.RightBrace);
    }
    return items;
  });

  private readonly item = this.RULE('item', (): Item | undefined => {
    const doc = this.docBefore();
    const ARGS: [Doc] = [doc];
    return this.OR({
      MAX_LOOKAHEAD: 1,
      IGNORE_AMBIGUITIES: true,
      DEF: [
        { ALT: (): Item | undefined => this.SUBRULE(this.equation, { ARGS }) },
        { ALT: () => this.SUBRULE(this.sizeItem, { ARGS }) },
        { ALT: () => this.SUBRULE(this.checkItem) },
        { ALT: () => this.SUBRULE(this.axisItem) },
        { ALT: () => this.SUBRULE(this.inputItem, { ARGS }) },
        { ALT: () => this.SUBRULE(this.paramItem, { ARGS }) },
        { ALT: () => this.SUBRULE(this.levelItem) },
        { ALT: () => this.SUBRULE(this.ifItem) },
        { ALT: () => this.SUBRULE(this.slotItem, { ARGS }) },
        { ALT: () => this.SUBRULE(this.constItem, { ARGS }) },
        { ALT: () => this.SUBRULE(this.useItem) },
        { ALT: () => this.SUBRULE(this.outputItem, { ARGS }) },
        { ALT: () => this.SUBRULE(this.misplaced, { ARGS }) },
        { ALT: () => this.SUBRULE(this.stray) },
      ],
    });
  });

  private readonly misplaced = this.RULE('misplaced', (doc: Doc): undefined => {
    this.ACTION(() => {
      const word = this.LA(1).image;
      const help = 'move it up, or close the structure before it with `}`';
      this.report('E0110', this.tokenSpan(this.LA(1)), `\`${word}\` stands outside structures`, help);
    });
    this.OR([
      { ALT: () => this.SUBRULE(this.importItem) },
      { ALT: () => this.SUBRULE(this.functionItem, { ARGS: [doc] }) },
    ]);
    return undefined;
  });

  private readonly stray = this.RULE('stray', (): undefined => {
    const operandBefore = this.operandBefore();
    const token = this.CONSUME(T.AnyToken);
    this.ACTION(() => {
      const span = this.tokenSpan(token);
      const type = token.tokenType;
      if (operandBefore && (tokenMatcher(token, T.NumberLiteral) || type === T.LeftParen)) {
        this.fail('E0121', span, `an operator is missing before \`${token.image}\``, 'for a product write `*`');
      }
      if (type === T.RightParen || type === T.RightBracket) {
        this.fail('E0106', span, `this \`${token.image}\` closes nothing`);
      }
      if (type === T.Equal) {
        const help = slipHelp(this.source.text, span.start) ?? '`=` defines; to compare, write `==`';
        this.fail('E0106', span, 'expected the next item, found `=`', help);
      }
      if (type === T.Else) this.fail('E0106', span, 'this `else` has no `if` before it');
      this.fail('E0106', span, `expected an item of the structure, found ${foundWords(token)}`);
    });
    return undefined;
  });

  private readonly levelItem = this.RULE('levelItem', (): LevelItem | undefined => {
    const start = this.CONSUME(T.Level);
    const header = this.recovering(() => {
      const variable = this.SUBRULE(this.identifier, { ARGS: ['the name of the level, as in `level l in 0 .. 3`'] });
      this.CONSUME(T.In, { ERR_MSG: '`in` and the bounds of the level' });
      const from = this.SUBRULE(this.expression, { ARGS: [false] });
      this.CONSUME(T.DotDot, { ERR_MSG: '`..` and the last level' });
      const to = this.SUBRULE2(this.expression, { ARGS: [false] });
      return { variable, from, to };
    }, this.skipToBlock);
    const items = this.SUBRULE(this.block, { ARGS: [start, header !== undefined] });
    return header && { kind: 'level', ...header, items, span: this.spanFrom(start) };
  });

  private readonly ifItem = this.RULE('ifItem', (): IfItem | undefined => {
    const start = this.CONSUME(T.If);
    const condition = this.recovering(() => this.SUBRULE(this.condition), this.skipToBlock);
    const then = this.SUBRULE(this.block, { ARGS: [start, condition !== undefined] });
    let otherwise: Item[] | undefined;
    this.OPTION(() => {
      const word = this.CONSUME(T.Else);
      this.OR({
        ERR_MSG: '`{` or `if`',
        DEF: [
          {
            ALT: () => {
              const chained = this.SUBRULE(this.ifItem);
              otherwise = chained === undefined ? [] : [chained];
            },
          },
          {
            ALT: () => {
              otherwise = this.SUBRULE2(this.block, { ARGS: [word, true] });
            },
          },
        ],
      });
    });
    return condition && { kind: 'if', condition, then, otherwise, span: this.spanFrom(start) };
  });
}

const grammar = new Grammar();

/** Reads the tokens of one file. Whatever they are, it returns; nesting must have been checked before (`depth.ts`). */
export function readFile(source: Source, lexed: Lexed): Parsed {
  return grammar.read(source, lexed);
}
