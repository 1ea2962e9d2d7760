/**
 * Identifiers of one kernel. A user may call a tensor, an axis or a size whatever they like, `filter`, `as` or `read`
 * too, and two axes `a` and `s` may become one. So what stands in a kernel after a name of theirs is told from WGSL's
 * own words by its shape, not by a list of them, which grows with every extension: it is a single letter, or it ends in
 * an underscore, in `_value`, in `_of_row` or in an underscore and a number. No word of WGSL does.
 *
 *   t → t      filter → filter_      h.3.attn.q → attn_q_      the value of attn.q → attn_q_value      a second t → t_2
 *
 * The trap: the compiler's own variables (`m`, `total`) stand beside them, so both are handed out here, each once; where
 * a family writes names of its own as they are (`lane`, `sum_0_1`), no name of a user's is in sight.
 */

/** What follows a user's name where it is not the name's own tensor or axis that is meant. */
export type NameSuffix = 'value' | 'of_row';

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

/** Hands out identifiers, each once. */
export class Names {
  private readonly taken = new Set<string>();

  /** For a name of the user's. */
  theirs(name: string, suffix: NameSuffix | '' = ''): string {
    const wanted = identifier(name, suffix);
    return this.take(wanted, wanted.endsWith('_') ? wanted : `${wanted}_`);
  }

  /** For a word of the compiler's, which must be an identifier. */
  ours(word: string): string {
    return this.take(word, `${word}_`);
  }

  private take(wanted: string, numbered: string): string {
    let candidate = wanted;
    for (let i = 2; this.taken.has(candidate); i++) candidate = `${numbered}${i}`;
    this.taken.add(candidate);
    return candidate;
  }
}
