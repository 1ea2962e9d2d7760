/**
 * How wide a text is in Open Sans, near enough to lay out a legend: Vega measures on a canvas where there is one, and otherwise guesses so
 * high that a third of the picture stays empty.
 */
import * as vega from 'vega';

interface TextMetrics {
  width: (item: { readonly fontSize?: number }, text: unknown) => number;
}

/** In ems, by kind of letter; a bold one is a little wider. */
const widths: readonly (readonly [RegExp, number])[] = [
  [/[ijl.,:;'|! ]/, 0.27],
  [/[frt()[\]-]/, 0.36],
  [/[mwMW@%]/, 0.9],
  [/[A-Z]/, 0.66],
];
const usualWidth = 0.58;
const usualSize = 11;

export function textWidth(text: string, fontSize: number): number {
  return (
    [...text].reduce((sum, letter) => sum + (widths.find(([kind]) => kind.test(letter))?.[1] ?? usualWidth), 0) *
    fontSize
  );
}

/** From here on; Vega's types leave this hook out, which is there for whoever draws without a canvas. */
export function measureTextWithoutCanvas(): void {
  const { textMetrics } = vega as unknown as { readonly textMetrics: TextMetrics };
  textMetrics.width = ({ fontSize = usualSize }, text) => textWidth(String(text ?? ''), fontSize);
}
