/**
 * "Did you mean": the candidate nearest to a misspelt word. Distances are Damerau–Levenshtein (a swap of neighbours is one
 * mistake). The trap: a suggestion that is too far away is worse than none, so the limit grows with the word's length.
 */

/** Letters of other alphabets that look like these: typed on another keyboard, or pasted. */
const lookAlikes: ReadonlyMap<string, string> = new Map(
  [...'аеорсхуіјѕкАВЕКМНОРСТХІЈЅ']
    .map((letter, i) => [letter, 'aeopcxyijskABEKMHOPCTXIJS'[i]] as const)
    .concat([...'ΑΒΕΖΗΙΚΜΝΟΡΤΥΧον'].map((letter, i) => [letter, 'ABEZHIKMNOPTYXov'[i]] as const)),
);

/** The word in the letters that it looks like. */
export function looksLike(word: string): string {
  return [...word].map((letter) => lookAlikes.get(letter) ?? letter).join('');
}

/** The nearest candidate within a third of the word's length (at least one mistake), or undefined. Ties: the first. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  const limit = Math.max(1, Math.floor([...word].length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of candidates) {
    if (candidate === word || Math.abs(candidate.length - word.length) > 2 * limit) continue;
    const distance = editDistance([...looksLike(word).toLowerCase()], [...looksLike(candidate).toLowerCase()]);
    // One letter for another says nothing: `x` is not a misspelt `y`.
    if (distance < bestDistance && distance < [...candidate].length && (distance === 0 || [...word].length > 1)) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: readonly string[], b: readonly string[]): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, beforeLast[j - 2] + 1);
      }
      row.push(distance);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length];
}
