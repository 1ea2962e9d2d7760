/**
 * The grammar of the language as a Chevrotain parser that builds the tree of `ast.ts` as it reads.
 *
 * A file is imports, functions and structures; a structure is items; an item begins with a reserved word, or is an equation
 * and begins with a name. Newlines separate nothing: an item ends where the next begins, which one token tells, since no
 * operand may follow an operand. Expressions are read as flat rows and shaped by `precedence.ts`.
 *
 * The traps: `name[…]` is a read, `name[…](…)` a call, and only what follows the bracket says which; `(k p q)` is a group only
 * as a whole index; and the actions also run once on dummy tokens when Chevrotain records the grammar, hence `ACTION`.
 */
import { type IToken, tokenMatcher } from 'chevrotain';
import type {
  AxisGroup,
  AxisItem,
  CheckItem,
  EquationItem,
  Expression,
  FunctionItem,
  Identifier,
  IfItem,
  ImportItem,
  InitClause,
  InputItem,
  Item,
  LevelItem,
  Member,
  OutputItem,
  ParamItem,
  Reference,
  SizeBinding,
  SizeItem,
  Structure,
  SyntaxDtype,
  UseItem,
} from './ast.ts';
import type { Code } from './codes.ts';
import type { Diagnostic, Source, Span } from './diagnostic.ts';
import type { Lexed } from './lexer.ts';
import { type RowEntry, shape } from './precedence.ts';
import { foundWords, RecoveringParser } from './recovery.ts';
import { closest } from './suggest.ts';
import * as T from './tokens.ts';

export type TopItem = ImportItem | FunctionItem | Structure;

export interface Parsed {
  readonly items: readonly TopItem[];
  readonly diagnostics: readonly Diagnostic[];
}

/** An index as written: `*` alone may stand in the brackets of a reduction. */
type Index = Expression | { readonly kind: 'every'; readonly span: Span };

type Doc = string | undefined;

const dtypes: readonly string[] = ['f32', 'f16', 'i32'] satisfies readonly SyntaxDtype[];

const itemWords = ['size', 'check', 'axis', 'input', 'param', 'level', 'if', 'use', 'output'];
const topWords = ['structure', 'fn', 'import'];

/** What people coming from other languages write at the beginning of an item. */
const foreignWords: Readonly<Record<string, string>> = {
  parameter: 'param',
  weight: 'param',
  return: 'output',
  for: 'level',
  loop: 'level',
  assert: 'check',
  require: 'check',
  index: 'axis',
  dim: 'axis',
  def: 'fn',
  func: 'fn',
  function: 'fn',
  include: 'import',
  from: 'import',
  module: 'structure',
  class: 'structure',
};

class Grammar extends RecoveringParser {
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
            { ALT: () => this.SUBRULE(this.importItem) },
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
      const meant = foreignWords[token.image] ?? closest(token.image, topWords);
      if (tokenMatcher(token, T.Name) && topWords.includes(meant ?? '')) {
        this.fail('E0122', span, `\`${token.image}\` begins nothing`, `did you mean \`${meant}\`?`);
      }
      if (itemWords.includes(token.image) || (tokenMatcher(token, T.Name) && !tokenMatcher(this.LA(1), T.Name))) {
        const what = itemWords.includes(token.image) ? `\`${token.image}\`` : 'an equation';
        this.fail('E0110', span, `${what} stands inside a structure`, 'write `structure NAME { … }` around it');
      }
      this.fail('E0106', span, `expected \`structure\`, \`fn\` or \`import\`, found ${foundWords(token)}`);
    });
  });

  // Items of a structure

  /** `{ items }`. `opener` is the reserved word before it; without `certain`, a missing `{` means that there is no block. */
  private readonly block = this.RULE('block', (opener: IToken, certain: boolean): Item[] => {
    if (!this.RECORDING_PHASE && !this.is(T.LeftBrace)) {
      if (!certain) return [];
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
      this.reportExpecting(`\`}\` to close the \`${opener.image}\` of line ${line}`, 'E0109');
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
    const token = this.CONSUME(T.AnyToken);
    this.ACTION(() => {
      const span = this.tokenSpan(token);
      const type = token.tokenType;
      if (type === T.RightParen || type === T.RightBracket) {
        this.fail('E0106', span, `this \`${token.image}\` closes nothing`);
      }
      if (type === T.Equal) {
        this.fail('E0106', span, 'expected the next item, found `=`', '`=` defines; to compare, write `==`');
      }
      if (type === T.Else) this.fail('E0106', span, 'this `else` has no `if` before it');
      this.fail('E0106', span, `expected an item of the structure, found ${foundWords(token)}`);
    });
    return undefined;
  });

  private readonly sizeItem = this.RULE('sizeItem', (doc: Doc): SizeItem => {
    const start = this.CONSUME(T.Size);
    const bindings: SizeBinding[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => bindings.push(this.SUBRULE(this.sizeBinding)),
      ERR_MSG: 'the name of a size',
    });
    return { kind: 'size', bindings, doc, span: this.spanFrom(start) };
  });

  private readonly sizeBinding = this.RULE('sizeBinding', (): SizeBinding => {
    const start = this.LA(1);
    const names: Identifier[] = [];
    let value: Expression | undefined;
    const tuple = this.OR({
      ERR_MSG: 'the name of a size',
      DEF: [
        {
          ALT: () => {
            this.CONSUME(T.LeftParen);
            this.AT_LEAST_ONE_SEP({
              SEP: T.Comma,
              DEF: () => names.push(this.SUBRULE(this.identifier, { ARGS: ['the name of a size'] })),
              ERR_MSG: 'the name of a size',
            });
            this.CONSUME(T.RightParen, { ERR_MSG: '`,` or `)`' });
            this.CONSUME(T.Equal);
            value = this.SUBRULE(this.expression, { ARGS: [false] });
            return true;
          },
        },
        {
          GATE: () => !this.is(T.LeftParen),
          ALT: () => {
            names.push(this.SUBRULE2(this.identifier, { ARGS: ['the name of a size'] }));
            value = this.OPTION(() => {
              this.CONSUME2(T.Equal);
              return this.SUBRULE2(this.expression, { ARGS: [false] });
            });
            return false;
          },
        },
      ],
    });
    return { names, tuple, value, span: this.spanFrom(start) };
  });

  private readonly checkItem = this.RULE('checkItem', (): CheckItem => {
    const start = this.CONSUME(T.Check);
    const condition = this.SUBRULE(this.condition);
    const text = this.CONSUME(T.StringLiteral, {
      ERR_MSG: 'an operator, or what to say when the check fails, in double quotes',
    });
    return { kind: 'check', condition, text: unquoted(text), span: this.spanFrom(start) };
  });

  private readonly condition = this.RULE('condition', (): Expression => {
    const condition = this.SUBRULE(this.expression, { ARGS: [false] });
    this.ACTION(() => {
      if (this.is(T.Equal)) this.failExpecting('a comparison', '`=` defines; to compare, write `==`');
    });
    return condition;
  });

  private readonly axisItem = this.RULE('axisItem', (): AxisItem => {
    const start = this.CONSUME(T.Axis);
    const groups: AxisGroup[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => groups.push(this.SUBRULE(this.axisGroup)),
      ERR_MSG: 'the name of an axis',
    });
    return { kind: 'axis', groups, span: this.spanFrom(start) };
  });

  private readonly axisGroup = this.RULE('axisGroup', (): AxisGroup => {
    const start = this.LA(1);
    const names: Identifier[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => names.push(this.SUBRULE(this.identifier, { ARGS: ['the name of an axis'] })),
      ERR_MSG: 'the name of an axis',
    });
    this.CONSUME(T.Colon, { ERR_MSG: '`:` and the size of the axis' });
    const extent = this.SUBRULE(this.expression, { ARGS: [false] });
    return { names, extent, span: this.spanFrom(start) };
  });

  private readonly inputItem = this.RULE('inputItem', (doc: Doc): InputItem => {
    const start = this.CONSUME(T.Input);
    const name = this.SUBRULE(this.identifier, { ARGS: ['the name of an input'] });
    const axes = this.OPTION(() => this.SUBRULE(this.axisNames));
    let dtype: SyntaxDtype = 'f32';
    this.OPTION2(() => {
      this.CONSUME(T.Colon);
      const type = this.CONSUME(T.Name, { ERR_MSG: '`f32`, `f16` or `i32`' });
      this.ACTION(() => {
        dtype = type.image as SyntaxDtype;
        if (dtypes.includes(type.image)) return;
        const help = 'one of `f32`, `f16` and `i32`';
        this.report('E0112', this.tokenSpan(type), `\`${type.image}\` is not an element type`, help);
      });
    });
    this.ACTION(() => this.oneAnItem('input'));
    return { kind: 'input', name, axes, dtype, doc, span: this.spanFrom(start) };
  });

  private readonly paramItem = this.RULE('paramItem', (doc: Doc): ParamItem => {
    const start = this.CONSUME(T.Param);
    const name = this.SUBRULE(this.identifier, { ARGS: ['the name of a param'] });
    const axes = this.OPTION(() => this.SUBRULE(this.axisNames));
    this.CONSUME(T.Tilde, { ERR_MSG: '`~` and how the param begins' });
    const init = this.SUBRULE(this.init);
    const fixed = this.OPTION2({
      GATE: () => this.is(T.Fixed, 2),
      DEF: () => {
        this.CONSUME(T.Comma);
        this.CONSUME(T.Fixed);
        return true;
      },
    });
    this.ACTION(() => this.oneAnItem('param'));
    return { kind: 'param', name, axes, init, fixed: fixed === true, doc, span: this.spanFrom(start) };
  });

  private oneAnItem(word: 'input' | 'param'): void {
    if (!this.is(T.Comma)) return;
    this.SKIP_TOKEN();
    const next = this.LA(1);
    if (word === 'param' && (!this.is(T.Name) || closest(next.image, ['fixed']) !== undefined || this.atNewLine())) {
      this.failExpecting('`fixed`');
    }
    if (!this.is(T.Name)) this.failExpecting(`the next item`, 'leave out the `,` before it');
    const help = `leave out the \`,\` and write \`${word} ${next.image}\``;
    this.fail('E0120', this.tokenSpan(next), `an item declares one ${word}, \`${next.image}\` is its second`, help);
  }

  private readonly init = this.RULE('init', (): InitClause => {
    const start = this.CONSUME(T.Name, { ERR_MSG: '`normal(…)`, `ones`, `zeros` or `constant(…)`' });
    return this.OR({
      DEF: [
        {
          GATE: () => start.image === 'normal',
          ALT: (): InitClause => {
            this.CONSUME(T.LeftParen);
            const init = this.SUBRULE(this.normalArgument, { ARGS: [start] });
            this.CONSUME(T.RightParen);
            return this.ACTION(() => ({ ...init, span: this.spanFrom(start) }));
          },
        },
        {
          GATE: () => start.image === 'constant',
          ALT: (): InitClause => {
            this.CONSUME2(T.LeftParen);
            const value = this.SUBRULE(this.expression, { ARGS: [false] });
            this.CONSUME2(T.RightParen);
            return { kind: 'constant', value, span: this.spanFrom(start) };
          },
        },
        {
          ALT: (): InitClause =>
            this.ACTION(() => {
              const span = this.tokenSpan(start);
              if (start.image === 'ones' || start.image === 'zeros') return { kind: start.image, span };
              if (start.image === 'normal') this.failExpecting('`(std = …)` or `(fan_in = …)`');
              if (start.image === 'constant') this.failExpecting('`(` and the value');
              const meant = closest(start.image, ['normal', 'ones', 'zeros', 'constant']);
              const choice = '`normal(std = …)`, `normal(fan_in = …)`, `ones`, `zeros` or `constant(…)`';
              const help = meant === undefined ? `write ${choice}` : `did you mean \`${meant}\`?`;
              return this.fail('E0111', span, `\`${start.image}\` is no way for a param to begin`, help);
            }),
        },
      ],
      MAX_LOOKAHEAD: 1,
      IGNORE_AMBIGUITIES: true,
    });
  });

  private readonly normalArgument = this.RULE('normalArgument', (start: IToken): InitClause => {
    const word = this.CONSUME(T.Name, { ERR_MSG: '`std` or `fan_in`' });
    this.ACTION(() => {
      if (word.image === 'std' || word.image === 'fan_in') return;
      const meant = closest(word.image, ['std', 'fan_in']);
      const help = meant === undefined ? 'write `std = …` or `fan_in = …`' : `did you mean \`${meant}\`?`;
      this.fail('E0111', this.tokenSpan(word), `\`normal\` has no \`${word.image}\``, help);
    });
    this.CONSUME(T.Equal);
    return this.OR({
      MAX_LOOKAHEAD: 1,
      IGNORE_AMBIGUITIES: true,
      ERR_MSG: 'a value',
      DEF: [
        {
          GATE: () => word.image === 'std',
          ALT: (): InitClause => {
            const std = this.SUBRULE(this.expression, { ARGS: [false] });
            return { kind: 'normal-std', std, span: this.spanFrom(start) };
          },
        },
        {
          GATE: () => word.image === 'fan_in' && this.is(T.LeftParen),
          ALT: (): InitClause => {
            this.CONSUME(T.LeftParen);
            const axes: Identifier[] = [];
            this.AT_LEAST_ONE({
              DEF: () => axes.push(this.SUBRULE(this.identifier, { ARGS: ['the name of an axis'] })),
              ERR_MSG: 'the name of an axis',
            });
            this.CONSUME(T.RightParen, { ERR_MSG: 'the name of an axis, or `)`' });
            return { kind: 'normal-fan-in', axes, span: this.spanFrom(start) };
          },
        },
        {
          GATE: () => word.image === 'fan_in' && !this.is(T.LeftParen),
          ALT: (): InitClause => {
            const axis = this.SUBRULE2(this.identifier, { ARGS: ['the name of an axis'] });
            return { kind: 'normal-fan-in', axes: [axis], span: this.spanFrom(start) };
          },
        },
      ],
    });
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

  private readonly equation = this.RULE('equation', (doc: Doc): EquationItem => {
    const start = this.LA(1);
    const newLine = this.atNewLine();
    const before = this.LA(0);
    const target = this.SUBRULE(this.reference);
    const written = this.OPTION(() => this.SUBRULE(this.brackets));
    this.ACTION(() => {
      if (!this.is(T.Equal) && !this.is(T.PlusEqual)) this.notAnEquation(start, newLine ? undefined : before);
    });
    const operator = this.OR([{ ALT: () => this.CONSUME(T.Equal) }, { ALT: () => this.CONSUME(T.PlusEqual) }]).image as
      | '='
      | '+=';
    const value = this.SUBRULE(this.expression, { ARGS: [false] });
    return this.ACTION(() => {
      const indices = written && this.readIndices(written);
      return { kind: 'equation', target, indices, operator, value, doc, span: this.spanFrom(start) };
    });
  });

  /** A name that could only begin an equation, and no `=` after it: what was meant? `before`: the token left of it. */
  private notAnEquation(start: IToken, before: IToken | undefined): never {
    const span = this.spanFrom(start);
    const alone = this.endOf(start) === span.end;
    const foreign = foreignWords[start.image];
    const meant = foreign ?? closest(start.image, [...itemWords, 'fn', 'import']);
    if (alone && meant !== undefined && (this.is(T.Name) || this.is(T.LeftParen) || foreign !== undefined)) {
      this.fail('E0122', span, `\`${start.image}\` begins no item`, `did you mean \`${meant}\`?`);
    }
    const operandBefore =
      before !== undefined &&
      [T.Name, T.NumberLiteral, T.RightParen, T.RightBracket].some((type) => tokenMatcher(before, type));
    if (operandBefore) {
      const help = `for a product write \`* ${this.quote(span)}\``;
      this.fail('E0121', span, `an operator is missing before \`${this.quote(span)}\``, help);
    }
    if (this.is(T.EqualEqual)) {
      this.failExpecting('`=` or `+=`', '`==` compares; an equation is written with `=`');
    }
    if (alone && this.is(T.Name)) this.fail('E0122', span, `\`${start.image}\` begins no item`);
    const help = this.is(T.Tilde) ? `for a param write \`param ${this.quote(span)} ~ …\`` : undefined;
    this.failExpecting('`=` or `+=`', help);
  }

  private readonly useItem = this.RULE('useItem', (): UseItem => {
    const start = this.CONSUME(T.Use);
    const structure = this.SUBRULE(this.identifier, { ARGS: ['the name of a structure'] });
    const bindings: UseItem['bindings'][number][] = [];
    this.CONSUME(T.LeftParen, { ERR_MSG: '`(` and what its sizes and inputs are, as in `(D = D, x = x)`' });
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => {
        const name = this.SUBRULE2(this.identifier, { ARGS: ['the name of a size or input'] });
        this.CONSUME(T.Equal, { ERR_MSG: '`=` and a value' });
        const value = this.SUBRULE(this.expression, { ARGS: [false] });
        bindings.push(this.ACTION(() => ({ name, value, span: this.spanFrom(name.span.start) })));
      },
    });
    this.CONSUME(T.RightParen, { ERR_MSG: '`,` or `)`' });
    this.CONSUME(T.As, { ERR_MSG: '`as` and a name for the instance' });
    const alias = this.SUBRULE3(this.identifier, { ARGS: ['a name for the instance'] });
    return { kind: 'use', structure, bindings, alias, span: this.spanFrom(start) };
  });

  private readonly outputItem = this.RULE('outputItem', (doc: Doc): OutputItem => {
    const start = this.CONSUME(T.Output);
    const references: Reference[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => references.push(this.SUBRULE(this.reference)),
      ERR_MSG: 'the name of a tensor',
    });
    this.ACTION(() => {
      if (this.is(T.LeftBracket)) this.failExpecting('`,` or the next item', 'an output is named without its indices');
    });
    return { kind: 'output', references, doc, span: this.spanFrom(start) };
  });

  // Names

  private readonly identifier = this.RULE('identifier', (expected: string): Identifier => {
    const token = this.reservedAsName(expected) ?? this.CONSUME(T.Name, { ERR_MSG: expected });
    return this.ACTION(() => this.identifierOf(token));
  });

  /** `[i, j]`, where only names of axes may stand. */
  private readonly axisNames = this.RULE('axisNames', (): Identifier[] | undefined => {
    const start = this.CONSUME(T.LeftBracket);
    const names: Identifier[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => names.push(this.SUBRULE(this.identifier, { ARGS: ['the name of an axis'] })),
    });
    const expected = names.length === 0 ? 'the name of an axis' : '`,` or `]`';
    this.CONSUME(T.RightBracket, { ERR_MSG: expected });
    return this.ACTION(() => (names.length === 0 ? this.emptyBrackets(start) : names));
  });

  private emptyBrackets(start: IToken): undefined {
    this.report(
      'E0114',
      this.spanFrom(start),
      'there is nothing in these brackets',
      'a scalar is written without them',
    );
    return undefined;
  }

  private readonly reference = this.RULE('reference', (): Reference => {
    const name = this.CONSUME(T.Name, { ERR_MSG: 'the name of a tensor' });
    const members: Member[] = [];
    this.MANY(() => {
      this.CONSUME(T.Dot);
      members.push(this.SUBRULE(this.member));
    });
    return this.ACTION(() => ({ name: this.identifierOf(name), members, span: this.spanFrom(name) }));
  });

  private readonly member = this.RULE(
    'member',
    (): Member =>
      this.OR({
        ERR_MSG: 'a name, an integer or `(` after the dot',
        DEF: [
          {
            ALT: (): Member => {
              const token = this.CONSUME(T.NumberLiteral);
              const value = this.ACTION(() => this.numberValue(token, Number.MAX_SAFE_INTEGER));
              return { kind: 'integer', value, span: this.tokenSpan(token) };
            },
          },
          {
            ALT: (): Member => {
              const token = this.CONSUME(T.Name);
              return { kind: 'name', name: this.identifierOf(token), span: this.tokenSpan(token) };
            },
          },
          {
            ALT: (): Member => {
              const start = this.CONSUME(T.LeftParen);
              const value = this.SUBRULE(this.expression, { ARGS: [false] });
              this.CONSUME(T.RightParen, { ERR_MSG: 'an operator or `)`' });
              return { kind: 'expression', value, span: this.spanFrom(start) };
            },
          },
        ],
      }),
  );

  // Expressions

  /** A flat row of operands and operators. `index`: it is a whole index, where a group may stand. */
  private readonly expression = this.RULE('expression', (index: boolean): Expression => {
    const row: RowEntry[] = [this.SUBRULE(this.operand)];
    this.MANY(() => {
      const operator = this.CONSUME(T.BinaryOperator);
      const operatorSpan = this.tokenSpan(operator);
      row.push({ ...this.SUBRULE2(this.operand), operator: operator.image, operatorSpan });
    });
    return this.ACTION(() => {
      if (!index || row.length > 1 || row[0].minuses.length > 0) this.refuseGroups(row);
      const { expression, diagnostics } = shape(row, this.source.text);
      for (const d of diagnostics) this.report(d.code as Code, d.span, d.message, d.help);
      return expression;
    });
  });

  private refuseGroups(row: readonly RowEntry[]): void {
    for (const { operand } of row) {
      if (operand.kind !== 'group') continue;
      const names = operand.axes.map((axis) => axis.text);
      const message = `the group \`(${names.join(' ')})\` can only be a whole index`;
      this.report('E0113', operand.span, message, `for a product write \`${names.join(' * ')}\``);
    }
  }

  private readonly operand = this.RULE('operand', (): RowEntry => {
    const minuses: number[] = [];
    this.MANY(() => minuses.push(this.CONSUME(T.Minus).startOffset));
    const operand = this.SUBRULE(this.primary);
    return { minuses, operand };
  });

  private readonly primary = this.RULE(
    'primary',
    (): Expression =>
      this.OR({
        MAX_LOOKAHEAD: 1,
        IGNORE_AMBIGUITIES: true,
        ERR_MSG: 'an expression',
        DEF: [
          { ALT: (): Expression => this.SUBRULE(this.readOrCall) },
          { ALT: () => this.SUBRULE(this.number) },
          {
            GATE: () => this.is(T.Name, 2) && this.is(T.Name, 3),
            ALT: () => this.SUBRULE(this.group),
          },
          { ALT: () => this.SUBRULE(this.paren) },
          { ALT: () => this.SUBRULE(this.list) },
        ],
      }),
  );

  private readonly number = this.RULE('number', (): Expression => {
    const token = this.CONSUME(T.NumberLiteral);
    const value = this.ACTION(() => this.numberValue(token, Number.MAX_VALUE));
    return { kind: 'number', value, text: token.image, span: this.tokenSpan(token) };
  });

  private numberValue(token: IToken, limit: number): number {
    const value = Number.parseFloat(token.image);
    if (value > limit)
      this.report('E0119', this.tokenSpan(token), `\`${this.quote(this.tokenSpan(token))}\` is too large`);
    return value;
  }

  private readonly list = this.RULE('list', (): Expression => {
    const start = this.CONSUME(T.LeftBracket);
    const elements: Expression[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => elements.push(this.SUBRULE(this.expression, { ARGS: [false] })),
    });
    this.CONSUME(T.RightBracket, { ERR_MSG: elements.length === 0 ? 'an expression or `]`' : '`,` or `]`' });
    return { kind: 'list', elements, span: this.spanFrom(start) };
  });

  private readonly group = this.RULE('group', (): Expression => {
    const start = this.CONSUME(T.LeftParen);
    const axes: Identifier[] = [];
    this.AT_LEAST_ONE(() => {
      const axis = this.CONSUME(T.Name);
      axes.push(this.ACTION(() => this.identifierOf(axis)));
    });
    this.CONSUME(T.RightParen, { ERR_MSG: 'the name of an axis or `)`' });
    return { kind: 'group', axes, span: this.spanFrom(start) };
  });

  private readonly paren = this.RULE('paren', (): Expression => {
    const start = this.CONSUME(T.LeftParen);
    const inner = this.SUBRULE(this.expression, { ARGS: [false] });
    this.CONSUME(T.RightParen, { ERR_MSG: 'an operator or `)`' });
    return { kind: 'paren', inner, span: this.spanFrom(start) };
  });

  /** The brackets after a name, of a read, a call or an equation's target alike. */
  private readonly brackets = this.RULE('brackets', (): Index[] | undefined => {
    const start = this.CONSUME(T.LeftBracket);
    const indices: Index[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () =>
        this.OR([
          {
            ALT: () => {
              const star = this.CONSUME(T.Star);
              indices.push({ kind: 'every', span: this.tokenSpan(star) });
            },
          },
          { ALT: () => indices.push(this.SUBRULE(this.expression, { ARGS: [true] })) },
        ]),
    });
    this.CONSUME(T.RightBracket, { ERR_MSG: indices.length === 0 ? 'an index' : 'an operator, `,` or `]`' });
    return this.ACTION(() => (indices.length === 0 ? this.emptyBrackets(start) : indices));
  });

  private readonly readOrCall = this.RULE('readOrCall', (): Expression => {
    const start = this.LA(1);
    const reference = this.SUBRULE(this.reference);
    const written = this.OPTION(() => this.SUBRULE(this.brackets));
    const given = this.OPTION2(() => this.SUBRULE(this.callArguments));
    return this.ACTION((): Expression => {
      const span = this.spanFrom(start);
      if (given !== undefined) return this.call(reference, written, given, span);
      const indices = written && this.readIndices(written);
      return indices === undefined ? { kind: 'name', reference, span } : { kind: 'read', reference, indices, span };
    });
  });

  private readonly callArguments = this.RULE('callArguments', (): Expression[] => {
    this.CONSUME(T.LeftParen);
    const given: Expression[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => given.push(this.SUBRULE(this.expression, { ARGS: [false] })),
    });
    this.CONSUME(T.RightParen, { ERR_MSG: given.length === 0 ? 'an expression or `)`' : 'an operator, `,` or `)`' });
    return given;
  });

  private call(reference: Reference, written: Index[] | undefined, given: Expression[], span: Span): Expression {
    const help = `if a product is meant, write \`*\` before the \`(\``;
    if (reference.members.length > 0) {
      const message = `\`${this.quote(reference.span)}\` is followed by \`(\`, but no function has a dot in its name`;
      this.report('E0115', reference.span, message, help);
    }
    const every = written?.length === 1 && written[0].kind === 'every';
    const axes: Identifier[] = [];
    for (const index of every ? [] : (written ?? [])) {
      if (index.kind === 'name' && index.reference.members.length === 0) axes.push(index.reference.name);
      else {
        const message = `\`${reference.name.text}[…](…)\` is a call, and \`${this.quote(index.span)}\` is not an axis`;
        this.report('E0115', index.span, message, help);
      }
    }
    return {
      kind: 'call',
      callee: reference.name,
      axes: written === undefined || every ? undefined : axes,
      every,
      arguments: given,
      span,
    };
  }

  private readIndices(written: Index[]): Expression[] {
    const indices: Expression[] = [];
    for (const index of written) {
      if (index.kind !== 'every') indices.push(index);
      else {
        const message = '`*` is not an index; it stands for every axis of a reduction, as in `mean[*](…)`';
        this.report('E0115', index.span, message);
      }
    }
    return indices;
  }
}

function unquoted(token: IToken): string {
  return token.image.replace(/^"|"$/g, '');
}

const grammar = new Grammar();

/** Reads the tokens of one file. Whatever they are, it returns; nesting must have been checked before (`depth.ts`). */
export function readFile(source: Source, lexed: Lexed): Parsed {
  return grammar.read(source, lexed);
}
