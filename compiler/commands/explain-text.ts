/** The report of `explain` for people, after the manner of opt_einsum: costs, what they are beside dense, a line for each step. */
import { bytesText } from '../command-line/amounts.ts';
import { table } from '../command-line/table.ts';
import type { ExplainReport } from './explain-report.ts';

export function explainText(report: ExplainReport): string {
  const sections = [
    [`${report.structure}, ${report.file}`, ...docLines(report.doc)],
    sizesSection(report),
    constsSection(report),
    tensorsSection(report),
    costSection(report),
    orderSection(report),
    kernelsSection(report),
    streamsSection(report),
  ];
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}

function docLines(doc: string | null): string[] {
  return doc === null ? [] : doc.split('\n').map((line) => `  ${line}`);
}

function oneLine(doc: string | null): string {
  return doc === null ? '' : doc.replace(/\s+/g, ' ');
}

function sizesSection({ sizes }: ExplainReport): string[] {
  if (sizes.length === 0) return [];
  // One comment documents all sizes of its item; it is told once.
  const docOf = (i: number): string => (i > 0 && sizes[i].doc === sizes[i - 1].doc ? '' : oneLine(sizes[i].doc));
  const rows = sizes.map(({ name, value, unbound }, i) => [
    `${name} = ${value === null ? '?' : JSON.stringify(value).replaceAll(',', ', ')}`,
    [...(unbound ? ['not bound, counted as 1'] : []), ...(docOf(i) === '' ? [] : [docOf(i)])].join('; '),
  ]);
  return ['Sizes', ...table(rows)];
}

function constsSection({ consts }: ExplainReport): string[] {
  if (consts.length === 0) return [];
  return ['Consts', ...table(consts.map(({ name, value, doc }) => [`${name} = ${value ?? '?'}`, oneLine(doc)]))];
}

function tensorsSection({ tensors }: ExplainReport): string[] {
  const rows = tensors.map(({ role, name, dtype, shape, init, doc }) => [
    role,
    name,
    shapeText(dtype, shape),
    [...(init === null ? [] : [`~ ${init}`]), ...(doc === null ? [] : [oneLine(doc)])].join('   '),
  ]);
  return ['Tensors', ...table(rows)];
}

function costSection(report: ExplainReport): string[] {
  const { params, multiplyAdds, denseMultiplyAdds, leftToRightMultiplyAdds, rankBound, cacheBytes } = report;
  const { peakBytes, largestIntermediate: largest, cached, gradients } = report;
  const rows: [string, string, string][] = [
    ['params', count(params), ''],
    [
      'multiply-adds',
      count(multiplyAdds),
      `${beside(multiplyAdds, denseMultiplyAdds)}${gradients ? ', forward and backward' : ''}`,
    ],
    ['written order', count(leftToRightMultiplyAdds), 'forward, the operands joined as they are written'],
    ['rank bound', typeof rankBound === 'number' ? count(rankBound) : (rankBound ?? '-'), rankText(report)],
    [
      'cache',
      typeof cacheBytes === 'number' ? bytesText(cacheBytes) : (cacheBytes ?? '-'),
      typeof cacheBytes !== 'number'
        ? ''
        : `a token: ${cached.map((c) => `${c.tensor} ${bytesText(c.bytesPerToken)}`).join(', ')}`,
    ],
    ['memory', bytesText(peakBytes), 'all buffers together'],
    [
      'largest intermediate',
      largest === null ? '-' : bytesText(largest.bytes),
      largest === null ? 'nothing is kept between kernels' : `${largest.tensor} (${largest.shape.join(', ')})`,
    ],
  ];
  const unbound = report.sizes.filter((size) => size.unbound).map(({ name }) => name);
  const note =
    unbound.length === 0 ? [] : [`  Not bound and counted as 1: ${unbound.join(', ')}. Bind with -s ${unbound[0]}=…`];
  return ['Cost', ...table(rows, [1]), ...note];
}

function rankText({ rankBound, scoreRanks, unboundTokens, cacheBytes }: ExplainReport): string {
  const ranks = scoreRanks.map((s) => `${s.tensor}: ${s.rankBound}`).join(', ');
  if (unboundTokens.length === 0 || cacheBytes === null) return ranks;
  const tokens = unboundTokens.join(' and ');
  if (rankBound === 'unknown') return ranks;
  return rankBound === null ? `none but the number of tokens, ${tokens}` : `${ranks}, whatever ${tokens}`;
}

function beside(work: number, dense: number | null): string {
  if (dense === null) return 'no matrix and no scores, so nothing dense to compare with';
  const ratio = work / dense;
  const shown = ratio >= 0.995 ? `${ratio.toFixed(1)} times` : `${(100 * ratio).toPrecision(2)} % of`;
  return `${shown} a dense product's ${count(dense)}`;
}

/** The kernels leave out what a `where` of a reader keeps out; the order is told of whole tensors. */
function orderTitle({ order, multiplyAdds }: ExplainReport): string {
  const whole = order.reduce((total, step) => total + step.multiplyAdds, 0);
  return whole === multiplyAdds ? 'Contraction order' : 'Contraction order, of whole tensors';
}

function orderSection(report: ExplainReport): string[] {
  const { order } = report;
  if (order.length === 0) return ['Contraction order', '  nothing is multiplied'];
  const rows = order.map(({ tensor, multiplyAdds, shape, bytes, equation }, i) => [
    String(i + 1),
    count(multiplyAdds),
    tensor,
    `(${shape.join(', ')})`,
    bytesText(bytes),
    equation,
  ]);
  return [orderTitle(report), ...table([['step', 'multiply-adds', 'makes', 'shape', 'size', 'as'], ...rows], [0, 1])];
}

function kernelsSection({ kernels }: ExplainReport): string[] {
  if (kernels.length === 0) return ['Kernels', '  none'];
  const rows = kernels.map(({ makes, family, multiplyAdds, bytes, workgroups, origin }, i) => [
    String(i),
    family,
    makes.join(', '),
    count(multiplyAdds),
    bytesText(bytes),
    workgroups.join('×'),
    origin ?? '',
  ]);
  const head = ['#', 'family', 'makes', 'multiply-adds', 'moves', 'workgroups', 'from'];
  return ['Kernels', ...table([head, ...rows], [0, 3])];
}

/** What no memory holds: kernels make it a tile at a time, each for itself. */
function streamsSection({ kernels }: ExplainReport): string[] {
  const rows = kernels.flatMap(({ streams, held }, i) =>
    streams.flatMap(({ each, rows, along, hides, results }) => {
      const walk = `${rows} along ${along}${each.length === 0 ? '' : `, each ${each.join(', ')}`}`;
      return hides.map((name, n): string[] => {
        const { shape, bytes } = held.find(({ tensor }) => tensor === name)!;
        const hidden = [name, `(${shape.join(', ')})`, bytesText(bytes)];
        return n === 0 ? [String(i), ...hidden, walk, results.join(', ')] : ['', ...hidden];
      });
    }),
  );
  if (rows.length === 0) return [];
  const head = ['#', 'never stored', 'shape', 'size', 'tiles of', 'for'];
  return ['Streams: made a tile at a time where it is read', ...table([head, ...rows], [0])];
}

function shapeText(dtype: string, shape: readonly number[]): string {
  return `${dtype}[${shape.join(', ')}]`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}
