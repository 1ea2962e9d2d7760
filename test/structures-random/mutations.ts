/** Small mistakes in a text, as people make them: tokens left out, doubled, exchanged, names confused, numbers wrong. */
import { tokenize } from '../../compiler/syntax/lexer.ts';
import { choicesFrom } from '../support/choices.ts';

const strays = [
  ...[
    '$',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '=',
    '+=',
    '..',
    '^',
    '*',
    '"',
    '2x',
    '0',
    '7',
    'where',
    'structure',
  ],
  ...[
    'level',
    'output',
    'axis',
    'param',
    'size',
    'zzz',
    'uniform(3)',
    ': f64',
    'fn f(a) = a',
    '1e999',
    '_a',
    '<',
    '/ 0',
  ],
];

export function mutated(text: string, tape: Uint8Array): string {
  const choices = choicesFrom(tape);
  let current = text;
  const count = choices.between(1, 2);
  for (let i = 0; i < count; i++) {
    const { tokens } = tokenize({ file: 'mutated.mlbtc', text: current });
    if (tokens.length < 2) return current;
    const position = (): number => (choices.below(256) * 256 + choices.below(256)) % tokens.length;
    const at = tokens[position()];
    const other = tokens[position()];
    const span = (token: typeof at): readonly [number, number] => [
      token.startOffset,
      token.startOffset + token.image.length,
    ];
    const replaced = ([from, to]: readonly [number, number], by: string): string =>
      `${current.slice(0, from)}${by}${current.slice(to)}`;
    const names = tokens.filter((t) => /^\p{L}/u.test(t.image));
    const numbers = tokens.filter((t) => /^\d/.test(t.image));
    current = choices.pick([
      () => replaced(span(at), ''),
      () => replaced(span(at), `${at.image} ${at.image}`),
      () => replaced(span(at), other.image),
      () => replaced([span(at)[1], span(at)[1]], ` ${choices.pick(strays)} `),
      // A name for another.
      () => {
        if (names.length === 0) return current;
        const [a, b] = [names[position() % names.length], names[position() % names.length]];
        return replaced(span(a), choices.pick([b.image, `${a.image}x`, b.image, a.image.slice(1) || 'q']));
      },
      () => {
        if (numbers.length === 0) return current;
        return replaced(
          span(numbers[position() % numbers.length]),
          choices.pick(['0', '1', '7', '64', '0.5', '99999']),
        );
      },
      // A whole line left out or doubled.
      () => {
        const lines = current.split('\n');
        const n = position() % lines.length;
        const line = lines[n];
        return lines.toSpliced(n, 1, ...choices.pick([[], [line, line]])).join('\n');
      },
      () => current.slice(0, span(at)[0]),
    ])();
  }
  return current;
}
