// Draws docs/path.svg, the picture at the top of README: a structure, a part of the WGSL made from it, the curve of a run with it.
//
//   npx mlbtc train icl --preset tiny --structure docs/near.mlbtc --out_dir runs/near
//   node docs/path.mjs runs/near

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const run = process.argv[2];
const here = import.meta.dirname ?? new URL('.', import.meta.url).pathname;
const structure = readFileSync(join(here, 'near.mlbtc'), 'utf8')
  .trimEnd()
  .replace(' / sqrt(r)', `\n${' '.repeat(18)}/ sqrt(r)`)
  .split('\n')
  .slice(1);
/** From `S.wgsl` of `mlbtcc build docs/near.mlbtc -s B=64 -s T=32 --target cpu`, shortened by hand. */
const wgsl = `// S, from near.mlbtc:9:3
// contraction: form direct, tileM 32, tileN 32, …
@group(0) @binding(0) var<storage, read> S_1_: array<f32>;
…
fn finish(batch: i32, m: i32, n: i32, sum: f32) {
  let b_3 = batch / 4;
  let h_3 = batch % 4;
…
  if (m >= n) { S_value = sum * 0.35355338; }
…
  if (t >= u) { S_value += -slope_[h_4] * f32(t + -1 * u); }`.split('\n');

const records = readFileSync(join(run, 'metrics.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const training = records.filter(({ kind }) => kind === 'train').map(({ step, loss }) => ({ step, loss }));
const evaluations = records.filter(({ kind }) => kind === 'evaluation');
const { baselines, points, dims } = evaluations.at(-1);
const option = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(readFileSync(join(run, 'config.yaml'), 'utf8'))[1];
const about =
  `regression in context: ${dims} dimensions, ${points} points; ` +
  `d_model ${option('d_model')}, ${option('n_layer')} layers, ${option('n_head')} heads`;

const ink = '#1f2328';
const grey = '#59636e';
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function panel(x, y, width, height, title, subtitle) {
  return `<rect x="${x}" y="${y + 34}" width="${width}" height="${height}" rx="6" fill="#f6f8fa" stroke="#d0d7de"/>
<text x="${x}" y="${y + 22}" font-size="16" fill="${ink}"><tspan font-weight="600">${title}</tspan><tspan dx="10" font-size="12.5" fill="${grey}">${subtitle}</tspan></text>`;
}

function code(x, y, lines) {
  const texts = lines.map((line, i) => {
    const fill = /^(\/\/|…)/.test(line) ? ` fill="${grey}"` : '';
    return `<text x="${x}" y="${y + 20 * i}" xml:space="preserve"${fill}>${escaped(line)}</text>`;
  });
  const fonts = 'ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace';
  return `<g font-family="${fonts}" font-size="10" fill="${ink}">\n${texts.join('\n')}\n</g>`;
}

function arrow(path) {
  return `<path d="${path}" fill="none" stroke="${grey}" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round"/>`;
}

/** The loss over the steps on a logarithmic axis, with what predicting 0 and least squares would give. */
function curve(left, right, top, bottom) {
  const zero = mean(baselines.zero);
  const leastSquares = mean(baselines['least squares']);
  const every = Math.max(1, Math.round(training.length / 150));
  const smoothed = training
    .filter((_, i) => i % every === 0)
    .map(({ step }, i) => ({ step, loss: mean(training.slice(i * every, (i + 4) * every).map(({ loss }) => loss)) }));
  const last = training.at(-1).step;
  const low = Math.min(0.8 * leastSquares, ...training.map(({ loss }) => loss));
  const high = Math.max(1.3 * zero, ...training.map(({ loss }) => loss));
  const atX = (step) => (left + ((right - left) * step) / last).toFixed(1);
  const atY = (loss) => (bottom - ((bottom - top) * Math.log(loss / low)) / Math.log(high / low)).toFixed(1);
  const line = (records, colour, width) =>
    `<polyline points="${records.map(({ step, loss }) => `${atX(step)},${atY(loss)}`).join(' ')}" fill="none" stroke="${colour}" stroke-width="${width}"/>`;
  const label = (x, y, text, fill = grey, anchor = 'middle') =>
    `<text x="${x}" y="${y}" font-size="11" text-anchor="${anchor}" fill="${fill}">${text}</text>`;
  const baseline = (loss, name, colour) =>
    `<path d="M${left} ${atY(loss)}H${right}" stroke="${colour}" stroke-width="1.3" stroke-dasharray="5 4"/>
${label(right + 6, Number(atY(loss)) + 4, name, colour, 'start')}`;
  const ticks = [0.1, 0.2, 0.3, 0.5, 1, 2].filter((loss) => loss > low && loss < high);
  const apart = [250, 500, 1000, 2000, 5000, 10_000].find((steps) => last / steps <= 7);
  const steps = Array.from({ length: Math.floor(last / apart) + 1 }, (_, i) => i * apart);
  return [
    ...ticks.map((loss) => `<path d="M${left} ${atY(loss)}H${right}" stroke="#d0d7de" stroke-width="0.7"/>`),
    ...ticks.map((loss) => label(left - 7, Number(atY(loss)) + 4, loss, grey, 'end')),
    ...steps.map((step) => label(atX(step), bottom + 16, step.toLocaleString('en'))),
    label((left + right) / 2, bottom + 33, 'training step'),
    `<g transform="rotate(-90 32 ${(top + bottom) / 2})">${label(32, (top + bottom) / 2, 'mean squared error')}</g>`,
    line(training, '#9ecae1', 0.7),
    line(smoothed, '#08519c', 2),
    baseline(zero, 'predicting 0', grey),
    baseline(leastSquares, 'least squares', '#1a7f37'),
    `<path d="M${left} ${top}V${bottom}H${right}" fill="none" stroke="${grey}"/>`,
  ].join('\n');
}

const title =
  'A structure of ten lines, a part of the WGSL made from it, and the training curve of a transformer with it';
const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="900" height="612" viewBox="0 0 900 612" role="img" aria-label="${title}"
  font-family="-apple-system, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif">
<rect width="900" height="612" fill="#ffffff"/>
${panel(12, 4, 424, 254, 'near.mlbtc', 'what the scores are')}
${code(22, 60, structure)}
${arrow('M443 166h16m-7 -7l8 7l-8 7')}
${panel(468, 4, 420, 254, 'WGSL', 'from one of its kernels')}
${code(478, 60, wgsl)}
${arrow('M678 298v24m-7 -7l7 8l7 -8')}
${panel(12, 318, 876, 250, 'a run', about)}
${curve(72, 790, 368, 560)}
</svg>
`;
writeFileSync(join(here, 'path.svg'), svg);
