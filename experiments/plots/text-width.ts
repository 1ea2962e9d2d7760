/** How wide a text is in Open Sans, near enough to lay out a legend. */

/** In ems, by kind of letter; a bold one is a little wider. */
const widths: readonly (readonly [RegExp, number])[] = [
  [/[ijl.,:;'|! ]/, 0.27],
  [/[frt()[\]-]/, 0.36],
  [/[mwMW@%]/, 0.9],
  [/[A-Z]/, 0.66],
];
const usualWidth = 0.58;

export function textWidth(text: string, fontSize: number): number {
  return (
    [...text].reduce((sum, letter) => sum + (widths.find(([kind]) => kind.test(letter))?.[1] ?? usualWidth), 0) *
    fontSize
  );
}
