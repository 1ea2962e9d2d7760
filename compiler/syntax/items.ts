/**
 * The grammar of the items that hold no items: sizes, consts, checks, axes, inputs, params, equations, slots, instances, outputs.
 *
 * Every item but the equation begins with a reserved word. The trap is the equation: it begins with a name, and so does every
 * misspelt item and every operand whose operator is missing, so what a name without `=` was meant to be is guessed here.
 */
import type {
  AxisGroup,
  AxisItem,
  CheckItem,
  ConstItem,
  EquationItem,
  Expression,
  Identifier,
  InitClause,
  InputItem,
  OutputItem,
  ParamItem,
  Reference,
  SizeBinding,
  SizeItem,
  SlotFallback,
  SlotItem,
  SlotOutput,
  SlotTensor,
  SyntaxDtype,
  UseItem,
} from './ast.ts';
import type { IToken } from './chevrotain.ts';
import { ExpressionGrammar } from './expressions.ts';
import { slipHelp } from './slips.ts';
import { closest } from './suggest.ts';
import * as T from './tokens.ts';
import { itemWords, meantWord, topWords } from './vocabulary.ts';

/** The text of the `///` comments before an item. */
export type Doc = string | undefined;

const dtypes: readonly SyntaxDtype[] = ['f32', 'f16', 'i32'];
const computedDtypes: readonly SyntaxDtype[] = ['f32', 'i32'];

/** `a, b and c`. */
function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

export abstract class ItemGrammar extends ExpressionGrammar {
  protected readonly sizeItem = this.RULE('sizeItem', (doc: Doc): SizeItem => {
    const start = this.CONSUME(T.Size);
    const bindings: SizeBinding[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => bindings.push(this.SUBRULE(this.sizeBinding)),
      ERR_MSG: 'the name of a size',
    });
    return { kind: 'size', bindings, doc, span: this.spanFrom(start) };
  });

  protected readonly sizeBinding = this.RULE('sizeBinding', (): SizeBinding => {
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

  protected readonly checkItem = this.RULE('checkItem', (): CheckItem => {
    const start = this.CONSUME(T.Check);
    const condition = this.SUBRULE(this.condition);
    const text = this.CONSUME(T.StringLiteral, {
      ERR_MSG: 'an operator, or what to say when the check fails, in double quotes',
    });
    return { kind: 'check', condition, text: unquoted(text), span: this.spanFrom(start) };
  });

  protected readonly condition = this.RULE('condition', (): Expression => {
    const condition = this.SUBRULE(this.expression, { ARGS: [false] });
    this.ACTION(() => {
      if (this.is(T.Equal)) this.failExpecting('a comparison', '`=` defines; to compare, write `==`');
    });
    return condition;
  });

  protected readonly axisItem = this.RULE('axisItem', (): AxisItem => {
    const start = this.CONSUME(T.Axis);
    const groups: AxisGroup[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => groups.push(this.SUBRULE(this.axisGroup)),
      ERR_MSG: 'the name of an axis',
    });
    return { kind: 'axis', groups, span: this.spanFrom(start) };
  });

  protected readonly axisGroup = this.RULE('axisGroup', (): AxisGroup => {
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

  protected readonly inputItem = this.RULE('inputItem', (doc: Doc): InputItem => {
    const start = this.CONSUME(T.Input);
    const name = this.SUBRULE(this.identifier, { ARGS: ['the name of an input'] });
    const axes = this.OPTION(() => this.SUBRULE(this.axisNames));
    const dtype = this.OPTION2(() => this.SUBRULE(this.elementType, { ARGS: [dtypes] }));
    this.ACTION(() => this.oneAnItem('input'));
    return { kind: 'input', name, axes, dtype: dtype ?? 'f32', doc, span: this.spanFrom(start) };
  });

  /** `: i32`. */
  private readonly elementType = this.RULE('elementType', (known: readonly SyntaxDtype[]): SyntaxDtype => {
    this.CONSUME(T.Colon);
    const listed = this.RECORDING_PHASE ? '' : listOf(known.map((dtype) => `\`${dtype}\``));
    const type = this.CONSUME(T.Name, { ERR_MSG: listed.replace(' and ', ' or ') });
    return this.ACTION(() => {
      const found = known.find((dtype) => dtype === type.image);
      if (found !== undefined) return found;
      const isType = dtypes.some((dtype) => dtype === type.image);
      const message = isType ? `what is computed is not ${type.image}` : `\`${type.image}\` is not an element type`;
      this.report('E0112', this.tokenSpan(type), message, `one of ${listed}`);
      return 'f32';
    });
  });

  protected readonly paramItem = this.RULE('paramItem', (doc: Doc): ParamItem => {
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

  private oneAnItem(word: 'input' | 'param' | 'const'): void {
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

  protected readonly init = this.RULE('init', (): InitClause => {
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
          GATE: () => start.image === 'zeros' && this.is(T.LeftParen),
          ALT: (): InitClause => {
            this.CONSUME3(T.LeftParen);
            const word = this.CONSUME2(T.Name, { ERR_MSG: '`fan_in`' });
            this.ACTION(() => this.expectWord(start, word, ['fan_in']));
            this.CONSUME(T.Equal);
            const fanIn = this.SUBRULE(this.fanInAxes);
            this.CONSUME3(T.RightParen);
            return { kind: 'zeros', fanIn, span: this.spanFrom(start) };
          },
        },
        {
          ALT: (): InitClause =>
            this.ACTION(() => {
              const span = this.tokenSpan(start);
              if (start.image === 'ones') return { kind: 'ones', span };
              if (start.image === 'zeros') return { kind: 'zeros', fanIn: undefined, span };
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

  protected readonly normalArgument = this.RULE('normalArgument', (start: IToken): InitClause => {
    const word = this.CONSUME(T.Name, { ERR_MSG: '`std` or `fan_in`' });
    this.ACTION(() => this.expectWord(start, word, ['std', 'fan_in']));
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
          GATE: () => word.image === 'fan_in',
          ALT: (): InitClause => {
            const axes = this.SUBRULE(this.fanInAxes);
            return { kind: 'normal-fan-in', axes, span: this.spanFrom(start) };
          },
        },
      ],
    });
  });

  /** `i`, or `(γ σ)`. */
  protected readonly fanInAxes = this.RULE('fanInAxes', (): Identifier[] => {
    const axes: Identifier[] = [];
    this.OR({
      ERR_MSG: 'the name of an axis',
      DEF: [
        {
          ALT: () => {
            this.CONSUME(T.LeftParen);
            this.AT_LEAST_ONE({
              DEF: () => axes.push(this.SUBRULE(this.identifier, { ARGS: ['the name of an axis'] })),
              ERR_MSG: 'the name of an axis',
            });
            this.CONSUME(T.RightParen, { ERR_MSG: 'the name of an axis, or `)`' });
          },
        },
        {
          GATE: () => !this.is(T.LeftParen),
          ALT: () => axes.push(this.SUBRULE2(this.identifier, { ARGS: ['the name of an axis'] })),
        },
      ],
    });
    return axes;
  });

  private expectWord(start: IToken, word: IToken, known: readonly string[]): void {
    if (known.includes(word.image)) return;
    const meant = closest(word.image, known);
    const forms = known.map((name) => `\`${name} = …\``).join(' or ');
    const help = meant === undefined ? `write ${forms}` : `did you mean \`${meant}\`?`;
    this.fail('E0111', this.tokenSpan(word), `\`${start.image}\` has no \`${word.image}\``, help);
  }

  protected readonly constItem = this.RULE('constItem', (doc: Doc): ConstItem => {
    const start = this.CONSUME(T.Const);
    const name = this.SUBRULE(this.identifier, { ARGS: ['the name of a const'] });
    this.CONSUME(T.Equal, { ERR_MSG: '`=` and a number' });
    const value = this.SUBRULE(this.expression, { ARGS: [false] });
    this.ACTION(() => this.oneAnItem('const'));
    return { kind: 'const', name, value, doc, span: this.spanFrom(start) };
  });

  protected readonly equation = this.RULE('equation', (doc: Doc): EquationItem => {
    const start = this.LA(1);
    const operandBefore = this.operandBefore();
    const target = this.SUBRULE(this.reference);
    const written = this.OPTION(() => this.SUBRULE(this.brackets));
    const dtype = this.OPTION2(() => this.SUBRULE(this.elementType, { ARGS: [computedDtypes] }));
    this.ACTION(() => {
      if (!this.is(T.Equal) && !this.is(T.PlusEqual)) this.notAnEquation(start, operandBefore);
    });
    const operator = this.OR([{ ALT: () => this.CONSUME(T.Equal) }, { ALT: () => this.CONSUME(T.PlusEqual) }]).image as
      | '='
      | '+=';
    const value = this.SUBRULE(this.expression, { ARGS: [false] });
    return this.ACTION(() => {
      const indices = written && this.readIndices(written);
      return { kind: 'equation', target, indices, dtype, operator, value, doc, span: this.spanFrom(start) };
    });
  });

  /** A name that could only begin an equation, and no `=` after it: what was meant? */
  private notAnEquation(start: IToken, operandBefore: boolean): never {
    const span = this.spanFrom(start);
    const alone = this.endOf(start) === span.end;
    const meant = meantWord(start.image, [...itemWords, ...topWords, 'else', 'else if']);
    const beginsLikeItem = [T.Name, T.LeftParen, T.LeftBrace, T.StringLiteral].some((type) => this.is(type));
    if (alone && meant !== undefined && beginsLikeItem) {
      this.fail('E0122', span, `\`${start.image}\` begins no item`, `did you mean \`${meant}\`?`);
    }
    if (operandBefore) {
      const help = slipHelp(this.source.text, span.start) ?? `for a product write \`* ${this.quote(span)}\``;
      this.fail('E0121', span, `an operator is missing before \`${this.quote(span)}\``, help);
    }
    if (this.is(T.EqualEqual)) {
      this.failExpecting('`=` or `+=`', '`==` compares; an equation is written with `=`');
    }
    if (alone && this.is(T.Name)) this.fail('E0122', span, `\`${start.image}\` begins no item`);
    const help = this.is(T.Tilde) ? `for a param write \`param ${this.quote(span)} ~ …\`` : undefined;
    this.failExpecting('`=` or `+=`', help);
  }

  protected readonly slotItem = this.RULE('slotItem', (doc: Doc): SlotItem => {
    const start = this.CONSUME(T.Slot);
    const name = this.SUBRULE(this.identifier, { ARGS: ['the name of a slot'] });
    const inputs: SlotTensor[] = [];
    const outputs: SlotOutput[] = [];
    this.CONSUME(T.LeftParen, { ERR_MSG: '`(` and the inputs, as in `(x[n, i])`' });
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => inputs.push(this.SUBRULE(this.slotTensor, { ARGS: ['the name of an input'] })),
    });
    this.CONSUME(T.RightParen, { ERR_MSG: '`,` or `)`' });
    this.CONSUME(T.Arrow, { ERR_MSG: '`->` and the outputs' });
    this.AT_LEAST_ONE_SEP2({
      SEP: T.Comma,
      DEF: () => outputs.push(this.SUBRULE(this.slotOutput)),
      ERR_MSG: 'the name of an output',
    });
    const fallback = this.OPTION(() => {
      this.CONSUME(T.Equal);
      return this.SUBRULE(this.slotFallback);
    });
    return { kind: 'slot', name, inputs, outputs, fallback, doc, span: this.spanFrom(start) };
  });

  protected readonly slotTensor = this.RULE('slotTensor', (expected: string): SlotTensor => {
    const name = this.SUBRULE(this.identifier, { ARGS: [expected] });
    const axes = this.OPTION(() => this.SUBRULE(this.axisNames));
    const dtype = this.OPTION2(() => this.SUBRULE(this.elementType, { ARGS: [dtypes] }));
    return this.ACTION(() => ({ name, axes, dtype: dtype ?? 'f32', span: this.spanFrom(name.span.start) }));
  });

  protected readonly slotOutput = this.RULE('slotOutput', (): SlotOutput => {
    const tensor = this.SUBRULE(this.slotTensor, { ARGS: ['the name of an output'] });
    const otherwise = this.OPTION(() => {
      this.CONSUME(T.Else);
      return this.SUBRULE(this.identifier, { ARGS: ['the name of an input'] });
    });
    return { ...tensor, otherwise };
  });

  protected readonly slotFallback = this.RULE(
    'slotFallback',
    (): SlotFallback =>
      this.OR({
        ERR_MSG: 'a file in double quotes, or the name of a structure',
        DEF: [
          {
            ALT: (): SlotFallback => {
              const path = this.CONSUME(T.StringLiteral);
              return { kind: 'file', path: unquoted(path), span: this.tokenSpan(path) };
            },
          },
          {
            ALT: (): SlotFallback => {
              const name = this.CONSUME(T.Name);
              return { kind: 'structure', name: this.identifierOf(name), span: this.tokenSpan(name) };
            },
          },
        ],
      }),
  );

  protected readonly useItem = this.RULE('useItem', (): UseItem => {
    const start = this.CONSUME(T.Use);
    const structure = this.SUBRULE(this.identifier, { ARGS: ['the name of a structure or slot'] });
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

  protected readonly outputItem = this.RULE('outputItem', (doc: Doc): OutputItem => {
    const start = this.CONSUME(T.Output);
    const references: Reference[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => references.push(this.SUBRULE(this.reference)),
      ERR_MSG: 'the name of a tensor',
    });
    this.ACTION(() => {
      if (this.is(T.LeftBracket)) this.failExpecting('`,` or the next item', 'an output is named without its indices');
      // A name on the same line begins an equation only if more follows.
      const endsOutputs = [T.Name, T.Comma, T.RightBrace].some((type) => this.is(type, 2));
      if (this.is(T.Name) && !this.atNewLine() && endsOutputs) this.failExpecting('`,` or the next item');
    });
    return { kind: 'output', references, doc, span: this.spanFrom(start) };
  });
}

export function unquoted(token: IToken): string {
  return token.image.replace(/^"|"$/g, '');
}
