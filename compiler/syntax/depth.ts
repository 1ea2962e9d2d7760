/**
 * How deeply a file nests, counted on its tokens before anything recurses over them: parser, checker and printer all
 * recurse over nesting and over nothing else. Brackets of every kind count, and so do the chains that become nested trees
 * without brackets: `- - - x`, `a^b^c` and `else if … else if …`.
 *
 * The trap: a chain ends where its operand's expression does, which no bracket marks: `y = a^b  z = c^d` are two chains.
 */
import { type IToken, type TokenType, tokenMatcher } from './chevrotain.ts';
import { error } from './codes.ts';
import type { Diagnostic } from './diagnostic.ts';
import * as T from './tokens.ts';

export const depthLimit = 64;

/** These begin an item, so every parenthesis and bracket that is still open there has been forgotten. */
const itemStarts: ReadonlySet<TokenType> = new Set([
  ...[T.Size, T.Check, T.Axis, T.Input, T.Param, T.Const, T.Level, T.Slot, T.Use, T.Output, T.Fn, T.Import],
]);

interface Open {
  readonly brace: boolean;
  /** Unary minuses and `^` that the next operand stands under. */
  chain: number;
  /** `else if`s since the last `if` that followed no `else`. */
  elseIfs: number;
}

/** A diagnostic at each place where the nesting passes the limit (once for each bracket that does), none where it never does. */
export function checkDepth(file: string, tokens: readonly IToken[]): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const stack: Open[] = [{ brace: true, chain: 0, elseIfs: 0 }];
  let depth = 0;
  let reported = false;

  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    const type = token.tokenType;
    while (itemStarts.has(type) && !stack[stack.length - 1].brace) {
      const { chain, elseIfs } = stack.pop()!;
      depth -= 1 + chain + elseIfs;
    }
    const top = stack[stack.length - 1];
    const before = i === 0 ? undefined : tokens[i - 1];
    if (type === T.LeftParen || type === T.LeftBracket || type === T.LeftBrace) {
      stack.push({ brace: type === T.LeftBrace, chain: 0, elseIfs: 0 });
      depth++;
    } else if (type === T.RightParen || type === T.RightBracket || type === T.RightBrace) {
      if (stack.length > 1) {
        stack.pop();
        depth -= 1 + top.chain + top.elseIfs;
      }
    } else if (type === T.If && before?.tokenType === T.Else) {
      depth -= top.chain;
      top.chain = 0;
      top.elseIfs++;
      depth++;
    } else if (token.image === '^' || (token.image === '-' && !endsOperand(before))) {
      top.chain++;
      depth++;
    } else if (!continuesChain(token, before)) {
      depth -= top.chain;
      top.chain = 0;
      if (type !== T.Else && before?.tokenType === T.RightBrace) {
        depth -= top.elseIfs;
        top.elseIfs = 0;
      }
    }
    if (depth <= depthLimit / 2) reported = false;
    if (depth > depthLimit && !reported) {
      reported = true;
      const span = { file, start: token.startOffset, end: token.endOffset! + 1 };
      const message = `this is nested more than ${depthLimit} deep`;
      const help = 'define a part of it by an equation of its own and read that here';
      diagnostics.push(error('E0102', span, message, help));
    }
  }
  return diagnostics;
}

function isOperand(token: IToken): boolean {
  return tokenMatcher(token, T.Name) || tokenMatcher(token, T.NumberLiteral);
}

function endsOperand(token: IToken | undefined): boolean {
  if (token === undefined) return false;
  const type = token.tokenType;
  return isOperand(token) || type === T.RightParen || type === T.RightBracket || type === T.RightBrace;
}

/** Whether the operand that a chain leads to is still to come, or still being read. */
function continuesChain(token: IToken, before: IToken | undefined): boolean {
  const member = token.tokenType === T.Dot || before?.tokenType === T.Dot;
  return member || (isOperand(token) && !endsOperand(before));
}
