/**
 * Contractions `C[batch, m, n] = Σ_k A[batch, m, k] · B[batch, k, n]` of any axis order, ragged sizes, with a mask and an epilogue.
 *
 * The axes of the equation fall into four classes by where they stand: in A and the output (m), in B and the output (n), in
 * both and the output (batch), reduced (k). Axes that walk through memory together become one; what is left of a class is
 * numbered as a whole and taken apart where an operand is read. An operand is any expression of its axes, so that a mask, a
 * softmax weight `exp(S - L)` or a scale is read in place. Three forms:
 *
 *   tiled    a workgroup computes a `tileM × tileN` tile from two staged slabs in workgroup memory, each thread `rows × columns`
 *            of it in registers, the register tiling of SGEMM (sources in the README of this folder);
 *   direct   a thread computes `rows × columns` reading memory directly, with no barrier: the form of software devices;
 *   lanes    the same with neighbouring threads at neighbouring batches: for many small products that lie interleaved in memory.
 *
 * A domain such as `u <= t` masks single elements where its axes meet, and cuts the k loop short, or empties it, for a whole tile.
 * The trap: a partly filled tile must read nothing out of bounds, so positions are clamped when reading and checked when storing.
 */
import { coefficientOf, decide, equalAffine, range } from '../compiler/ir/affine.ts';
import { reducedAxes, storeAxes } from '../compiler/ir/equation.ts';
import { affinesOfIndex, axesOf, constant, loads, product } from '../compiler/ir/expression.ts';
import type { Affine, Constraint, Equation, Expression } from '../compiler/ir/program.ts';
import { elementCount } from '../compiler/ir/program.ts';
import type { ContractionKernel, KernelCode, Layouts } from './kernel.ts';
import { flatIndex, flattenLoads, mergeAll } from './linear.ts';
import { contractionPoints, flatGrid } from './loop.ts';
import { type Emitter, type Scope, strides } from './scalar.ts';
import type { Target } from './target.ts';
import { indent, wgsl } from './wgsl.ts';

export interface ContractionTuning {
  readonly form: 'tiled' | 'direct' | 'lanes';
  readonly tileM: number;
  readonly tileN: number;
  readonly tileK: number;
  /** Outputs of one thread: `rows × columns`; columns is a multiple of 4. */
  readonly rows: number;
  readonly columns: number;
}

/** The equation taken apart. Axis lists are in order, outermost first; extents of 1 are left out. */
export interface ContractionShape {
  readonly equation: Equation;
  readonly left: Expression;
  readonly right: Expression;
  /** Factors without reduced axes, constants included. */
  readonly scale: Expression;
  readonly batch: readonly number[];
  readonly m: readonly number[];
  readonly n: readonly number[];
  readonly k: readonly number[];
  /** A constraint cuts the range of the last k axis short: the k loop then runs once for each value of the others. */
  readonly limited: boolean;
  readonly onLeft: readonly Constraint[];
  readonly onRight: readonly Constraint[];
  readonly onOutput: readonly Constraint[];
}

/** Takes an equation apart, or says by undefined that it is not a contraction of two operands. */
export function contractionShape(
  equation: Equation,
  layouts: Layouts,
  shapeOfTensor: readonly number[],
): ContractionShape | undefined {
  if (equation.reducer !== 'sum' || equation.value.kind !== 'product') return undefined;
  const flatStore = flatIndex(shapeOfTensor, equation.store);
  if (!flatStore || !isInjective(equation) || !staysInside(equation, shapeOfTensor)) return undefined;
  const flat: Equation = { ...flattenLoads(equation, layouts), store: [flatStore] };
  if (loads(flat.value).some((l) => l.indices.some((i) => i.kind === 'gather'))) return undefined;
  const reduced = new Set(reducedAxes(flat).filter((axis) => flat.axes[axis]!.extent > 1));
  if (reduced.size === 0) return undefined;
  const factors = (flat.value as { factors: readonly Expression[] }).factors;
  const operands = factors.filter((f) => axesOf(f).some((axis) => reduced.has(axis)));
  const scale = product(factors.filter((f) => !operands.includes(f)));
  if (operands.length !== 2) return undefined;
  const inLeft = new Set(axesOf(operands[0]!));
  const inRight = new Set(axesOf(operands[1]!));
  const classes = classify(flat, inLeft, inRight, reduced);
  const candidate = orient({ equation: flat, left: operands[0]!, right: operands[1]!, scale, ...classes });
  return placeConstraints(mergeClasses(candidate));
}

/** Every point of the box has its element, those outside the domain too: they store 0. */
function staysInside(equation: Equation, shape: readonly number[]): boolean {
  return equation.store.every((index, d) => {
    if (index.kind !== 'affine') return false;
    const { min, max } = range(index, equation.axes);
    return min >= 0 && max < shape[d]!;
  });
}

/** The store map numbers its points as digits: no two points meet. */
function isInjective(equation: Equation): boolean {
  const seen = new Set<number>();
  for (const index of equation.store) {
    if (index.kind !== 'affine') return false;
    const terms = [...index.terms]
      .filter((t) => equation.axes[t.axis]!.extent > 1)
      .sort((a, b) => b.coefficient - a.coefficient);
    for (const [i, term] of terms.entries()) {
      const next = terms[i + 1];
      if (term.coefficient <= 0 || (next && equation.axes[next.axis]!.extent * next.coefficient > term.coefficient))
        return false;
      seen.add(term.axis);
    }
  }
  return storeAxes(equation).every((axis) => seen.has(axis) || equation.axes[axis]!.extent === 1);
}

type Classes = Pick<ContractionShape, 'batch' | 'm' | 'n' | 'k'>;

function classify(
  equation: Equation,
  inLeft: ReadonlySet<number>,
  inRight: ReadonlySet<number>,
  reduced: ReadonlySet<number>,
): Classes {
  const classes = { batch: [] as number[], m: [] as number[], n: [] as number[], k: [] as number[] };
  const stride = (axis: number): number => coefficientOf(equation.store[0] as Affine, axis);
  const stored = storeAxes(equation).filter((axis) => equation.axes[axis]!.extent > 1);
  for (const axis of [...stored].sort((a, b) => stride(b) - stride(a))) {
    const [l, r] = [inLeft.has(axis), inRight.has(axis)];
    classes[l === r ? 'batch' : l ? 'm' : 'n'].push(axis);
  }
  classes.k.push(...reduced);
  return classes;
}

type Unplaced = Omit<ContractionShape, 'limited' | 'onLeft' | 'onRight' | 'onOutput'>;

/** The operand whose own axes reach the output's fastest one is the right one, so that stores are contiguous in n. */
function orient(s: Unplaced): Unplaced {
  const stride = (axes: readonly number[]): number =>
    Math.min(Number.POSITIVE_INFINITY, ...axes.map((axis) => coefficientOf(s.equation.store[0] as Affine, axis)));
  if (stride(s.n) <= stride(s.m)) return s;
  return { ...s, left: s.right, right: s.left, m: s.n, n: s.m };
}

function mergeClasses(s: Unplaced): Unplaced {
  let { equation } = s;
  const merge = (axes: readonly number[]): readonly number[] => {
    const result = mergeAll(equation, axes, (e) => e.store.flatMap(affinesOfIndex));
    equation = result.equation;
    return result.left;
  };
  const [m, n, k, batch] = [merge(s.m), merge(s.n), merge(s.k), merge(s.batch)];
  const factors = (equation.value as { factors: readonly Expression[] }).factors;
  const reduced = new Set(k);
  const operands = factors.filter((f) => axesOf(f).some((axis) => reduced.has(axis)));
  const ofN = new Set(n);
  const rightFirst =
    operands.length === 2 &&
    (n.length > 0
      ? axesOf(operands[0]!).some((a) => ofN.has(a))
      : s.m.length > 0 && !axesOf(operands[0]!).some((a) => m.includes(a)));
  const [left, right] = rightFirst ? [operands[1]!, operands[0]!] : [operands[0]!, operands[1]!];
  const scale = product([constant(1), ...factors.filter((f) => !operands.includes(f))]);
  return { equation, left, right, scale, batch, m, n, k };
}

function placeConstraints(s: Unplaced): ContractionShape | undefined {
  const [onLeft, onRight, onOutput]: Constraint[][] = [[], [], []];
  const within = (c: Constraint, ...lists: readonly (readonly number[])[]): boolean =>
    c.affine.terms.every((t) => s.equation.axes[t.axis]!.extent === 1 || lists.some((list) => list.includes(t.axis)));
  for (const c of s.equation.domain) {
    const verdict = decide(c, s.equation.axes);
    if (verdict === 'always') continue;
    if (within(c, s.batch, s.m, s.n)) onOutput!.push(c);
    else if (within(c, s.batch, s.m, s.k)) onLeft!.push(c);
    else if (within(c, s.batch, s.n, s.k)) onRight!.push(c);
    else return undefined;
  }
  const inner = limitedAxis({ ...s, constraints: [...onLeft!, ...onRight!] });
  const k = inner === undefined ? s.k : [...s.k.filter((axis) => axis !== inner), inner];
  return { ...s, k, limited: inner !== undefined, onLeft: onLeft!, onRight: onRight!, onOutput: onOutput! };
}

/** The reduced axis whose range a constraint with the one axis of m or n cuts short for a whole tile. */
function limitedAxis(
  s: Pick<ContractionShape, 'm' | 'n' | 'k'> & { constraints: readonly Constraint[] },
): number | undefined {
  for (const c of s.constraints) {
    const inner = c.affine.terms.filter((t) => s.k.includes(t.axis));
    const other = c.affine.terms.filter((t) => !s.k.includes(t.axis));
    const single = other.length === 1 && [s.m, s.n].some((axes) => axes.length === 1 && axes[0] === other[0]!.axis);
    if (c.kind === 'nonnegative' && inner.length === 1 && Math.abs(inner[0]!.coefficient) === 1 && single)
      return inner[0]!.axis;
  }
  return undefined;
}

const extentOf = (s: ContractionShape, axes: readonly number[]): number =>
  elementCount(axes.map((axis) => s.equation.axes[axis]!.extent));

export function contractionSizes(s: ContractionShape): { batch: number; m: number; n: number; k: number } {
  return { batch: extentOf(s, s.batch), m: extentOf(s, s.m), n: extentOf(s, s.n), k: extentOf(s, s.k) };
}

/**
 * Tiles by size, measured on an H100 (test/bench/records/2026-11-24-kernels.jsonl): 32-37 TFLOP/s at n = 4096, 27-32 at
 * 16384 rows of 256. The first that fills its tile at least half and gives the chip at least a wave of workgroups (132
 * multiprocessors).
 * Two slabs in turn, with one barrier a step, were 10-25 % slower than one: the registers cost more than the barrier.
 */
const tiledForms: readonly ContractionTuning[] = [
  { form: 'tiled', tileM: 128, tileN: 64, tileK: 16, rows: 8, columns: 4 },
  { form: 'tiled', tileM: 64, tileN: 64, tileK: 16, rows: 8, columns: 4 },
  { form: 'tiled', tileM: 128, tileN: 32, tileK: 16, rows: 8, columns: 4 },
  { form: 'tiled', tileM: 32, tileN: 128, tileK: 16, rows: 4, columns: 8 },
  { form: 'tiled', tileM: 128, tileN: 16, tileK: 16, rows: 4, columns: 4 },
  { form: 'tiled', tileM: 16, tileN: 128, tileK: 16, rows: 4, columns: 4 },
  { form: 'tiled', tileM: 32, tileN: 32, tileK: 16, rows: 4, columns: 4 },
];
/** Of 4×4, 8×4, 4×8 and 8×8, 8×4 was fastest on SwiftShader (1.1 GFLOP/s, 4×4: 0.6) and second on lavapipe (2.4, 4×4: 2.8). */
const directBlock = { rows: 8, columns: 4 };
/** A direct workgroup covers at most so much of m and n; less where they are smaller, so that no lane idles. */
const directTile = 32;

function directForm(m: number, n: number): ContractionTuning {
  const rows = m <= 4 ? 4 : directBlock.rows;
  const { columns } = directBlock;
  const covering = (size: number, block: number): number => Math.min(directTile, Math.ceil(size / block) * block);
  return { form: 'direct', tileM: covering(m, rows), tileN: covering(n, columns), tileK: 1, rows, columns };
}
const wave = 132;

/** Fewer rows or columns than this waste most of a tile. */
const leastTiled = 16;
/** So many batches side by side fill a subgroup. */
const leastLanes = 32;
const lanesWorkgroupSize = 64;

/** Threads of the `lanes` form, each `directBlock` large. */
export function laneThreads(s: ContractionShape): number {
  const { batch, m, n } = contractionSizes(s);
  const { rows, columns } = lanesForm(m, n);
  return batch * Math.ceil(m / rows) * Math.ceil(n / columns);
}

function lanesForm(m: number, n: number): ContractionTuning {
  const [rows, columns] = [m <= 4 ? 4 : 8, n <= 4 ? 4 : 8];
  return { form: 'lanes', tileM: rows, tileN: columns, tileK: 1, rows, columns };
}

/** Small products whose last batch axis is the contiguous one of both operands or of the output and one of them. */
export function isInterleaved(s: ContractionShape): boolean {
  const { batch, m, n } = contractionSizes(s);
  const last = s.batch.at(-1);
  if (last === undefined || batch < leastLanes || Math.min(m, n) >= leastTiled) return false;
  const flats = [s.left, s.right].flatMap((e) => loads(e).flatMap((l) => l.indices)).concat(s.equation.store);
  const contiguous = flats.filter((index) => index.kind === 'affine' && coefficientOf(index, last) === 1);
  return contiguous.length >= 2;
}

function slabBytes(t: ContractionTuning): number {
  return 16 * t.tileK * (t.tileM / 4 + 1 + t.tileN / 4 + 1);
}

export function defaultContractionTuning(s: ContractionShape, target: Target): ContractionTuning {
  const { batch, m, n } = contractionSizes(s);
  if (target.class === 'cpu') return directForm(m, n);
  if (isInterleaved(s)) return lanesForm(m, n);
  const fits = (t: ContractionTuning): boolean =>
    (t.tileM / t.rows) * (t.tileN / t.columns) <= target.limits.maxComputeInvocationsPerWorkgroup &&
    slabBytes(t) <= target.limits.maxComputeWorkgroupStorageSize;
  const padded = (t: ContractionTuning): number => Math.ceil(m / t.tileM) * t.tileM * Math.ceil(n / t.tileN) * t.tileN;
  const groups = (t: ContractionTuning): number => Math.ceil(m / t.tileM) * Math.ceil(n / t.tileN) * batch;
  const good = tiledForms.filter((t) => fits(t) && m * n * 2 >= padded(t));
  const busy = good.find((t) => groups(t) >= wave);
  return busy ?? good.at(-1) ?? tiledForms.filter(fits).reduce((a, b) => (padded(b) < padded(a) ? b : a));
}

/** Whether register tiles pay: enough rows and columns to share what is read. */
export function worthTiling(s: ContractionShape): boolean {
  const { m, n, k } = contractionSizes(s);
  return m >= 4 && n >= 4 && m * n >= 64 && k >= 4;
}

export function emitContraction(
  kernel: ContractionKernel,
  s: ContractionShape,
  emitter: Emitter,
  target: Target,
  tuning: ContractionTuning = defaultContractionTuning(s, target),
): Omit<KernelCode, 'wgsl' | 'bindings'> & { body: string } {
  const sizes = contractionSizes(s);
  const writer = new ContractionWriter(kernel, s, emitter, tuning);
  if (tuning.form === 'lanes') {
    const [tilesM, tilesN] = [Math.ceil(sizes.m / tuning.tileM), Math.ceil(sizes.n / tuning.tileN)];
    const grid = flatGrid(sizes.batch * tilesM * tilesN, 'invocation', lanesWorkgroupSize, target);
    return {
      body: writer.writeLanes(sizes, tilesN, grid.header),
      workgroups: grid.workgroups,
      tuning: { ...tuning },
      multiplyAdds: contractionPoints(kernel.equation),
    };
  }
  const { groupM, groupN } = { groupM: Math.ceil(sizes.m / tuning.tileM), groupN: Math.ceil(sizes.n / tuning.tileN) };
  const grid = contractionGrid(groupM * groupN, sizes.batch, target.limits.maxComputeWorkgroupsPerDimension);
  return {
    body: writer.write(sizes, groupN, grid),
    workgroups: grid.workgroups,
    tuning: { ...tuning },
    multiplyAdds: contractionPoints(kernel.equation),
  };
}

type Sizes = ReturnType<typeof contractionSizes>;

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
  private readonly names: { batch: string; m: string; n: string; k: string };

  constructor(
    private readonly kernel: ContractionKernel,
    private readonly s: ContractionShape,
    private readonly emitter: Emitter,
    private readonly tuning: ContractionTuning,
  ) {
    this.names = { batch: emitter.fresh('batch'), m: emitter.fresh('m'), n: emitter.fresh('n'), k: emitter.fresh('k') };
  }

  write(sizes: Sizes, groupN: number, grid: Grid): string {
    const { tileM, tileN } = this.tuning;
    const tileRow = groupN === 1 ? grid.tile : `${grid.tile} / ${groupN}`;
    const head = wgsl`
      ${grid.header}
      let batch = ${grid.batch};
      let tile_m = ${sizes.m <= tileM ? '0' : `${tileRow} * ${tileM}`};
      let tile_n = ${groupN === 1 ? '0' : `${sizes.m <= tileM ? grid.tile : `${grid.tile} % ${groupN}`} * ${tileN}`};
      ${this.loopRange(sizes)}
    `;
    const main = this.tuning.form === 'tiled' ? this.tiled(head, sizes) : this.direct(head, sizes, this.directBlock());
    return [...this.functions(), main].join('\n\n');
  }

  private functions(): string[] {
    const { s, names, tuning } = this;
    const { m, n } = contractionSizes(s);
    return [
      this.operandFunction('left', s.left, s.onLeft, s.m, names.m),
      ...(tuning.form === 'tiled' ? [this.quadFunction('left', m, tuning.tileM)] : []),
      this.operandFunction('right', s.right, s.onRight, s.n, names.n),
      this.quadFunction('right', n, tuning.tileN),
      this.finishFunction(),
    ];
  }

  /** `fn left_quad(batch, p, k)`: four neighbours along m, kept inside the operand. */
  private quadFunction(name: string, size: number, tile: number): string {
    const at = (c: number): string => (size % tile === 0 ? plus('p', c) : `min(${plus('p', c)}, ${size - 1})`);
    const values = [0, 1, 2, 3].map((c) => `${name}_operand(batch, ${at(c)}, k)`);
    return wgsl`
      fn ${name}_quad(batch: i32, p: i32, k: i32) -> vec4<f32> {
        return vec4<f32>(
          ${values.join(',\n')});
      }
    `;
  }

  /** Names for a class's axes out of the class's one number. */
  private decode(axes: readonly number[], whole: string, lines: string[], names: Map<number, string>): void {
    const extents = axes.map((axis) => this.s.equation.axes[axis]!.extent);
    const stride = strides(extents);
    axes.forEach((axis, d) => {
      if (axes.length === 1) {
        names.set(axis, whole);
        return;
      }
      const name = this.emitter.fresh(this.s.equation.axes[axis]!.name);
      const quotient = stride[d] === 1 ? whole : `${whole} / ${stride[d]}`;
      lines.push(`let ${name} = ${d === 0 ? quotient : `${quotient} % ${extents[d]}`};`);
      names.set(axis, name);
    });
  }

  private scope(names: ReadonlyMap<number, string>, unguarded = false): Scope {
    const { axes } = this.s.equation;
    return {
      axis: (axis) => (axes[axis]!.extent === 1 ? '0' : (names.get(axis) ?? outOfScope(axes[axis]!.name))),
      axes,
      unguarded,
    };
  }

  /** `fn left(batch, m, k)`: the operand's value, 0 outside its domain. */
  private operandFunction(
    name: string,
    operand: Expression,
    constraints: readonly Constraint[],
    own: readonly number[],
    ownName: string,
  ): string {
    const lines: string[] = [];
    const names = new Map<number, string>();
    this.decode(this.s.batch, this.names.batch, lines, names);
    this.decode(own, ownName, lines, names);
    this.decode(this.s.k, this.names.k, lines, names);
    const used = lines.filter((line) => this.isUsed(line, operand, constraints, names));
    const { onLeft, onRight, onOutput } = this.s;
    const scope = this.scope(names, onLeft.length + onRight.length + onOutput.length > constraints.length);
    const value = this.emitter.expression(operand, scope);
    const body =
      constraints.length === 0
        ? `return ${value};`
        : `if (${constraints.map((c) => this.emitter.constraint(c, scope)).join(' && ')}) { return ${value}; }\nreturn 0.0;`;
    return wgsl`
      fn ${name}_operand(${this.names.batch}: i32, ${ownName}: i32, ${this.names.k}: i32) -> f32 {
        ${used.join('\n')}
        ${body}
      }
    `;
  }

  private isUsed(
    line: string,
    operand: Expression,
    constraints: readonly Constraint[],
    names: ReadonlyMap<number, string>,
  ): boolean {
    const axes = new Set([...axesOf(operand), ...constraints.flatMap((c) => c.affine.terms.map((t) => t.axis))]);
    return [...names].some(([axis, name]) => axes.has(axis) && line.startsWith(`let ${name} =`));
  }

  /** `fn finish(batch, m, n, sum)`: scale, mask, addends, store, epilogue. */
  private finishFunction(): string {
    const { kernel, s, emitter } = this;
    const lines: string[] = [];
    const names = new Map<number, string>();
    this.decode(s.batch, this.names.batch, lines, names);
    this.decode(s.m, this.names.m, lines, names);
    this.decode(s.n, this.names.n, lines, names);
    const scope = this.scope(names);
    const [sum, element] = [emitter.fresh('sum'), emitter.fresh('element')];
    lines.push(`let ${element} = ${emitter.affine(s.equation.store[0] as Affine, scope)};`);
    const value = emitter.value(kernel.tensor, kernel.stored);
    const isPlain = s.scale.kind === 'constant' && s.scale.value === 1;
    const scaled = isPlain ? sum : emitter.multiplied(sum, s.scale, scope);
    const mask = s.onOutput.map((c) => emitter.constraint(c, scope)).join(' && ');
    const isFinal = kernel.addends.length === 0 && !kernel.accumulate;
    if (mask === '') lines.push(`${isFinal ? 'let' : 'var'} ${value} = ${scaled};`);
    else lines.push(`var ${value} = 0.0;`, `if (${mask}) { ${value} = ${scaled}; }`);
    const place = { element, coordinates: new Map<number, string>(), lines };
    for (const addend of kernel.addends) this.pointwise(addend, place, new Map(), (text) => `${value} += ${text};`);
    if (kernel.accumulate) lines.push(`${value} += ${emitter.element(kernel.tensor, element)};`);
    if (kernel.stored) lines.push(`${emitter.writes(kernel.tensor)}[${element}] = ${value};`);
    const held = new Map([[kernel.tensor, value]]);
    for (const statement of kernel.epilogue) {
      const name = emitter.value(statement.tensor, statement.stored);
      const [first, ...others] = statement.equations;
      if (first && others.length === 0 && this.guards(first).length === 0)
        this.pointwise(first, place, held, (text) => `let ${name} = ${text};`);
      else {
        lines.push(`var ${name} = 0.0;`);
        for (const e of statement.equations) this.pointwise(e, place, held, (text) => `${name} += ${text};`);
      }
      held.set(statement.tensor, name);
      if (statement.stored) lines.push(`${emitter.writes(statement.tensor)}[${element}] = ${name};`);
    }
    return wgsl`
      fn finish(${this.names.batch}: i32, ${this.names.m}: i32, ${this.names.n}: i32, ${sum}: f32) {
        ${lines.join('\n')}
      }
    `;
  }

  private guards(equation: Equation): readonly Constraint[] {
    return equation.domain.filter((c) => decide(c, equation.axes) !== 'always');
  }

  /**
   * Writes a pointwise equation of a tensor of the output's shape: its axes are the output's indices. `kernel.equation` is the
   * one before axes were merged, so an index is taken out of the flat offset, once, where something asks for it.
   */
  private pointwise(
    equation: Equation,
    place: { readonly element: string; readonly coordinates: Map<number, string>; readonly lines: string[] },
    held: ReadonlyMap<string, string>,
    assign: (text: string) => string,
  ): void {
    const { emitter } = this;
    const { shape } = emitter.layout(this.kernel.tensor);
    const identity = flatIndex(shape, equation.store)!;
    const stride = strides(shape);
    const axis = (wanted: number): string => {
      const d = equation.store.findIndex((index) => (index as Affine).terms[0]?.axis === wanted);
      if (d < 0 || shape[d] === 1) return '0';
      const known = place.coordinates.get(d);
      if (known !== undefined) return known;
      const name = emitter.fresh(equation.axes[wanted]!.name);
      const quotient = stride[d] === 1 ? place.element : `${place.element} / ${stride[d]}`;
      const isOutermost = shape.slice(0, d).every((extent) => extent === 1);
      place.lines.push(`let ${name} = ${isOutermost ? quotient : `${quotient} % ${shape[d]}`};`);
      place.coordinates.set(d, name);
      return name;
    };
    const scope: Scope = {
      axis,
      axes: equation.axes,
      held: (l) => {
        const flat = flatIndex(emitter.layout(l.tensor).shape, l.indices);
        const isSame = flat !== undefined && equalAffine(flat, identity);
        return held.get(l.tensor) ?? (isSame ? emitter.element(l.tensor, place.element) : undefined);
      },
    };
    const guards = this.guards(equation).map((c) => emitter.constraint(c, scope));
    const text = assign(emitter.expression(flattenLoads(equation, (t) => emitter.layout(t)).value, scope));
    place.lines.push(guards.length === 0 ? text : `if (${guards.join(' && ')}) { ${text} }`);
  }

  /** `k_from`, `k_to`: what of the k loop a tile needs, given constraints between k and m or n, and between m and n. */
  private loopRange(sizes: Sizes): string {
    const { s, tuning } = this;
    let from = '0';
    let to = String(this.segment(sizes));
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
        const bound = `${far}${offsetText(c.affine.constant)}`;
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
      const text = `${parts.join(' + ').replace('+ -', '- ')}${offsetText(c.affine.constant)}`;
      outside.push(`if (${text} < 0) { ${end} = ${first}; } // the whole tile is outside the domain`);
    }
    const kind = outside.length === 0 ? 'let' : 'var';
    return [`let ${first} = ${from};`, `${kind} ${end} = ${to};`, ...outside].join('\n');
  }

  /** Length of the stretch of k over which the loop runs at once. */
  private segment(sizes: Sizes): number {
    return this.s.limited ? this.s.equation.axes[this.s.k.at(-1)!]!.extent : sizes.k;
  }

  /** Puts the loop over the other k axes around the loop over a segment. */
  private overSegments(sizes: Sizes, loop: string): string {
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
  private finishCalls(sizes: Sizes, position: { m: string; n: string }): string {
    const { rows, columns, tileM, tileN } = this.tuning;
    const quads = columns / 4;
    const checks = [
      sizes.m % tileM === 0 ? '' : `m < ${sizes.m}`,
      sizes.n % tileN === 0 ? '' : `n < ${sizes.n}`,
    ].filter(Boolean);
    const call = `finish(batch, m, n, sums[${quads === 1 ? 'i' : `i * ${quads} + j / 4`}][j % 4]);`;
    return wgsl`
      var sums = array<vec4<f32>, ${rows * quads}>(${this.accumulators().join(', ')});
      for (var i = 0; i < ${rows}; i++) {
        for (var j = 0; j < ${columns}; j++) {
          let m = ${position.m};
          let n = ${position.n};
          ${checks.length === 0 ? call : `if (${checks.join(' && ')}) { ${call} }`}
        }
      }
    `;
  }

  /** The `lanes` form: neighbouring invocations take neighbouring batches of the same tile. */
  writeLanes(sizes: Sizes, tilesN: number, gridHeader: string): string {
    const { tileM, tileN } = this.tuning;
    const head = wgsl`
      ${gridHeader}
      let batch = invocation % ${sizes.batch};
      let tile = invocation / ${sizes.batch};
      let tile_m = ${tilesN === 1 ? 'tile' : `tile / ${tilesN}`} * ${tileM};
      let tile_n = ${tilesN === 1 ? '0' : `tile % ${tilesN} * ${tileN}`};
      ${this.loopRange(sizes)}
    `;
    const block = { threads: lanesWorkgroupSize, firstM: 'tile_m', firstN: 'tile_n' };
    return [...this.functions(), this.direct(head, sizes, block)].join('\n\n');
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

  private direct(head: string, sizes: Sizes, { threads, firstM, firstN }: Block): string {
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

  /**
   * A thread's block is `rows / 4 × columns / 4` little blocks of 4×4, spread over the tile so that the lanes of a row of
   * threads touch neighbouring quads, in workgroup memory and in the output.
   */
  private tiled(head: string, sizes: Sizes): string {
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

function plus(name: string, offset: number): string {
  return `${name}${offsetText(offset)}`;
}

function offsetText(offset: number): string {
  return offset === 0 ? '' : offset > 0 ? ` + ${offset}` : ` - ${-offset}`;
}

function outOfScope(name: string): never {
  throw new Error(`axis ${name} is not known where it is read`);
}
