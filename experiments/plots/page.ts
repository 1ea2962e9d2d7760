/**
 * Plots of several runs as one page that needs nothing else: no network, no script. Every axis is drawn beforehand, and a row of radio
 * buttons chooses which is seen.
 *
 * The trap: pictures in one page share its names, and a clip path of one would clip another. So each is an image of its own.
 */

export interface PagePicture {
  /** What the choice of it is called; pictures of one group are chosen between. */
  readonly choice: string;
  readonly alt: string;
  readonly svg: string;
}

export interface PageRun {
  readonly label: string;
  /** By the heads of a table. */
  readonly cells: Readonly<Record<string, string>>;
  readonly config: string;
}

export interface PageContent {
  readonly title: string;
  readonly groups: readonly { readonly heading: string; readonly pictures: readonly PagePicture[] }[];
  readonly runs: readonly PageRun[];
}

export function pageOf({ title, groups, runs }: PageContent): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>
${style}${groups.map(({ pictures }, group) => pictures.map((_, i) => shownRule(group, i)).join('')).join('')}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
${groups.map(groupHtml).join('\n')}
<h2>Runs</h2>
${tableHtml(runs)}
${runs.map(({ label, config }) => `<details><summary>Every option of ${escaped(label)}</summary><pre>${escaped(config)}</pre></details>`).join('\n')}
</body>
</html>
`;
}

const style = `body { font: 16px/1.5 "Open Sans", system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
img { max-width: 100%; } figure { margin: 0; }
fieldset { border: 0; padding: 0; } label { margin-right: 1.2rem; }
section:has(input) figure { display: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #ddd; white-space: nowrap; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; }
`;

function idOf(group: number, picture: number): string {
  return `g${group}p${picture}`;
}

function shownRule(group: number, picture: number): string {
  const id = idOf(group, picture);
  return `section:has(#${id}:checked) .${id} { display: block; }\n`;
}

function groupHtml({ heading, pictures }: PageContent['groups'][number], group: number): string {
  const choices = pictures.map(
    ({ choice }, i) =>
      `<label><input type="radio" name="g${group}" id="${idOf(group, i)}"${i === 0 ? ' checked' : ''}> ${escaped(choice)}</label>`,
  );
  const figures = pictures.map(
    ({ alt, svg }, i) =>
      `<figure class="${idOf(group, i)}"><img alt="${escaped(alt)}" src="data:image/svg+xml;base64,${Buffer.from(svg).toString('base64')}"></figure>`,
  );
  const fieldset = pictures.length > 1 ? `<fieldset>${choices.join('\n')}</fieldset>\n` : '';
  return `<section>\n<h2>${escaped(heading)}</h2>\n${fieldset}${figures.join('\n')}\n</section>`;
}

function tableHtml(runs: readonly PageRun[]): string {
  const heads = [...new Set(runs.flatMap(({ cells }) => Object.keys(cells)))];
  const row = (tag: 'th' | 'td', texts: readonly string[]) =>
    `<tr>${texts.map((text) => `<${tag}>${escaped(text)}</${tag}>`).join('')}</tr>`;
  const rows = runs.map(({ label, cells }) => row('td', [label, ...heads.map((head) => cells[head] ?? '')]));
  return `<div class="wide"><table>\n${[row('th', ['run', ...heads]), ...rows].join('\n')}\n</table></div>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
