/**
 * Streams: rows made from tensors of row × walk that are computed tile by tile and never stored, such as attention of any score.
 *
 *   S[t, u] = Σ_r q[t, r]·k[u, r]        a workgroup keeps 64 rows t and goes along u in tiles of 64:
 *   m[t]    = max_u S[t, u]                a tile of S from two staged slabs, as a contraction makes one;
 *   l[t]    = Σ_u exp(S - m[t])            what was summed up so far rescaled to the new maximum;
 *   y[t, e] = Σ_u exp(S - m[t])·v[u, e]    the tile through workgroup memory into a second product.
 *
 * Every lane holds 4·rowQuads rows and 4 columns of each tile: rows `4·y … 4·y + 3` of its quad, columns x, x + X, x + 2X, x + 3X, so that
 * what it stores to workgroup memory and reads of it lies side by side. Results are of one order: same bits every run.
 *
 * The trap: all lanes meet every barrier, so rows and columns beyond the last are worked on too, at clamped places; what a column
 * beyond the last would add is left out by the mask of each result, and a row beyond it is not stored.
 */
import { multiplyAddsOf } from '../../../compiler/ir/multiply-adds.ts';
import { elementCount } from '../../../compiler/ir/program.ts';
import type { KernelBody, StreamKernel, StreamPieces, StreamStatement } from '../../kernel.ts';
import { coordinate } from '../../parts/linear.ts';
import { expressionText } from '../../parts/scalar.ts';
import { matrixExtensions, shuffledLanes, type Target } from '../../target.ts';
import type { Emitter } from '../../wgsl/emitter.ts';
import { guarded, indent, wgsl } from '../../wgsl/text.ts';
import { acrossStep, emptyAcross, emptyTile, placeAcross } from './across.ts';
import { inFlight, type Stage } from './ahead.ts';
import {
  loopOver,
  overRows,
  places,
  readyOf,
  rowsOfLane,
  type StreamCode,
  scopeOf,
  sizesOf,
  storeText,
} from './code.ts';
import { finishSum, quadOfColumns, sumQuads } from './columns.ts';
import { findJoints } from './joint.ts';
import { laneOrder, placeOfLane } from './lanes.ts';
import { matrixWalk } from './matrix.ts';
import { matrixParts } from './matrix-parts.ts';
import { firstRow, turnsOf } from './pieces.ts';
import { extremeStep, followedStep, isFollowed, noneWhereEmpty, reduceRows, totalStep } from './rows.ts';
import { streamAxes, tilesOf, type WalkRange, walkRange } from './shape.ts';
import { sumStep } from './sum.ts';
import { mapStep, tileStep } from './tile.ts';
import type { StreamTuning } from './tuning.ts';

export function emitStream(kernel: StreamKernel, emitter: Emitter, target: Target, tuning: StreamTuning): KernelBody {
  const w = openStream(kernel, emitter, target, tuning);
  const range = walkRange(kernel, w.rowTile, emitter.bound(kernel.walk.extent));
  const before = kernel.statements.flatMap((s) => beginResult(s, w));
  const walk = tuning.matrices ? onTensorCores(w, range) : walkLoop(w, range);
  const after = finish(w);
  const { groups, lines } = tileHead(w, range);
  const ofTile = wgsl`
    let walk_from = ${range.from};
    let walk_to = ${range.to};
    ${before.join('\n')}
    ${walk}
    ${after}
  `;
  const all = [...lines, kernel.pieces === undefined ? ofTile : overPiece(kernel.pieces, ofTile, w)].join('\n');
  const body = tuning.matrices ? `@diagnostic(off, chromium.subgroup_matrix_uniformity) {\n${indent(all)}\n}` : all;
  const usesShuffles = w.shuffles && kernel.statements.some((s) => s.kind === 'extreme' || s.kind === 'total');
  return {
    functions: w.functions,
    sharedQuads: w.exchangeQuads + w.stagedQuads,
    workgroupSize: sizesOf(tuning).threads,
    groups,
    body: [emitter.head(), body].filter((text) => text !== '').join('\n'),
    tuning: { ...tuning },
    enables: tuning.matrices ? matrixExtensions : usesShuffles ? ['subgroups'] : [],
    multiplyAdds: kernel.statements.flatMap((s) => s.equations).reduce((n, e) => n + multiplyAddsOf(e), 0),
  };
}

function openStream(kernel: StreamKernel, emitter: Emitter, target: Target, tuning: StreamTuning): StreamCode {
  const { threads, tileRows, tileColumns, pitch, columnPitch, exchangePitch } = sizesOf(tuning);
  const lanes = laneOrder(kernel, tuning, target);
  const { batch, outer, row, walk } = kernel;
  const names = [...batch, ...outer, row, walk].map(({ name, extent }) => (extent === 1 ? '0' : emitter.named(name)));
  const slabs = tuning.depth * (pitch + columnPitch);
  const w: StreamCode = {
    kernel,
    axes: streamAxes(kernel),
    emitter,
    tuning,
    names: new Map(names.entries()),
    tiles: tilesOf(kernel),
    variables: new Map(kernel.statements.map((s) => [s.tensor, emitter.named(s.tensor, 'value')])),
    rowTile: { start: 'row_start', rows: tileRows },
    columnTile: { start: 'walk_start', rows: tileColumns },
    lanes,
    shuffles: tuning.threadColumns * (lanes === 'rows' ? 1 : 2) <= shuffledLanes(target),
    functions: [],
    shared: new Map(),
    tileHead: [],
    levels: new Map(),
    joints: new Map(),
    exchanged: undefined,
    taken: new Map(),
    exchangeQuads: tuning.matrices ? 0 : Math.max(slabs, tileColumns * exchangePitch, threads),
    stagedQuads: 0,
  };
  for (const [name, joint] of tuning.matrices ? [] : findJoints(w)) {
    w.joints.set(name, joint);
    w.variables.set(name, w.variables.get(joint.members[0].sum.tensor)!);
  }
  return w;
}

/** Which batch a workgroup has, and which tile of rows, or piece. Rows that go furthest come first, so that none is left to the end. */
function tileHead(w: StreamCode, { grows }: WalkRange) {
  const { kernel, names, tuning, lanes } = w;
  const { pieces } = kernel;
  const { tileRows } = sizesOf(tuning);
  const lane = placeOfLane(lanes, tuning);
  const extents = kernel.batch.map(({ extent }) => extent);
  const batches = elementCount(extents);
  const tiles = Math.ceil(kernel.row.extent / tileRows);
  const batch = batches === 1 ? '0' : `(work % ${batches})`;
  const number = batches === 1 ? 'work' : `work / ${batches}`;
  const tile = grows ? `${tiles - 1} - ${number}` : number;
  const share = pieces === undefined ? tiles : pieces.count;
  const lines = [
    'let work = i32(group);',
    ...extents.flatMap((extent, d) =>
      extent === 1 ? [] : [`let ${names.get(d)} = ${coordinate(batch, extents, d)};`],
    ),
    `let lane_x = ${lane.x};`,
    `let lane_y = ${lane.y};`,
    ...(pieces === undefined ? [`let row_start = ${tiles === 1 ? '0' : `(${tile}) * ${tileRows}`};`] : []),
    ...(pieces === undefined || tuning.matrices ? [] : placeAcross(w)),
    ...(pieces !== undefined && share > 1 ? [`let piece = ${number};`] : []),
  ];
  return { groups: batches * share, lines };
}

/** A piece's tiles of rows one after another. */
function overPiece(pieces: StreamPieces, ofTile: string, w: StreamCode): string {
  const { kernel, tuning } = w;
  const { tileRows } = sizesOf(tuning);
  const turns = turnsOf(kernel, tuning);
  const isWhole = kernel.row.extent % (pieces.count * Math.max(tileRows, pieces.rows)) === 0 || pieces.count === 1;
  if (turns === 1) return [`let row_start = ${firstRow(pieces, tileRows, '0')};`, ofTile].join('\n');
  return wgsl`
    for (var turn = 0; turn < ${turns}; turn++) {
      let row_start = ${firstRow(pieces, tileRows, 'turn')};
      ${isWhole ? '' : `if (row_start >= ${kernel.row.extent}) { continue; }`}
      ${ofTile}
    }
  `;
}

/** The walk, tile by tile, for each value of the outer axes. */
function walkLoop(w: StreamCode, range: WalkRange): string {
  const { kernel } = w;
  const { tileColumns } = sizesOf(w.tuning);
  const stages = kernel.statements.flatMap((s) => step(s, w)).filter(({ text }) => text !== '');
  const { before, lines } = inFlight(stages, w);
  const first = `walk_from / ${tileColumns} * ${tileColumns}`;
  const head = before.length === 0 ? [] : [`let walk_first = ${first};`, ...before];
  const loop = wgsl`
    ${head.join('\n')}
    for (var walk_start = ${head.length === 0 ? first : 'walk_first'}; walk_start < walk_to; walk_start += ${tileColumns}) {
      ${[...w.tileHead, ...lines].join('\n')}
    }
  `;
  const across = kernel.statements.filter(({ kind }) => kind === 'across');
  return [overOuter(loop, w), ...across.map((s) => emptyAcross(range, emptyTile(s, w), w))].join('\n');
}

function overOuter(walk: string, w: StreamCode): string {
  const { kernel, names } = w;
  return kernel.outer.reduceRight((text, { extent }, d) => {
    const name = names.get(kernel.batch.length + d)!;
    return name === '0' ? text : loopOver(name, extent, text, w);
  }, walk);
}

/** The same with products on tensor cores. */
function onTensorCores(w: StreamCode, range: WalkRange): string {
  const { kernel, emitter } = w;
  const { tileRows, tileColumns } = sizesOf(w.tuning);
  const parts = matrixParts(kernel, (name) => emitter.layout(name), tileRows);
  const isWhole = kernel.row.extent % tileRows === 0 && kernel.walk.extent % tileColumns === 0;
  if (parts === undefined || !isWhole) throw new Error(`${kernel.statements[0].tensor} is no stream for tensor cores`);
  const [summed] = kernel.statements.filter(({ kind }) => kind === 'sum');
  if (quadOfColumns(summed, w) === undefined) emitter.writes(summed.tensor, '0');
  const { before, walk, after, sharedQuads } = matrixWalk(w, parts, range, emitter.unknownZero(summed.tensor));
  w.stagedQuads = sharedQuads;
  return [before, overOuter(walk, w), after].join('\n');
}

/** What is kept through the walk. */
function beginResult(s: StreamStatement, w: StreamCode): readonly string[] {
  const { rowQuads, threadColumns } = w.tuning;
  const name = w.variables.get(s.tensor)!;
  const perRow = (value: string): string => {
    const values = Array.from({ length: rowQuads }, () => `vec4<f32>(${value})`);
    return `var ${name} = array<vec4<f32>, ${rowQuads}>(${values.join(', ')});`;
  };
  switch (s.kind) {
    case 'tile':
    case 'map':
    case 'across':
      return [];
    case 'extreme': {
      w.emitter.use('infinity_f32');
      const none = s.equations[0].reducer === 'max' ? '-infinity_f32()' : 'infinity_f32()';
      return [perRow(none), `var ${name}_found = array<vec4<f32>, ${rowQuads}>();`];
    }
    case 'total':
    case 'row':
      return [perRow('0.0')];
    case 'sum': {
      const joint = w.joints.get(s.tensor);
      if (joint !== undefined && joint.members[0].sum !== s) return [];
      const quads = sumQuads(s, w);
      return [
        `var ${name} = array<vec4<f32>, ${rowsOfLane(w) * quads}>(); // ${threadColumns * quads * 4} columns in all`,
      ];
    }
    default:
      return s.kind satisfies never;
  }
}

/** One tile of the walk. */
function step(s: StreamStatement, w: StreamCode): readonly Stage[] {
  if (s.kind !== 'sum' && s.kind !== 'across') w.exchanged = undefined;
  switch (s.kind) {
    case 'tile':
      return tileStep(s, w);
    case 'map':
      return mapStep(s, w);
    case 'extreme':
      return [{ text: extremeStep(s, w) }];
    case 'total':
      return [{ text: totalStep(s, w) }];
    case 'row':
      return isFollowed(s, w) ? [{ text: followedStep(s, w) }] : [];
    case 'sum':
      return sumStep(s, w);
    case 'across':
      return acrossStep(s, w);
    default:
      return s.kind satisfies never;
  }
}

/** After the walk: what is known of the rows now, and what is stored. */
function finish(w: StreamCode): string {
  const { kernel, emitter, variables } = w;
  const lines: string[] = [];
  for (const s of kernel.statements) {
    const name = variables.get(s.tensor)!;
    if (s.kind === 'total') {
      lines.push(reduceRows(name, 'sum', w));
      if (s.finish !== undefined) {
        const factor = expressionText(s.finish, scopeOf(w, s.equations[0]));
        lines.push(overRows(w, `${name}[own_row / 4][own_row % 4] *= ${factor};`));
      }
    } else if (s.kind === 'extreme') {
      lines.push(noneWhereEmpty(name, w));
    } else if (s.kind === 'row') {
      const equation = readyOf(w, s.equations[0]);
      lines.push(
        overRows(w, `${name}[own_row / 4][own_row % 4] = ${expressionText(equation.value, scopeOf(w, equation))};`),
      );
    }
  }
  const { row, rowsWhole } = places(w);
  const exists = rowsWhole ? [] : [`${row} < ${kernel.row.extent}`];
  const stores = kernel.statements
    .filter((s) => s.stored && ['extreme', 'total', 'row'].includes(s.kind))
    .map(
      (s) =>
        `${emitter.writes(s.tensor, storeText(s, s.equations[0], new Map(), w))} = ${variables.get(s.tensor)}[own_row / 4][own_row % 4];`,
    );
  if (stores.length > 0) lines.push(overRows(w, guarded(['lane_x == 0', ...exists], stores.join('\n'))));
  for (const s of kernel.statements) if (s.kind === 'sum') lines.push(finishSum(s, exists, w));
  return lines.join('\n');
}
