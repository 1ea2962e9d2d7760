/**
 * What a stream on tensor cores reads at a row, or at a point of the walk, beside its products, such as the logarithm of a row's sum on
 * the way back. Of a lane's row it is kept in a register; of 16 points it is staged as their slabs are, a quad a lane, so that no element of
 * a tile waits for memory.
 */
import type { Equation, Load } from '../../../compiler/ir/program.ts';
import { loadText } from '../../parts/address.ts';
import { matrixSize } from '../../target.ts';
import { guarded, plus, wgsl } from '../../wgsl/text.ts';
import { overRows, type StreamCode, scopeOf, sizesOf } from './code.ts';

/** Quads of one value at the points of a tile. */
const perTile = matrixSize / 4;

export interface PointValues {
  /** Before a walk: those of rows. */
  readonly rows: string;
  /** Reads those of the 16 points from `from` on. */
  readonly fetch: (from: string) => string;
  readonly stage: string;
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
  const columns = new Map<string, { readonly number: number; readonly text: string }>();
  const most = sizesOf(w.tuning).threads / perTile;
  w.pointValues = (l, equation) => {
    const { row, walk } = w.axes;
    const axes = axesOfLoad(l, equation);
    if (axes === undefined || axes.some((axis) => axis >= w.axes.own)) return undefined;
    const isOf = { row: axes.includes(row), walk: axes.includes(walk) };
    if (isOf.row === isOf.walk) return undefined;
    const at = isOf.row ? new Map([[row, w.names.get(row)!]]) : new Map([[walk, 'place']]);
    const text = loadText(l, scopeOf(w, equation, at));
    if (isOf.row) {
      const known = rows.get(text) ?? { name: w.emitter.fresh('of_row'), text };
      rows.set(text, known);
      return known.name;
    }
    const known = columns.get(text) ?? { number: columns.size, text };
    if (known.number >= most) return undefined;
    columns.set(text, known);
    return `scratch[${first + known.number * perTile} + own_quad * 2 + lane_x][own_column]`;
  };
  const written = write();
  w.pointValues = undefined;
  const lanes = columns.size * perTile;
  const read = [...columns.values()].map(({ number, text }) => {
    const quad = [0, 1, 2, 3].map((c) => `{\nlet place = ${plus('point', c)};\nstaged_points[${c}] = ${text};\n}`);
    const from = number === 0 ? [] : [`lane >= ${number * perTile}u`];
    return guarded([...from, `lane < ${(number + 1) * perTile}u`], quad.join('\n'));
  });
  const points: PointValues = {
    rows: [
      ...[...rows.values()].map(({ name }) => `var ${name} = 0.0;`),
      rows.size === 0 ? '' : overRows(w, [...rows.values()].map(({ name, text }) => `${name} = ${text};`).join('\n')),
      columns.size === 0 ? '' : 'var staged_points = vec4<f32>();',
    ].join('\n'),
    fetch: (from) =>
      columns.size === 0
        ? ''
        : wgsl`
          {
            let point = ${from} + i32(lane) % ${perTile} * 4;
            ${read.join('\n')}
          }
        `,
    stage: columns.size === 0 ? '' : `if (lane < ${lanes}u) { scratch[${first} + lane] = staged_points; }`,
    quads: lanes,
  };
  return { written, points };
}

/** Axes of a load whose indices are affine. */
function axesOfLoad({ indices }: Load, { axes }: Equation): readonly number[] | undefined {
  const all: number[] = [];
  for (const index of indices) {
    if (index.kind !== 'affine') return undefined;
    for (const { axis } of index.terms) if (axes[axis].extent > 1) all.push(axis);
  }
  return all;
}
