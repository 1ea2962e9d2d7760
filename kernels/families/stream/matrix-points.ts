/**
 * What a stream on tensor cores reads at a row, at a point of the walk, or at an element of a tile, beside its products, such as the
 * logarithm of a row's sum on the way back, or a stored score. Of a lane's row it is kept in a register, of its elements the next tile's are
 * read while this one is multiplied; of 16 points it is staged as their slabs are, so that no element of a tile waits for
 * memory. A lane reads one value of one point: when those of the first subgroup read four each, all others waited for it, 34 of 429 µs of keys
 * and values (test/bench/records, 2026-11-27). The trap: a store to one element of a quad may be one to all of it. So a value takes a quad; where
 * there are sums across, lanes give each other what makes quads, which is less to read: keys and values 421 and 404 µs (2026-11-28-matrix-4.jsonl).
 * Elsewhere that made the gradient of levels' rows wrong on an H100, in a function of the same dispatch whose text had not changed.
 */
import type { Equation, Load } from '../../../compiler/ir/program.ts';
import type { StreamKernel } from '../../kernel.ts';
import { loadText } from '../../parts/address.ts';
import { wideLoad, wideText } from '../../parts/loads.ts';
import { matrixLanes, matrixSize } from '../../target.ts';
import { guarded, wgsl } from '../../wgsl/text.ts';
import { loopOver, overRows, type StreamCode, scopeOf, sizesOf } from './code.ts';

/** Whether four points' values share a quad. */
const sharesQuads = ({ pieces }: StreamKernel): boolean => pieces !== undefined;

/** Quads of a value at each of the points of a tile. */
const quadsOfPoints = (kernel: StreamKernel): number => (sharesQuads(kernel) ? matrixSize / 4 : matrixSize);

/** Values of points that so many threads read, each one of one point. */
const mostValues = (threads: number): number => threads / matrixSize;

/** Quads of workgroup memory that values of points take at most. */
export const mostPointQuads = (kernel: StreamKernel, threads: number): number =>
  mostValues(threads) * quadsOfPoints(kernel);

export interface PointValues {
  /** Before a walk: those of rows, and room for those of elements. */
  readonly rows: string;
  /** Reads those of the 16 points from `from` on. */
  readonly fetch: (from: string) => string;
  readonly stage: string;
  /** A lane's, of what is staged in quads. */
  readonly take: string;
  /** Quads of workgroup memory. */
  readonly quads: number;
}

/** The lines that `write` writes while such values are held, those of the walk from quad `first` of workgroup memory on. */
export function withPointValues<T>(
  w: StreamCode,
  first: number,
  write: () => T,
): { readonly written: T; readonly points: PointValues } {
  const rows = new Map<string, { readonly name: string; readonly text: string }>();
  const columns = new Map<string, { readonly name: string; readonly number: number; readonly text: string }>();
  const elements = new Map<string, string>();
  const { threads } = sizesOf(w.tuning);
  const subgroups = threads / matrixLanes;
  const isShared = sharesQuads(w.kernel);
  const perValue = quadsOfPoints(w.kernel);
  w.pointValues = (l, equation) => {
    const { row, walk } = w.axes;
    const axes = axesOfLoad(l, equation);
    if (axes === undefined || axes.some((axis) => axis >= w.axes.own)) return undefined;
    const isOf = { row: axes.includes(row), walk: axes.includes(walk) };
    if (isOf.row && isOf.walk) {
      const wide = wideLoad(l, walk, equation.axes, (name) => w.emitter.layout(name));
      if (wide === undefined) return undefined;
      const text = wideText(wide, scopeOf(w, equation, new Map([[walk, 'place']])));
      const name = elements.get(text) ?? w.emitter.fresh('of_tile');
      elements.set(text, name);
      return `${name}[own_quad][own_column]`;
    }
    if (isOf.row === isOf.walk) return undefined;
    const at = isOf.row ? new Map([[row, w.names.get(row)!]]) : new Map([[walk, 'place']]);
    const text = loadText(l, scopeOf(w, equation, at));
    if (isOf.row) {
      const known = rows.get(text) ?? { name: w.emitter.fresh('of_row'), text };
      rows.set(text, known);
      return known.name;
    }
    const known = columns.get(text) ?? {
      name: isShared ? w.emitter.fresh('of_walk') : '',
      number: columns.size,
      text,
    };
    if (known.number >= mostValues(threads)) return undefined;
    columns.set(text, known);
    return isShared
      ? `${known.name}[own_quad][own_column]`
      : `scratch[${first + known.number * perValue} + own_quad * 8 + lane_x * 4 + own_column].x`;
  };
  const written = write();
  w.pointValues = undefined;
  // Each value by another subgroup as a whole, so that its lanes stay together.
  const turns = Array.from({ length: Math.ceil(columns.size / subgroups) }, (_, turn) => `staged_point_${turn}`);
  const bySubgroups = (text: (value: { number: number; text: string }, staged: string) => string): string =>
    [...columns.values()]
      .map((value) => {
        const { number } = value;
        return guarded([`subgroup == ${number % subgroups}`], text(value, turns[Math.floor(number / subgroups)]));
      })
      .join('\n');
  const quads = [...elements].map(([text, name]) => `${name}_next[own_quad] = ${text};`);
  const fetchElements = (from: string): string => {
    if (quads.length === 0) return '';
    const place = `let place = ${from} + own_quad * 8 + lane_x * 4;`;
    return overRows(w, loopOver('own_quad', 2, [place, ...quads].join('\n'), w));
  };
  const fetchColumns = (from: string): string =>
    columns.size === 0
      ? ''
      : wgsl`
        {
          let place = ${from} + lane_in % ${matrixSize};
          ${bySubgroups(({ text }, staged) => `${staged} = ${text};`)}
        }
      `;
  const stored = (value: (staged: string) => string): string =>
    guarded(
      [`lane_in < ${perValue}`],
      bySubgroups(({ number }, staged) => `scratch[${first + number * perValue} + lane_in] = ${value(staged)};`),
    );
  const inQuads = (): string => wgsl`
    {
      let from_point = lane % ${perValue}u * 4u;
      ${turns.map(quadOfPoints).join('\n')}
      ${stored((staged) => `${staged}_quad`)}
    }
  `;
  const stageColumns = columns.size === 0 ? '' : isShared ? inQuads() : stored((staged) => `vec4<f32>(${staged})`);
  const points: PointValues = {
    rows: [
      ...[...elements.values()].flatMap((name) => [
        `var ${name} = array<vec4<f32>, 2>();`,
        `var ${name}_next = array<vec4<f32>, 2>();`,
      ]),
      ...[...rows.values()].map(({ name }) => `var ${name} = 0.0;`),
      rows.size === 0 ? '' : overRows(w, [...rows.values()].map(({ name, text }) => `${name} = ${text};`).join('\n')),
      ...turns.map((staged) => `var ${staged} = 0.0;`),
    ].join('\n'),
    fetch: (from) => together([fetchElements(from), fetchColumns(from)]),
    stage: together([...[...elements.values()].map((name) => `${name} = ${name}_next;`), stageColumns]),
    take: isShared
      ? [...columns.values()].map(({ name, number }) => takePoints(name, first + number * perValue)).join('\n')
      : '',
    quads: columns.size * perValue,
  };
  return { written, points };
}

/** WGSL of what four lanes have read, as a quad. */
const quadOfPoints = (staged: string): string => {
  const values = [0, 1, 2, 3].map(
    (c) => `subgroupShuffle(${staged}, ${c === 0 ? 'from_point' : `from_point + ${c}u`})`,
  );
  return `let ${staged}_quad = vec4<f32>(${values.join(', ')});`;
};

const takePoints = (name: string, at: number): string =>
  `let ${name} = array<vec4<f32>, 2>(scratch[${at} + lane_x], scratch[${at + 2} + lane_x]);`;

const together = (texts: readonly string[]): string => texts.filter((text) => text !== '').join('\n');

/** Axes of a load whose indices are affine. */
function axesOfLoad({ indices }: Load, { axes }: Equation): readonly number[] | undefined {
  const all: number[] = [];
  for (const index of indices) {
    if (index.kind !== 'affine') return undefined;
    for (const { axis } of index.terms) if (axes[axis].extent > 1) all.push(axis);
  }
  return all;
}
