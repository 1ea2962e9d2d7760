/**
 * Contractions `C[batch, m, n] = Σ_k A[batch, m, k] · B[batch, k, n]` of any axis order, ragged sizes, with a mask and an epilogue.
 *
 * The axes of the equation fall into four classes by where they stand: in A and the output (m), in B and the output (n), in
 * both and the output (batch), reduced (k). Axes that walk through memory together become one; what is left of a class is
 * numbered as a whole and taken apart where an operand is read. An operand is any expression of its axes, so that a mask, a
 * softmax weight `exp(S - L)` or a scale is read in place. Four forms:
 *
 *   tiled    a workgroup computes a `tileM × tileN` tile from two staged slabs in workgroup memory, each thread `rows × columns`
 *            of it in registers, the register tiling of SGEMM (sources in the README of this folder);
 *   direct   a thread computes `rows × columns` reading memory directly, with no barrier: the form of software devices;
 *   subgroup the same, where neighbouring threads share rows: each reads its part of them and broadcasts it to the others;
 *   lanes    the same with neighbouring threads at neighbouring batches: for many small products that lie interleaved in memory.
 *
 * A domain such as `u <= t` masks single elements where its axes meet, and cuts the k loop short, or empties it, for a whole tile.
 * The trap: a partly filled tile must read nothing out of bounds, so positions are clamped when reading and checked when storing.
 */
import { coefficientOf } from '../compiler/ir/affine.ts';
import { loads } from '../compiler/ir/expression.ts';
import type { Affine, Expression } from '../compiler/ir/program.ts';
import { type ContractionParts, contractionFunctions } from './contraction-functions.ts';
import { type ContractionShape, type ContractionSizes, contractionSizes } from './contraction-shape.ts';
import { type ContractionTuning, defaultContractionTuning, lanesWorkgroupSize } from './contraction-tuning.ts';
import type { ContractionKernel, KernelCode } from './kernel.ts';
import { contractionPoints, flatGrid } from './loop.ts';
import type { Emitter } from './scalar.ts';
import type { Target } from './target.ts';
import { indent, plus, wgsl } from './wgsl.ts';

export function emitContraction(
  kernel: ContractionKernel,
  s: ContractionShape,
  emitter: Emitter,
  target: Target,
  tuning: ContractionTuning = defaultContractionTuning(s, target),
): Omit<KernelCode, 'wgsl' | 'bindings'> & { body: string; enables: readonly string[] } {
  const sizes = contractionSizes(s);
  const [batch, m, n, k] = ['batch', 'm', 'n', 'k'].map((name) => emitter.fresh(name)) as [
    string,
    string,
    string,
    string,
  ];
  const writer = new ContractionWriter({ kernel, s, emitter, tuning, names: { batch, m, n, k } });
  if (tuning.form === 'lanes') {
    const [tilesM, tilesN] = [Math.ceil(sizes.m / tuning.tileM), Math.ceil(sizes.n / tuning.tileN)];
    const grid = flatGrid(sizes.batch * tilesM * tilesN, 'invocation', lanesWorkgroupSize, target);
    return {
      body: writer.writeLanes(sizes, tilesN, grid.header),
      workgroups: grid.workgroups,
      tuning: { ...tuning },
      enables: [],
      multiplyAdds: contractionPoints(kernel.equation),
    };
  }
  const { groupM, groupN } = { groupM: Math.ceil(sizes.m / tuning.tileM), groupN: Math.ceil(sizes.n / tuning.tileN) };
  const grid = contractionGrid(groupM * groupN, sizes.batch, target.limits.maxComputeWorkgroupsPerDimension);
  return {
    body: writer.write(sizes, groupN, grid),
    workgroups: grid.workgroups,
    tuning: { ...tuning },
    enables: tuning.form === 'subgroup' ? ['subgroups'] : [],
    multiplyAdds: contractionPoints(kernel.equation),
  };
}

/** How a workgroup finds its batch and its tile: WGSL of both, and lines that must come before. */
interface Grid {
  readonly workgroups: [number, number, number];
  readonly header: string;
  readonly batch: string;
  readonly tile: string;
}

/** Tiles along x and batches along z; where either is too many, both are one number over all three dimensions. */
function contractionGrid(tiles: number, batch: number, most: number): Grid {
  if (tiles <= most && batch <= most) {
    return {
      workgroups: [tiles, 1, batch],
      header: '',
      batch: batch === 1 ? '0' : 'i32(group.z)',
      tile: 'i32(group.x)',
    };
  }
  const count = tiles * batch;
  const x = Math.min(count, most);
  const y = Math.min(Math.ceil(count / x), most);
  const z = Math.ceil(count / (x * y));
  if (z > most) throw new Error(`a contraction of ${tiles} tiles and ${batch} batches is beyond the grid`);
  const row = z > 1 ? `(group.z * ${y}u + group.y)` : 'group.y';
  const beyond = x * y * z > count ? `if (work >= ${count}) { return; }` : '';
  return {
    workgroups: [x, y, z],
    header: [`let work = i32(${row} * ${x}u + group.x);`, beyond].filter(Boolean).join('\n'),
    batch: batch === 1 ? '0' : tiles === 1 ? 'work' : `work / ${tiles}`,
    tile: batch === 1 ? 'work' : tiles === 1 ? '0' : `work % ${tiles}`,
  };
}

/** What one invocation of a barrier-free form computes first. */
interface Block {
  readonly threads: number;
  readonly firstM: string;
  readonly firstN: string;
}

/** Writes one contraction; holds what its forms share. */
class ContractionWriter {
  private readonly s: ContractionShape;
  private readonly tuning: ContractionTuning;

  constructor(private readonly parts: ContractionParts) {
    this.s = parts.s;
    this.tuning = parts.tuning;
  }

  write(sizes: ContractionSizes, groupN: number, grid: Grid): string {
    const { tileM, tileN } = this.tuning;
    const tileRow = groupN === 1 ? grid.tile : `${grid.tile} / ${groupN}`;
    const range = this.loopRange(sizes);
    const head = wgsl`
      ${this.parts.emitter.head()}
      ${grid.header}
      let batch = ${grid.batch};
      let tile_m = ${sizes.m <= tileM ? '0' : `${tileRow} * ${tileM}`};
      let tile_n = ${groupN === 1 ? '0' : `${sizes.m <= tileM ? grid.tile : `${grid.tile} % ${groupN}`} * ${tileN}`};
      ${range}
    `;
    return [...contractionFunctions(this.parts), this.main(head, sizes)].join('\n\n');
  }

  private main(head: string, sizes: ContractionSizes): string {
    const { form } = this.tuning;
    switch (form) {
      case 'tiled':
        return this.tiled(head, sizes);
      case 'subgroup':
        return this.subgroup(head, sizes);
      case 'direct':
        return this.direct(head, sizes, this.directBlock());
      case 'lanes':
        throw new Error('the lanes form has a grid of its own');
      default:
        return form satisfies never;
    }
  }

  /** `k_from`, `k_to`: what of the k loop a tile needs, given constraints between k and m or n, and between m and n. */
  private loopRange(sizes: ContractionSizes): string {
    const { s, tuning } = this;
    let from = '0';
    let to = this.parts.emitter.bound(this.segment(sizes));
    const one = (axes: readonly number[]): number | undefined => (axes.length === 1 ? axes[0] : undefined);
    const sides = [
      { axis: one(s.m), start: 'tile_m', tile: tuning.tileM, size: sizes.m, constraints: s.onLeft },
      { axis: one(s.n), start: 'tile_n', tile: tuning.tileN, size: sizes.n, constraints: s.onRight },
    ];
    const k = s.limited ? s.k.at(-1) : one(s.k);
    const reach = (c: Affine, side: (typeof sides)[number], wantMax: boolean): string | undefined => {
      const coefficient = coefficientOf(c, side.axis!);
      const atEnd = coefficient > 0 === wantMax;
      const position = atEnd ? `min(${side.start} + ${side.tile - 1}, ${side.size - 1})` : side.start;
      if (coefficient === 0) return undefined;
      const size = Math.abs(coefficient);
      return `${coefficient < 0 ? '-' : ''}${size === 1 ? '' : `${size} * `}${position}`;
    };
    for (const side of sides) {
      for (const c of side.constraints) {
        if (c.kind !== 'nonnegative' || k === undefined || side.axis === undefined) continue;
        if (c.affine.terms.some((t) => t.axis !== k && t.axis !== side.axis)) continue;
        const coefficient = coefficientOf(c.affine, k);
        const far = reach(c.affine, side, true);
        if (far === undefined || Math.abs(coefficient) !== 1) continue;
        const bound = plus(far, c.affine.constant);
        if (coefficient === -1) to = `min(${to}, ${bound} + 1)`;
        else from = `max(${from}, -(${bound}))`;
      }
    }
    const [m, n] = [sides[0]!, sides[1]!];
    const [first, end] = this.segment(sizes) === sizes.k ? ['k_from', 'k_to'] : ['k_first', 'k_end'];
    const outside: string[] = [];
    for (const c of s.onOutput) {
      if (c.kind !== 'nonnegative' || m.axis === undefined || n.axis === undefined) continue;
      if (c.affine.terms.some((t) => t.axis !== m.axis && t.axis !== n.axis)) continue;
      const parts = [reach(c.affine, m, true), reach(c.affine, n, true)].filter((p) => p !== undefined);
      if (parts.length === 0) continue;
      const text = plus(parts.join(' + ').replace('+ -', '- '), c.affine.constant);
      outside.push(`if (${text} < 0) { ${end} = ${first}; } // the whole tile is outside the domain`);
    }
    const kind = outside.length === 0 ? 'let' : 'var';
    return [`let ${first} = ${from};`, `${kind} ${end} = ${to};`, ...outside].join('\n');
  }

  /** Length of the stretch of k over which the loop runs at once. */
  private segment(sizes: ContractionSizes): number {
    return this.s.limited ? this.s.equation.axes[this.s.k.at(-1)!]!.extent : sizes.k;
  }

  /** Puts the loop over the other k axes around the loop over a segment. */
  private overSegments(sizes: ContractionSizes, loop: string): string {
    const segment = this.segment(sizes);
    if (segment === sizes.k) return loop;
    return wgsl`
      for (var k_base = 0; k_base < ${sizes.k}; k_base += ${segment}) {
        let k_from = k_base + k_first;
        let k_to = k_base + k_end;
        ${loop}
      }
    `;
  }

  private accumulators(): string[] {
    const names: string[] = [];
    for (let i = 0; i < this.tuning.rows; i++)
      for (let j = 0; j < this.tuning.columns / 4; j++) names.push(`sum_${i}_${j}`);
    return names;
  }

  /** Hands every sum of the thread's block to `finish`; loops, so that a long epilogue is compiled once. */
  private finishCalls(sizes: ContractionSizes, position: { m: string; n: string }): string {
    const { rows, columns, tileM, tileN } = this.tuning;
    const quads = columns / 4;
    const checks = [
      sizes.m % tileM === 0 ? '' : `m < ${sizes.m}`,
      sizes.n % tileN === 0 ? '' : `n < ${sizes.n}`,
    ].filter(Boolean);
    const bound = (extent: number): string => this.parts.emitter.bound(extent);
    const call = `finish(batch, m, n, sums[${quads === 1 ? 'i' : `i * ${quads} + j / 4`}][j % 4]);`;
    return wgsl`
      var sums = array<vec4<f32>, ${rows * quads}>(${this.accumulators().join(', ')});
      for (var i = 0; i < ${bound(rows)}; i++) {
        for (var j = 0; j < ${bound(columns)}; j++) {
          let m = ${position.m};
          let n = ${position.n};
          ${checks.length === 0 ? call : `if (${checks.join(' && ')}) { ${call} }`}
        }
      }
    `;
  }

  /** The `lanes` form: neighbouring invocations take neighbouring batches of the same tile. */
  writeLanes(sizes: ContractionSizes, tilesN: number, gridHeader: string): string {
    const { tileM, tileN } = this.tuning;
    const range = this.loopRange(sizes);
    const head = wgsl`
      ${this.parts.emitter.head()}
      ${gridHeader}
      let batch = invocation % ${sizes.batch};
      let tile = invocation / ${sizes.batch};
      let tile_m = ${tilesN === 1 ? 'tile' : `tile / ${tilesN}`} * ${tileM};
      let tile_n = ${tilesN === 1 ? '0' : `tile % ${tilesN} * ${tileN}`};
      ${range}
    `;
    const block = { threads: lanesWorkgroupSize, firstM: 'tile_m', firstN: 'tile_n' };
    return [...contractionFunctions(this.parts), this.direct(head, sizes, block)].join('\n\n');
  }

  private directBlock(): Block {
    const { rows, columns, tileM, tileN } = this.tuning;
    const threadsN = tileN / columns;
    return {
      threads: (tileM / rows) * threadsN,
      firstM: `tile_m + i32(lane) / ${threadsN} * ${rows}`,
      firstN: `tile_n + i32(lane) % ${threadsN} * ${columns}`,
    };
  }

  private direct(head: string, sizes: ContractionSizes, { threads, firstM, firstN }: Block): string {
    const { rows, columns, tileM, tileN } = this.tuning;
    const clampM = (i: number): string =>
      sizes.m % tileM === 0 ? plus('first_m', i) : `min(${plus('first_m', i)}, ${sizes.m - 1})`;
    const body: string[] = [];
    for (let j = 0; j < columns / 4; j++) body.push(`let b_${j} = right_quad(batch, ${plus('first_n', j * 4)}, k);`);
    for (let i = 0; i < rows; i++) {
      body.push(`let a_${i} = left_operand(batch, ${clampM(i)}, k);`);
      for (let j = 0; j < columns / 4; j++) body.push(`sum_${i}_${j} += a_${i} * b_${j};`);
    }
    const outside = [
      sizes.m % tileM === 0 ? '' : `first_m >= ${sizes.m}`,
      sizes.n % tileN === 0 ? '' : `first_n >= ${sizes.n}`,
    ].filter(Boolean);
    return wgsl`
      @compute @workgroup_size(${threads})
      fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        ${head}
        let first_m = ${firstM};
        let first_n = ${firstN};
        ${outside.length === 0 ? '' : `if (${outside.join(' || ')}) { return; }`}
        ${this.accumulators()
          .map((name) => `var ${name} = vec4<f32>();`)
          .join('\n')}
        ${this.overSegments(sizes, `for (var k = k_from; k < k_to; k++) {\n${indent(body.join('\n'))}\n}`)}
        ${this.finishCalls(sizes, { m: 'first_m + i', n: 'first_n + j' })}
      }
    `;
  }

  /** One subgroup a tile: lane l reads rows l, l + lanes, … of the left operand, and columns l, l + lanes, … of the right. */
  private subgroup(head: string, sizes: ContractionSizes): string {
    const { rows, columns, tileM, tileN } = this.tuning;
    const lanes = tileN / columns;
    const clampM = (i: number): string =>
      sizes.m % tileM === 0 ? plus('lane_m', i) : `min(${plus('lane_m', i)}, ${sizes.m - 1})`;
    const body: string[] = [];
    for (let j = 0; j < columns / 4; j++)
      body.push(`let b_${j} = right_quad(batch, ${plus('lane_n', j * 4 * lanes)}, k);`);
    for (let i = 0; i < rows; i += lanes) {
      body.push(`let a_${i} = left_operand(batch, ${clampM(i)}, k);`);
      for (let l = 0; l < lanes; l++) {
        body.push(`let a_${i}_${l} = subgroupBroadcast(a_${i}, ${l}u);`);
        for (let j = 0; j < columns / 4; j++) body.push(`sum_${i + l}_${j} += a_${i}_${l} * b_${j};`);
      }
    }
    return wgsl`
      @compute @workgroup_size(${lanes})
      fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        ${head}
        let lane_m = tile_m + i32(lane);
        let lane_n = tile_n + i32(lane);
        ${this.accumulators()
          .map((name) => `var ${name} = vec4<f32>();`)
          .join('\n')}
        ${this.overSegments(sizes, `for (var k = k_from; k < k_to; k++) {\n${indent(body.join('\n'))}\n}`)}
        ${this.finishCalls(sizes, { m: 'tile_m + i', n: `lane_n + j * ${lanes}` })}
      }
    `;
  }

  /**
   * A thread's block is `rows / 4 × columns / 4` little blocks of 4×4, spread over the tile so that the lanes of a row of
   * threads touch neighbouring quads, in workgroup memory and in the output.
   */
  private tiled(head: string, sizes: ContractionSizes): string {
    const { rows, columns, tileM, tileN, tileK } = this.tuning;
    const threadsN = tileN / columns;
    const threadsM = tileM / rows;
    const threads = threadsM * threadsN;
    const slab = (tile: number): number => tileK * (tile / 4 + 1);
    const body: string[] = [];
    for (let i = 0; i < rows / 4; i++)
      body.push(`let a_${i} = slab_a[k_in * ${tileM / 4 + 1} + ${plus('lane_m', i * threadsM)}];`);
    for (let j = 0; j < columns / 4; j++)
      body.push(`let b_${j} = slab_b[k_in * ${tileN / 4 + 1} + ${plus('lane_n', j * threadsN)}];`);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns / 4; j++) body.push(`sum_${i}_${j} += a_${i >> 2}.${'xyzw'[i % 4]} * b_${j};`);
    }
    const a = this.staging('a', 'left_quad', 'tile_m', tileM, threads, this.s.left, this.s.m);
    const b = this.staging('b', 'right_quad', 'tile_n', tileN, threads, this.s.right, this.s.n);
    const loop = wgsl`
        var k0 = k_from;
        ${a.fetch}
        ${b.fetch}
        while (k0 < k_to) {
          ${a.store}
          ${b.store}
          workgroupBarrier();
          k0 += ${tileK};
          if (k0 < k_to) {
            ${a.fetch}
            ${b.fetch}
          }
          for (var k_in = 0; k_in < ${tileK}; k_in++) {
            ${body.join('\n')}
          }
          workgroupBarrier();
        }
    `;
    return wgsl`
      // [k][m / 4] and [k][n / 4], rows padded by one against bank conflicts
      var<workgroup> slab_a: array<vec4<f32>, ${slab(tileM)}>;
      var<workgroup> slab_b: array<vec4<f32>, ${slab(tileN)}>;

      @compute @workgroup_size(${threads})
      fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
        ${head}
        let lane_m = i32(lane) / ${threadsN};
        let lane_n = i32(lane) % ${threadsN};
        ${this.accumulators()
          .map((name) => `var ${name} = vec4<f32>();`)
          .join('\n')}
        ${[...a.registers, ...b.registers].join('\n')}
        ${this.overSegments(sizes, loop)}
        ${this.finishCalls(sizes, {
          m: `tile_m + (i / 4 * ${threadsM} + lane_m) * 4 + i % 4`,
          n: `tile_n + (j / 4 * ${threadsN} + lane_n) * 4 + j % 4`,
        })}
      }
    `;
  }

  /**
   * How a slab gets from memory to workgroup memory, in quads of four along m (or n) at one k, by way of registers.
   * Lanes follow whichever of k and m memory is contiguous in.
   */
  private staging(
    slab: string,
    fn: string,
    start: string,
    tile: number,
    threads: number,
    operand: Expression,
    own: readonly number[],
  ): { registers: string[]; fetch: string; store: string } {
    const { tileK } = this.tuning;
    const quads = (tile / 4) * tileK;
    const registers: string[] = [];
    const fetch: string[] = [];
    const store: string[] = [];
    for (let first = 0; first < quads; first += threads) {
      const name = `next_${slab}_${first / threads}`;
      const index = first === 0 ? 'i32(lane)' : `(i32(lane) + ${first})`;
      const [quad, k] = this.isContiguous(operand, own)
        ? [`${index} % ${tile / 4}`, `${index} / ${tile / 4}`]
        : [`${index} / ${tileK}`, `${index} % ${tileK}`];
      const partial = quads - first < threads ? `${index} < ${quads}` : '';
      const inside = [partial, this.kIsExact() ? '' : 'k < k_to'].filter(Boolean).join(' && ');
      registers.push(`var ${name} = vec4<f32>();`);
      const load = (k: string): string => `${name} = ${fn}(batch, ${start} + ${quad} * 4, ${k});`;
      if (inside === '') fetch.push(load(`k0 + ${k}`));
      else {
        fetch.push(wgsl`
          {
            let k = k0 + ${k};
            if (${inside}) { ${load('k')} } else { ${name} = vec4<f32>(); }
          }
        `);
      }
      const put = `slab_${slab}[${k.includes('/') || k.includes('%') ? `(${k})` : k} * ${tile / 4 + 1} + ${quad}] = ${name};`;
      store.push(partial === '' ? put : `if (${partial}) { ${put} }`);
    }
    return { registers, fetch: fetch.join('\n'), store: store.join('\n') };
  }

  /** Every step of the k loop is a whole `tileK`. */
  private kIsExact(): boolean {
    const limited = [...this.s.onLeft, ...this.s.onRight].some((c) => c.kind === 'nonnegative');
    return !limited && contractionSizes(this.s).k % this.tuning.tileK === 0;
  }

  /** Whether the operand's first load is contiguous along its own axis rather than along k. */
  private isContiguous(operand: Expression, own: readonly number[]): boolean {
    const first = loads(operand).find((l) => l.indices.length > 0);
    const flat = first?.indices[0];
    if (flat?.kind !== 'affine') return true;
    const least = (axes: readonly number[]): number =>
      Math.min(
        Number.POSITIVE_INFINITY,
        ...axes.map((axis) => Math.abs(coefficientOf(flat, axis)) || Number.POSITIVE_INFINITY),
      );
    return least(own) <= least(this.s.k);
  }
}
