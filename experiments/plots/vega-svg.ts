/**
 * A chart's SVG, by Vega without a canvas. Loaded only where a picture is drawn: Vega takes as long to load as all else that a command
 * needs.
 *
 * The trap: Vega measures text on a canvas where there is one, and otherwise guesses so high that a third of the picture stays empty.
 */
import * as vega from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { textWidth } from './text-width.ts';

interface TextMetrics {
  width: (item: { readonly fontSize?: number }, text: unknown) => number;
}

const usualSize = 11;
/** Vega's types leave this hook out, which is there for whoever draws without a canvas. */
const { textMetrics } = vega as unknown as { readonly textMetrics: TextMetrics };
textMetrics.width = ({ fontSize = usualSize }, text) => textWidth(String(text ?? ''), fontSize);

export async function vegaSvg(spec: TopLevelSpec): Promise<string> {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
