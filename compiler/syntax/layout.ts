/**
 * Tokens in lines → text, with the comments and blank lines of the source put back.
 *
 * `format.ts` says which tokens stand on which line and how they are spaced; here a line that is too long is broken, and every
 * comment finds its place: it stays between the two tokens between which it was written, on its own line or behind a token
 * as it was. So a `///` never comes to document something else. The trap is that the tree forgets a few tokens (`: f32`, the
 * braces of `else { if … }`), so the source's tokens are matched to ours in order, skipping those.
 */
import type { Comment } from './ast.ts';
import type { IToken } from './chevrotain.ts';
import type { Source } from './diagnostic.ts';
import { tokenize } from './lexer.ts';

export const lineWidth = 120;
const indentText = '  ';
/** What a broken line's further lines are indented by, beyond the item's own indent. */
const continuation = '    ';

/** One token. `gap` stands before it; it may begin a new line if it has a `rank`: the lower, the rather. */
export interface Atom {
  readonly text: string;
  readonly gap: string;
  readonly rank: number | undefined;
}

export interface Line {
  readonly indent: number;
  readonly atoms: Atom[];
  /** A blank line before it in any case (but not at the file's beginning), or never, or as in the source. */
  readonly blank: 'always' | 'never' | 'source';
  /** Documentation of a tree that has no source text; otherwise it is among the comments. */
  readonly docs: readonly string[];
}

/** What stood in the source before a token: comments in order, and whether blank lines parted them. */
interface Gap {
  readonly comments: readonly { readonly comment: Comment; readonly blank: boolean }[];
  readonly blank: boolean;
}

const noGap: Gap = { comments: [], blank: false };

export function layout(lines: readonly Line[], source: Source): string {
  const gaps = source.text === '' ? [] : matchGaps(lines, source);
  const written: string[] = [];
  let atom = 0;

  const trail = (comment: Comment) => {
    if (written.length === 0) written.push(comment.text);
    else written[written.length - 1] += `  ${comment.text}`;
  };

  for (const line of lines) {
    const indent = indentText.repeat(line.indent);
    const closing = line.atoms[0].text === '}';
    const lead = gaps[atom] ?? noGap;
    const force = line.blank === 'always' && written.length > 0;
    let forced = !force;
    const blankBefore = (inSource: boolean) => {
      const wanted = !forced || (inSource && line.blank !== 'never');
      forced = true;
      if (wanted && written.length > 0 && written[written.length - 1] !== '') written.push('');
    };
    for (const { comment, blank } of lead.comments) {
      if (!comment.own) {
        trail(comment);
        continue;
      }
      // Inside a block that begins or ends here, a comment may still be set off from what it follows.
      const opens = line.blank === 'never' && comment === lead.comments.find((c) => c.comment.own)?.comment && !closing;
      blankBefore(blank && !opens);
      written.push((closing ? indent + indentText : indent) + comment.text);
    }
    blankBefore(lead.blank && !closing);
    for (const doc of line.docs) written.push(`${indent}///${doc === '' ? '' : ` ${doc}`}`);

    // Pieces between comments: each begins a line of its own.
    let start = 0;
    for (let i = 1; i <= line.atoms.length; i++) {
      const gap = i < line.atoms.length ? (gaps[atom + i] ?? noGap) : noGap;
      if (i < line.atoms.length && gap.comments.length === 0) continue;
      written.push(...broken(line.atoms.slice(start, i), start === 0 ? indent : indent + continuation, indent));
      for (const { comment } of gap.comments) {
        if (comment.own) written.push(indent + continuation + comment.text);
        else trail(comment);
      }
      start = i;
    }
    atom += line.atoms.length;
  }

  for (const { comment, blank } of (gaps[atom] ?? noGap).comments) {
    if (comment.own) written.push(...(blank && written.length > 0 ? [''] : []), comment.text);
    else trail(comment);
  }
  return written.map((line) => `${line}\n`).join('');
}

/** Lines of at most `lineWidth` columns where that is possible, broken where it disturbs least. */
function broken(atoms: readonly Atom[], firstIndent: string, indent: string): string[] {
  const lines: string[] = [];
  let start = 0;
  let lead = firstIndent;
  while (start < atoms.length) {
    let columns = lead.length;
    let end = start;
    let at: number | undefined;
    for (; end < atoms.length; end++) {
      const { text, gap, rank } = atoms[end];
      columns += (end === start ? 0 : gap.length) + [...text].length;
      if (end > start && rank !== undefined && (at === undefined || rank <= atoms[at].rank!)) {
        // A break directly before what no longer fits is allowed, later ones are not.
        at = end;
      }
      if (columns > lineWidth && at !== undefined) break;
    }
    const stop = end < atoms.length && at !== undefined ? at : atoms.length;
    const piece = atoms.slice(start, stop);
    lines.push(lead + piece.map(({ text, gap }, i) => (i === 0 ? '' : gap) + text).join(''));
    start = stop;
    lead = indent + continuation;
  }
  return lines;
}

/** For each of our tokens (and the end of the file) what stood before it in the source. */
function matchGaps(lines: readonly Line[], source: Source): Gap[] {
  const { tokens, comments } = tokenize(source);
  const gaps: Gap[] = [];
  let cursor = 0;
  let comment = 0;
  const gapUpTo = (end: number, from: number): Gap => {
    const found: { comment: Comment; blank: boolean }[] = [];
    let last = from;
    for (; comment < comments.length && comments[comment].span.start < end; comment++) {
      const { span } = comments[comment];
      found.push({ comment: comments[comment], blank: blankBetween(source.text, last, span.start) });
      last = span.end;
    }
    return { comments: found, blank: blankBetween(source.text, last, end) };
  };
  const endBefore = (index: number) => (index === 0 ? 0 : tokens[index - 1].endOffset! + 1);

  for (const line of lines) {
    for (const { text } of line.atoms) {
      let found = cursor;
      while (found < tokens.length && !sameToken(tokens[found], text)) found++;
      if (found === tokens.length) {
        // A token that the source lacks: the tree has been changed since. Its comments keep to what follows.
        gaps.push(noGap);
        continue;
      }
      gaps.push(gapUpTo(tokens[found].startOffset, endBefore(found)));
      cursor = found + 1;
    }
  }
  gaps.push(gapUpTo(Number.POSITIVE_INFINITY, endBefore(tokens.length)));
  return gaps;
}

/** The tree keeps the value of a member, `z.007`, not its digits. */
function sameToken(token: IToken, text: string): boolean {
  return token.image === text || (/^[0-9]+$/.test(token.image) && token.image.replace(/^0+(?=.)/, '') === text);
}

function blankBetween(text: string, start: number, end: number): boolean {
  return (text.slice(start, end).match(/\r\n|\r|\n/g)?.length ?? 0) > 1;
}
