/**
 * Charts to pictures: Vega draws the SVG, resvg the PNG, both in this process.
 *
 * The trap: a machine without fonts draws a PNG without any text and says nothing. So the font that comes with the bundled
 * software device is taken where it is there, and the system's fonts otherwise.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Resvg } from '@resvg/resvg-js';
import type { TopLevelSpec } from 'vega-lite';
import { writeFileAtomically } from '../../compiler/command-line/atomic-file.ts';
import { hasBundledArchive, unpackBundled } from '../../runtime/bundled-archive.ts';

/** Pixels a unit of the SVG: enough for a slide. */
const pngZoom = 2;
const bundledFonts = { archive: 'fonts', names: ['OpenSans-Regular.ttf', 'OpenSans-Bold.ttf'] } as const;

/** Writes `NAME.svg` and `NAME.png` into a folder. */
export async function renderChart(spec: TopLevelSpec, folder: string, name: string): Promise<void> {
  const svg = await chartSvg(spec);
  writeFileAtomically(join(folder, `${name}.svg`), [svg]);
  writeFileAtomically(join(folder, `${name}.png`), [chartPng(svg)]);
}

/** The files of charts with these names, as far as they are there. */
export function chartFiles(folder: string, names: readonly string[]): readonly string[] {
  return names
    .flatMap((name) => [join(folder, `${name}.svg`), join(folder, `${name}.png`)])
    .filter((path) => existsSync(path));
}

export async function chartSvg(spec: TopLevelSpec): Promise<string> {
  const { vegaSvg } = await import('./vega-svg.ts');
  return vegaSvg(spec);
}

export function chartPng(svg: string): Uint8Array {
  const fontFiles = bundledFontFiles();
  const font =
    fontFiles.length > 0
      ? {
          fontFiles: [...fontFiles],
          loadSystemFonts: false,
          defaultFontFamily: 'Open Sans',
          sansSerifFamily: 'Open Sans',
        }
      : { loadSystemFonts: true };
  return new Resvg(svg, { font, fitTo: { mode: 'zoom', value: pngZoom }, background: 'white' }).render().asPng();
}

/** Paths of the bundled fonts, unpacked at first use; none where the package that holds them is not installed. */
function bundledFontFiles(): readonly string[] {
  if (!hasBundledArchive(bundledFonts.archive)) return [];
  const folder = unpackBundled(bundledFonts);
  return bundledFonts.names.map((name) => join(folder, name));
}
