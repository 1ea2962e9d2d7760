/**
 * Identifiers of one kernel. A user may call a tensor, an axis or a size whatever they like, `filter`, `as` or `read`
 * too, and two axes `a` and `s` may become one. So what stands in a kernel after a name of theirs is told from WGSL's
 * own words by its shape, not by a list of them, which grows with every extension: it is a single letter, or it ends in
 * an underscore, in `_value`, in `_quad`, in `_of_row` or in an underscore and a number. No word of WGSL does.
 *
 *   t → t      filter → filter_      h.3.attn.q → attn_q_      the value of attn.q → attn_q_value      a second t → t_2
 *
 * The trap: the compiler's own variables (`m`, `total`) stand beside them, so both are handed out here, each once; where
 * a family writes names of its own as they are (`lane`, `sum_0_1`), no name of a user's is in sight. Names of a body's
 * variables are free again for the next body; one may then hide a buffer that only the other body knows.
 */

/** What follows a user's name where it is not the name's own tensor or axis that is meant. */
export type NameSuffix = 'value' | 'quad' | 'of_row';

/** The words of a user's name as one, in letters that WGSL takes: `h.3.attn.q` is `h_3_attn_q`. */
function stem(name: string): string {
  const plain = name
    .normalize('NFC')
    .replaceAll(/[^\p{XID_Continue}]+/gu, '_')
    .replaceAll(/_+/g, '_')
    .replace(/^_/, '')
    .replace(/_$/, '');
  if (plain === '') return 'v';
  return /^\p{XID_Start}/u.test(plain) ? plain : `n${plain}`;
}

/** A WGSL identifier that reads like the user's name; distinct names may give the same one (see `Names`). */
export function identifier(name: string, suffix: NameSuffix | '' = ''): string {
  const plain = stem(name);
  const isLetter = /^\p{L}$/u.test(plain);
  return isLetter && suffix === '' ? plain : `${plain}_${suffix}`;
}

/** Words that are not members; where all are of ASCII, as most are, the second finds them in a fifth of the time. */
const words = /(?<![\p{XID_Continue}.])[\p{XID_Start}_]\p{XID_Continue}*/gu;
const asciiWords = /(?<![\w.])[A-Za-z_]\w*/g;
const otherLetter = /(?![\0-\x7f])\p{XID_Continue}/u;

/** Where a name is known: in one body, or in the whole module (buffers, functions). */
export type NameScope = 'body' | 'module';

/** Hands out identifiers, each once in its scope. */
export class Names {
  private readonly all = new Set<string>();
  private readonly module = new Set<string>();
  private body = new Set<string>();

  /** The names of the body before are free again. */
  openBody(): void {
    this.body = new Set();
  }

  /** For a name of the user's. */
  theirs(name: string, suffix: NameSuffix | '' = '', scope: NameScope = 'body'): string {
    const wanted = identifier(name, suffix);
    return this.take(wanted, wanted.endsWith('_') ? wanted : `${wanted}_`, scope);
  }

  /** For a word of the compiler's, which must be an identifier. */
  ours(word: string, scope: NameScope = 'body'): string {
    return this.take(word, `${word}_`, scope);
  }

  /**
   * The text with every name that was handed out replaced by a number, in the order of appearance: texts that differ in
   * names alone become one. Different names stay different, so texts that become one do the same.
   */
  takenOut(text: string): string {
    const numbers = new Map<string, string>();
    return text.replaceAll(otherLetter.test(text) ? words : asciiWords, (word) => {
      if (!this.all.has(word)) return word;
      const number = numbers.get(word) ?? `$${numbers.size}`;
      numbers.set(word, number);
      return number;
    });
  }

  private take(wanted: string, numbered: string, scope: NameScope): string {
    let candidate = wanted;
    for (let i = 2; this.module.has(candidate) || this.body.has(candidate); i++) candidate = `${numbered}${i}`;
    this[scope].add(candidate);
    this.all.add(candidate);
    return candidate;
  }
}
