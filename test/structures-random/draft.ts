/**
 * A random `.mlbtc` text while it is being written: its items so far, the axes and tensors that they made, and what constructs of
 * the language they used (for the table of hits). `expressions.ts` and `recipes.ts` write into it.
 *
 * The trap is kinks: central differences are wrong at them, so what has one (max, abs, relu, comparisons) is only ever given a
 * *leaf*, an input or a param, whose elements all differ (see `leafValues`).
 */
import type { Choices } from '../support/choices.ts';

export interface Axis {
  readonly name: string;
  readonly extent: number;
}

/** A tensor that can be read. `whole`: i32, below `wholeBound`. */
export interface Known {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: 'leaf' | 'computed' | 'whole';
}

/** Elements of i32 inputs are below this, so that they index any position at least as long. */
export const wholeBound = 2;

/** Axes of one extent, written `size` where they are declared. */
interface Pool {
  readonly extent: number;
  readonly size: string;
  readonly letter: string;
  made: number;
}

/** What several structures of one file share. */
export interface FileDraft {
  readonly choices: Choices;
  readonly constructs: Set<Construct>;
  /** Functions and structures before the main one. */
  readonly top: string[];
  readonly imports: string[];
  readonly files: Record<string, string>;
  readonly sizes: Record<string, number | readonly number[]>;
  readonly inputShapes: Record<string, readonly number[]>;
  /** Next free number for names. */
  next: number;
}

export interface Draft extends FileDraft {
  readonly file: FileDraft;
  readonly items: string[];
  readonly known: Known[];
  readonly pools: Pool[];
  /** 0 for the main structure. */
  readonly depth: number;
  /** Axis names that the equation being written has summed or bound. */
  readonly used: Set<string>;
}

export const constructs = [
  ...['size with default', 'size bound', 'size from shape', 'size list', 'size functions', 'split', 'check'],
  ...['input', 'param', 'param fixed', 'scalar tensor', 'normal std', 'normal fan_in', 'fan_in group', 'ones', 'zeros'],
  ...[
    'zeros fan_in',
    'const',
    'const bound',
    'slot',
    'slot of fewer axes',
    'slot output left out',
    'slot size dropped',
  ],
  ...['constant', 'i32 input', 'axis of size 1', 'prime axis', 'doc comment', 'comment'],
  ...['contraction', 'six operands', 'sum of products', 'product of sums', 'parenthesised product', 'divisor'],
  ...['axis reused by terms', '+=', '= and +=', 'overlapping +='],
  ...[
    'level',
    'nested level',
    'empty level',
    'level param',
    'member',
    'member of member',
    'computed member',
    'level =',
  ],
  ...[
    'level += outside',
    'ranks[l]',
    'use',
    'use in level',
    'use twice',
    'use with size',
    'fn',
    'fn with axes',
    'import',
  ],
  ...['if', 'else', 'diagonal', 'block diagonal', 'diagonal read', 'offset store', 'strided store', 'group store'],
  ...['constant store', 'group read', 'shifted read', 'reversed read', 'strided read', 'sum read', 'constant read'],
  ...[
    'size read',
    'smaller axis',
    'gather',
    'where',
    'where window',
    'where sum',
    'where inside',
    'where on data',
    'integer tensor',
    'integer index',
    'where !=',
    'where ==',
  ],
  ...['select index', 'select value', 'axis as value', 'size as value', 'i32 as value'],
  ...[
    'sum[]',
    'prod[]',
    'mean[]',
    'max[]',
    'min[]',
    'var[]',
    'rms[]',
    'logsumexp[]',
    'softmax[]',
    'several reduced axes',
    '[*]',
  ],
  ...['layernorm', 'rmsnorm', 'cross_entropy', 'rms_clip', 'causal softmax'],
  ...['exp', 'log', 'sqrt', 'rsqrt', 'abs', 'sign', 'tanh', 'erf', 'sigmoid', 'relu', 'gelu', 'silu', 'sin', 'cos'],
  ...['min', 'max', 'pow', '^', '/', '-', 'negation'],
] as const;
export type Construct = (typeof constructs)[number];

const extents = [3, 2, 1, 5, 4];

export function newFile(choices: Choices): FileDraft {
  const tables = { files: {}, sizes: {}, inputShapes: {}, imports: [], top: [] };
  return { choices, constructs: new Set(), next: 0, ...tables };
}

export function newDraft(file: FileDraft, depth: number): Draft {
  const draft: Draft = {
    ...file,
    file,
    items: [],
    known: [],
    pools: [],
    depth,
    used: new Set(),
  };
  const count = file.choices.between(2, 3);
  for (let i = 0; i < count; i++) poolOf(draft, file.choices.pick(extents), true);
  return draft;
}

export function mark(draft: FileDraft, construct: Construct): void {
  draft.constructs.add(construct);
}

export function fresh(draft: Draft, stem: string): string {
  return `${stem}${draft.file.next++}`;
}

/** How the extent of a new pool is written. */
function sizeText(draft: Draft, extent: number): string {
  const { choices, items } = draft;
  const kind = choices.pick(['number', 'default', 'bound', 'arithmetic', 'list', 'split', 'shape'] as const);
  const name = fresh(draft, 'N');
  switch (kind) {
    case 'number':
      return String(extent);
    case 'default':
      mark(draft, 'size with default');
      items.push(`size ${name} = ${extent}`);
      return name;
    case 'bound':
      mark(draft, draft.depth === 0 ? 'size bound' : 'size with default');
      // Of an inner structure nothing is bound from outside but by `use`.
      items.push(draft.depth === 0 ? `size ${name}` : `size ${name} = ${extent}`);
      if (draft.depth === 0) draft.sizes[name] = extent;
      return name;
    case 'arithmetic':
      mark(draft, 'size functions');
      items.push(`size ${name} = ${extent ** 2}`);
      return choices.pick([
        `sqrt(${name})`,
        `${name} / ${extent}`,
        `(${name} + ${extent}) % ${extent + 1} + ${extent - ((extent ** 2 + extent) % (extent + 1))}`,
        `max(min(${name}, ${extent}), 1)`,
        `log2(2^${extent} * ${name} / ${name})`,
      ]);
    case 'list':
      mark(draft, 'size list');
      mark(draft, 'size functions');
      items.push(`size ${name} = [2, ${extent}, 7]`);
      return choices.pick([`${name}[1]`, `prefix(${name}, 2) - 2`, `sum(${name}) - 9`, `${name}[len(${name}) - 2]`]);
    case 'split':
      mark(draft, 'split');
      // (a, b) = split(e (e + 1)) is (e, e + 1).
      items.push(`size (${name}, ${name}b) = split(${extent * (extent + 1)})`);
      return `${name}b - ${name} + ${name} - 1`;
    case 'shape': {
      // The one who uses a structure gives it no input but one.
      if (draft.depth > 0) return String(extent);
      mark(draft, 'size from shape');
      const input = fresh(draft, 'x');
      const isDeclared = choices.oneIn(2);
      // A size that is not declared may only be the size of an axis.
      const own = isDeclared ? name : `B${name}`;
      items.push(...(isDeclared ? [`size ${own}`] : []), `axis a${name}: ${own}`, `input ${input}[a${name}]`);
      draft.known.push({ name: input, shape: [extent], role: 'leaf' });
      draft.inputShapes[input] = [extent];
      return own;
    }
    default:
      return kind satisfies never;
  }
}

function poolOf(draft: Draft, extent: number, isNew = false): Pool {
  const having = draft.pools.filter((pool) => pool.extent === extent);
  if (having.length > 0 && !isNew) return draft.choices.pick(having);
  if (extent === 1) mark(draft, 'axis of size 1');
  if (extent === 3 || extent === 5 || extent === 7) mark(draft, 'prime axis');
  const size = isNew ? sizeText(draft, extent) : String(extent);
  // Not those that the levels of `recipes.ts` declare.
  const letters = 'ijstuvwabdηζθκ';
  const letter = `${letters[draft.pools.length % letters.length]}${draft.pools.length >= letters.length ? draft.pools.length : ''}`;
  const pool: Pool = { extent, size, letter, made: 0 };
  draft.pools.push(pool);
  return pool;
}

/** An axis of this extent that is none of `avoid`; an old one if there is one. */
export function axisOf(draft: Draft, extent: number, avoid: ReadonlySet<string>): Axis {
  const pool = poolOf(draft, extent);
  for (let n = 0; ; n++) {
    const name = `${pool.letter}${n === 0 ? '' : `_${n}`}`;
    if (avoid.has(name)) continue;
    if (n >= pool.made) {
      draft.items.push(`axis ${name}: ${pool.size}`);
      pool.made = n + 1;
    }
    return { name, extent };
  }
}

/** Axes of random extents, all different, of which all points together are at most `most`. */
export function someAxes(draft: Draft, count: number, avoid: ReadonlySet<string>, most = 60): readonly Axis[] {
  const axes: Axis[] = [];
  const taken = new Set(avoid);
  let points = 1;
  for (let i = 0; i < count; i++) {
    const { extent } = draft.choices.pick(draft.pools.slice(0, 4));
    if (points * extent > most) continue;
    points *= extent;
    const axis = axisOf(draft, extent, taken);
    taken.add(axis.name);
    axes.push(axis);
  }
  return axes;
}

/** Declares a new input or param over these axes, which all differ. */
export function newLeaf(draft: Draft, axes: readonly Axis[], form?: 'input' | 'param'): Known {
  const { choices, items } = draft;
  // An inner structure has params alone: its inputs must be given by the one who uses it.
  const isParam = draft.depth > 0 || (form ?? choices.pick(['input', 'param'])) === 'param';
  const name = fresh(draft, isParam ? 'W' : 'x');
  const known: Known = { name, shape: axes.map((axis) => axis.extent), role: 'leaf' };
  const brackets = axes.length === 0 ? '' : `[${axes.map((axis) => axis.name).join(', ')}]`;
  if (axes.length === 0) mark(draft, 'scalar tensor');
  if (choices.oneIn(8)) {
    mark(draft, 'doc comment');
    items.push(`/// What ${name} is.`);
  }
  if (isParam) {
    mark(draft, 'param');
    items.push(`param ${name}${brackets} ~ ${initOf(draft, axes)}`);
  } else {
    mark(draft, 'input');
    items.push(`input ${name}${brackets}${choices.oneIn(6) ? ': f32' : ''}`);
  }
  draft.known.push(known);
  return known;
}

function initOf(draft: Draft, axes: readonly Axis[]): string {
  const { choices } = draft;
  const kind = choices.pick([
    ...(['normal std', 'normal fan_in', 'fan_in group', 'ones', 'zeros', 'constant', 'zeros fan_in'] as const),
  ]);
  const least = kind === 'normal fan_in' || kind === 'zeros fan_in' ? 1 : kind === 'fan_in group' ? 2 : 0;
  const fits = least <= axes.length;
  const chosen = fits ? kind : 'ones';
  mark(draft, chosen);
  if (choices.oneIn(6)) mark(draft, 'param fixed');
  else return text();
  return `${text()}, fixed`;
  function text(): string {
    switch (chosen) {
      case 'normal std':
        return 'normal(std = 0.02)';
      case 'normal fan_in':
        return `normal(fan_in = ${axes[0].name})`;
      case 'zeros fan_in':
        return `zeros(fan_in = ${axes[0]?.name})`;
      case 'fan_in group':
        return `normal(fan_in = (${axes[0].name} ${axes[1].name}))`;
      case 'constant':
        return 'constant(0.5)';
      default:
        return chosen;
    }
  }
}

export function newWhole(draft: Draft, axis: Axis): Known {
  const name = fresh(draft, 'ids');
  mark(draft, 'i32 input');
  draft.items.push(`input ${name}[${axis.name}]: i32`);
  const known: Known = { name, shape: [axis.extent], role: 'whole' };
  draft.known.push(known);
  return known;
}

/** An input or a param of the main structure to give to another. */
export function product(shape: readonly number[]): number {
  return shape.reduce((n, extent) => n * extent, 1);
}
