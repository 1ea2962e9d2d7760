/**
 * The half of the grammar below items: names, references and expressions.
 *
 * An expression is read as a flat row of operands and operators and shaped by `precedence.ts`, so that the parser's stack
 * grows with brackets only. The traps: `name[…]` is a read, `name[…](…)` a call, and only what follows the bracket says
 * which; `(k p q)` is a group only as a whole index; and the actions also run once on dummy tokens when Chevrotain records
 * the grammar, hence `ACTION`.
 */
import type { Expression, Identifier, Member, Reference } from './ast.ts';
import { EOF, type IToken } from './chevrotain.ts';
import type { Code } from './codes.ts';
import type { Span } from './diagnostic.ts';
import { type RowEntry, shape } from './precedence.ts';
import { RecoveringParser } from './recovery.ts';
import * as T from './tokens.ts';

/** An index as written: `*` alone may stand in the brackets of a reduction. */
type Index = Expression | { readonly kind: 'every'; readonly span: Span };

export abstract class ExpressionGrammar extends RecoveringParser {
  protected readonly identifier = this.RULE('identifier', (expected: string): Identifier => {
    const token = this.OR({
      MAX_LOOKAHEAD: 1,
      ERR_MSG: expected,
      DEF: [
        { ALT: () => this.CONSUME(T.Name) },
        {
          ALT: () => {
            this.ACTION(() => this.refuseReserved(expected));
            return this.CONSUME(T.Keyword);
          },
        },
      ],
    });
    return this.ACTION(() => this.identifierOf(token));
  });

  /** `[i, j]`, where only names of axes may stand. */
  protected readonly axisNames = this.RULE('axisNames', (): Identifier[] | undefined => {
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

  protected readonly reference = this.RULE('reference', (): Reference => {
    const name = this.CONSUME(T.Name, { ERR_MSG: 'the name of a tensor' });
    const members: Member[] = [];
    this.MANY(() => {
      this.CONSUME(T.Dot);
      members.push(this.SUBRULE(this.member));
    });
    return this.ACTION(() => ({ name: this.identifierOf(name), members, span: this.spanFrom(name) }));
  });

  protected readonly member = this.RULE(
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
  protected readonly expression = this.RULE('expression', (index: boolean): Expression => {
    const row: RowEntry[] = [this.SUBRULE(this.operand)];
    this.MANY({
      GATE: () => this.is(T.BinaryOperator) || this.atOr(),
      DEF: () => {
        const operator = this.OR([
          { ALT: () => this.CONSUME(T.BinaryOperator) },
          { GATE: () => this.atOr(), ALT: () => this.CONSUME(T.Name) },
        ]);
        const operatorSpan = this.tokenSpan(operator);
        const written = operator.image === '||' ? 'or' : operator.image;
        row.push({ ...this.SUBRULE2(this.operand), operator: written, operatorSpan });
      },
    });
    const value = this.ACTION(() => {
      if (!index || row.length > 1 || row[0].minuses.length > 0) this.refuseGroups(row);
      const { expression, diagnostics } = shape(row, this.source.text);
      for (const d of diagnostics) this.report(d.code as Code, d.span, d.message, d.help);
      return expression;
    });
    this.OPTION({
      GATE: () => this.atTernary(),
      DEF: () => {
        this.CONSUME(T.If);
        const condition = this.SUBRULE(this.expression, { ARGS: [false] });
        this.CONSUME(T.Else);
        const otherwise = this.SUBRULE2(this.expression, { ARGS: [false] });
        this.ACTION(() => this.refuseTernary(value, condition, otherwise));
      },
    });
    const domain = this.OPTION2({
      GATE: () => this.atDomainByIf(),
      DEF: () => {
        const word = this.CONSUME2(T.If);
        const condition = this.SUBRULE3(this.expression, { ARGS: [false] });
        this.ACTION(() => {
          const help = `write \`where ${this.quote(condition.span)}\``;
          this.report('E0106', this.tokenSpan(word), 'where a value is there is said by `where`, not by `if`', help);
        });
        return condition;
      },
    });
    if (domain === undefined) return value;
    return this.ACTION(() => ({ kind: 'where', value, condition: domain, span: this.spanFrom(value.span.start) }));
  });

  /** `or` between two operands: no reserved word, so that a name may be `or`. */
  private atOr(): boolean {
    if (!['or', '||'].includes(this.LA(1).image) || !this.is(T.Name) || !this.operandBefore()) return false;
    return this.is(T.Name, 2) || this.is(T.NumberLiteral, 2) || this.is(T.LeftParen, 2) || this.is(T.Minus, 2);
  }

  /** `a if c else b`, as Python has it: an `if` on the line of an operand whose `else` comes without a block before it. */
  private atTernary(): boolean {
    if (!this.is(T.If) || !this.operandBefore()) return false;
    for (let ahead = 2; ahead < 200 && !this.is(EOF, ahead); ahead++) {
      if (this.is(T.Else, ahead)) return true;
      if (this.is(T.LeftBrace, ahead) || this.is(T.RightBrace, ahead) || this.is(T.If, ahead)) return false;
    }
    return false;
  }

  /** `a if c`, with neither `else` nor a block: an `if` after an operand that is over before a `{` comes. */
  private atDomainByIf(): boolean {
    if (!this.is(T.If) || !this.operandBefore()) return false;
    let open = 0;
    for (let ahead = 2; ahead < 200; ahead++) {
      if (this.is(T.LeftBrace, ahead)) return false;
      if (this.is(EOF, ahead) || this.is(T.RightBrace, ahead) || this.is(T.Output, ahead)) return true;
      if (this.is(T.LeftParen, ahead) || this.is(T.LeftBracket, ahead)) open++;
      if (this.is(T.RightParen, ahead) || this.is(T.RightBracket, ahead)) open--;
      if (open < 0) return true;
    }
    return false;
  }

  private refuseTernary(value: Expression, condition: Expression, otherwise: Expression): void {
    const text = ({ span }: Expression): string => this.source.text.slice(span.start, span.end).replace(/\s+/g, ' ');
    const span = { ...value.span, end: otherwise.span.end };
    const chosen = `select(${[condition, value, otherwise].map(text).join(', ')})`;
    this.report('E0106', span, 'a value is chosen by `select`, not by `if … else`', `write \`${chosen}\``);
  }

  private refuseGroups(row: readonly RowEntry[]): void {
    for (const { operand } of row) {
      if (operand.kind !== 'group') continue;
      const names = operand.axes.map((axis) => axis.text);
      const message = `the group \`(${names.join(' ')})\` can only be a whole index`;
      this.report('E0113', operand.span, message, `for a product write \`${names.join(' * ')}\``);
    }
  }

  protected readonly operand = this.RULE('operand', (): RowEntry => {
    const minuses: number[] = [];
    this.MANY(() => minuses.push(this.CONSUME(T.Minus).startOffset));
    const operand = this.SUBRULE(this.primary);
    return { minuses, operand };
  });

  protected readonly primary = this.RULE(
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

  protected readonly number = this.RULE('number', (): Expression => {
    const token = this.CONSUME(T.NumberLiteral);
    const value = this.ACTION(() => this.numberValue(token, Number.MAX_VALUE));
    return { kind: 'number', value, text: token.image, span: this.tokenSpan(token) };
  });

  private numberValue(token: IToken, limit: number): number {
    const value = Number.parseFloat(token.image);
    if (value <= limit) return value;
    this.report('E0119', this.tokenSpan(token), `\`${this.quote(this.tokenSpan(token))}\` is too large`);
    // So that nothing more is wrong with it.
    return 1;
  }

  protected readonly list = this.RULE('list', (): Expression => {
    const start = this.CONSUME(T.LeftBracket);
    const elements: Expression[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => elements.push(this.SUBRULE(this.expression, { ARGS: [false] })),
    });
    this.CONSUME(T.RightBracket, { ERR_MSG: elements.length === 0 ? 'an expression or `]`' : '`,` or `]`' });
    return { kind: 'list', elements, span: this.spanFrom(start) };
  });

  protected readonly group = this.RULE('group', (): Expression => {
    const start = this.CONSUME(T.LeftParen);
    const axes: Identifier[] = [];
    this.AT_LEAST_ONE(() => {
      const axis = this.CONSUME(T.Name);
      axes.push(this.ACTION(() => this.identifierOf(axis)));
    });
    this.CONSUME(T.RightParen, { ERR_MSG: 'the name of an axis or `)`' });
    return { kind: 'group', axes, span: this.spanFrom(start) };
  });

  protected readonly paren = this.RULE('paren', (): Expression => {
    const start = this.CONSUME(T.LeftParen);
    const inner = this.SUBRULE(this.expression, { ARGS: [false] });
    this.CONSUME(T.RightParen, { ERR_MSG: 'an operator or `)`' });
    return { kind: 'paren', inner, span: this.spanFrom(start) };
  });

  /** The brackets after a name, of a read, a call or an equation's target alike. */
  protected readonly brackets = this.RULE('brackets', (): Index[] | undefined => {
    const start = this.CONSUME(T.LeftBracket);
    const indices: Index[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () =>
        this.OR({
          ERR_MSG: 'an index',
          DEF: [
            {
              ALT: () => {
                const star = this.CONSUME(T.Star);
                indices.push({ kind: 'every', span: this.tokenSpan(star) });
              },
            },
            { ALT: () => indices.push(this.SUBRULE(this.expression, { ARGS: [true] })) },
          ],
        }),
    });
    this.CONSUME(T.RightBracket, { ERR_MSG: indices.length === 0 ? 'an index' : 'an operator, `,` or `]`' });
    return this.ACTION(() => (indices.length === 0 ? this.emptyBrackets(start) : indices));
  });

  protected readonly readOrCall = this.RULE('readOrCall', (): Expression => {
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

  protected readonly callArguments = this.RULE('callArguments', (): Expression[] => {
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
    const last = reference.members.at(-1);
    const callee = last?.kind === 'name' ? last.name : reference.name;
    if (last !== undefined) {
      const message = `\`${this.quote(reference.span)}\` is followed by \`(\`, but no function has a dot in its name`;
      const meant = last.kind === 'name' ? `for a function write \`${callee.text}(…)\`; ` : '';
      this.report('E0115', reference.span, message, `${meant}${help}`);
    }
    const every = written?.length === 1 && written[0].kind === 'every';
    const axes: Identifier[] = [];
    for (const index of every ? [] : (written ?? [])) {
      if (index.kind === 'name' && index.reference.members.length === 0) axes.push(index.reference.name);
      else {
        const message = `\`${reference.name.text}[…](…)\` is a call, and \`${this.quote(index.span)}\` is not an axis`;
        const isNumber = index.kind === 'number' || index.kind === 'negate';
        const named = 'an axis has a name and no number, as in `softmax[u](…)`';
        this.report('E0115', index.span, message, isNumber ? `${named}; ${help}` : help);
      }
    }
    return {
      kind: 'call',
      callee,
      axes: written === undefined || every ? undefined : axes,
      every,
      arguments: given,
      span,
    };
  }

  protected readIndices(written: Index[]): Expression[] {
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
