/**
 * Random values of equations as text. Every expression is written for the axes that are free where it stands; what it sums itself
 * has a name of its own in the equation, so that the text is valid whatever surrounds it. Numbers stay where central differences
 * and f32 can follow: exponents and divisors are bounded, kinks stand on leaves (see `draft.ts`).
 */
import {
  type Axis,
  axisOf,
  type Construct,
  type Draft,
  type Known,
  mark,
  newLeaf,
  newWhole,
  someAxes,
  wholeBound,
} from './draft.ts';

/** Bounded values lie in about -2 .. 2, positive ones in about 0.5 .. 4. */
type Range = 'any' | 'bounded' | 'positive';

const squashing = ['tanh', 'sigmoid', 'erf', 'sin', 'cos'] as const;
const smooth = ['exp', 'silu', 'gelu'] as const;
const ofPositive = ['log', 'sqrt', 'rsqrt'] as const;
const kinked = ['relu', 'abs', 'sign'] as const;
const ofLeaf = ['max', 'min'] as const;
const comparisons = ['<', '<=', '>', '>=', '==', '!='] as const;

export function expression(draft: Draft, free: readonly Axis[], wanted: Range = 'any', depth = 3): string {
  const { choices } = draft;
  const go = (part: Range): string => expression(draft, free, part, depth - 1);
  const leaf = (): string => read(draft, free, 'leaf');
  const call = (name: Construct, ...values: string[]): string => {
    mark(draft, name);
    return `${name}(${values.join(', ')})`;
  };
  if (wanted === 'positive') {
    if (depth <= 0) return `(2 + ${leaf()})`;
    mark(draft, '^');
    return choices.pick([() => `(1.5 + (${go('bounded')})^2)`, () => call('exp', `0.5 * ${go('bounded')}`)])();
  }
  if (wanted === 'bounded') {
    if (depth <= 0 || choices.oneIn(2)) return leaf();
    return call(choices.pick(squashing), go('any'));
  }
  if (depth <= 0) return read(draft, free);
  const options: readonly (() => string)[] = [
    () => read(draft, free),
    () => `(${term(draft, free, depth - 1)})`,
    () => `(${read(draft, free)} * ${read(draft, free)})`,
    () => `(${choices.pick(['0.5', '2'])} * ${go('any')})`,
    () => `(${go('any')} + ${go('any')})`,
    () => {
      mark(draft, '-');
      return `(${go('any')} - ${go('any')})`;
    },
    () => {
      mark(draft, 'negation');
      return `(-${go('any')})`;
    },
    () => call(choices.pick(squashing), go('any')),
    () => call(choices.pick(smooth), go('bounded')),
    () => call(choices.pick(ofPositive), go('positive')),
    () => call(choices.pick(kinked), leaf()),
    () => call(choices.pick(ofLeaf), leaf(), choices.pick([leaf(), '0.1'])),
    () => {
      mark(draft, '/');
      return `(${go('any')} / ${go('positive')})`;
    },
    () => {
      mark(draft, '^');
      return `(${go('positive')})^${choices.pick(['2', '3', '0.5', '(-1)', '1.5'])}`;
    },
    () => call('pow', go('positive'), go('bounded')),
    () => {
      mark(draft, 'select value');
      return `select(${leaf()} ${choices.pick(comparisons)} ${choices.pick(['0.1', leaf()])}, ${go('any')}, ${go('any')})`;
    },
    () => {
      if (free.length === 0) return go('any');
      mark(draft, 'select index');
      return `select(${condition(draft, free)}, ${go('any')}, ${go('any')})`;
    },
    () => {
      mark(draft, free.length === 0 ? 'size as value' : 'axis as value');
      return free.length === 0 ? '(0.25 * 3)' : `(0.25 * ${choices.pick(free).name})`;
    },
    () => sizeValue(draft) ?? go('any'),
    () => wholeValue(draft, free),
    () => gather(draft, free),
    () => reduction(draft, free, depth),
    () => library(draft, free, depth),
    () => softmax(draft, free, depth),
    () => {
      if (free.length === 0) return go('any');
      mark(draft, 'where inside');
      return `(${go('any')} where ${condition(draft, free)})`;
    },
    () => functionCall(draft, free, depth),
  ];
  return choices.pick(options)();
}

/** A product of two to six reads with up to three summed axes. */
export function term(draft: Draft, free: readonly Axis[], depth: number, most = 3): string {
  const { choices } = draft;
  const summed = someAxes(draft, choices.pick([1, 2, 0, 3]), names(free, draft.used), 30);
  for (const axis of summed) draft.used.add(axis.name);
  const count = choices.between(2, most);
  if (summed.length > 0) mark(draft, 'contraction');
  if (count >= 6) mark(draft, 'six operands');
  const all = [...summed, ...free];
  const factors = Array.from({ length: count }, (_, n) => {
    // The first operands hold every summed axis between them; others take what comes.
    const own = all.filter((_axis, i) => (i < summed.length && i % 2 === n) || choices.oneIn(3)).slice(0, 3);
    return read(draft, own, 'any', true);
  });
  for (const axis of summed) {
    if (!factors.some((f) => mentions(f, axis.name))) factors.push(newRead(draft, [axis]));
  }
  if (choices.oneIn(6)) {
    mark(draft, 'product of sums');
    factors.push(`(${read(draft, all.slice(0, 2))} + ${read(draft, all.slice(0, 2))})`);
  }
  if (choices.oneIn(8)) factors.push(expression(draft, free, 'bounded', depth));
  if (choices.oneIn(6) && hasOneReading(factors, summed)) {
    mark(draft, 'parenthesised product');
    factors.push(`(${factors.pop()} * ${factors.pop()})`);
  }
  const text = factors.join(' * ');
  if (!choices.oneIn(6)) return text;
  mark(draft, 'divisor');
  return `${text} / ${choices.pick(['2', `(2 + ${read(draft, free, 'leaf')})`])}`;
}

/** Whether the last two factors may stand in parentheses: a summed axis of both that stands outside them too has two readings. */
function hasOneReading(factors: readonly string[], summed: readonly Axis[]): boolean {
  const [inside, outside] = [factors.slice(-2), factors.slice(0, -2)];
  const carries = (list: readonly string[], { name }: Axis) => list.filter((factor) => mentions(factor, name)).length;
  return summed.every((axis) => carries(inside, axis) < 2 || carries(outside, axis) === 0);
}

export function mentions(text: string, name: string): boolean {
  return new RegExp(`(^|[^\\p{L}\\p{N}_])${name}(?![\\p{L}\\p{N}_])`, 'u').test(text);
}

function names(axes: readonly Axis[], more: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...axes.map((axis) => axis.name), ...more]);
}

function newRead(draft: Draft, axes: readonly Axis[]): string {
  const { name } = newLeaf(draft, axes);
  return axes.length === 0 ? name : `${name}[${axes.map((axis) => axis.name).join(', ')}]`;
}

/** A read of something known, the newest first, or of a new leaf. `whole`: all of the axes are to stand in it. */
export function read(draft: Draft, free: readonly Axis[], role: 'any' | 'leaf' = 'any', whole = false): string {
  const { choices, known } = draft;
  const floats = known.filter((t) => t.role !== 'whole' && (role === 'any' || t.role === 'leaf')).toReversed();
  const fitting = whole ? floats.filter((t) => free.every(({ extent }) => t.shape.includes(extent))) : floats;
  const newest = fitting.filter((t) => t.role === 'computed').slice(0, 2);
  const candidates = [...newest, ...fitting];
  if (candidates.length === 0 || choices.oneIn(5)) return newRead(draft, free.slice(0, 3));
  const tensor = choices.pick(candidates);
  if (tensor.shape.length === 0) return tensor.name;
  return `${tensor.name}[${tensor.shape.map((extent) => indexInto(draft, extent, free)).join(', ')}]`;
}

/** An index into a position of this extent, over axes that are free. */
export function indexInto(draft: Draft, extent: number, free: readonly Axis[]): string {
  const { choices } = draft;
  const exact = free.filter((axis) => axis.extent === extent);
  if (exact.length > 0 && !choices.oneIn(4)) return choices.pick(exact).name;
  const options: [Construct | undefined, string][] = [];
  const offer = (fits: boolean, construct: Construct | undefined, text: string): void => {
    if (fits) options.push([construct, text]);
  };
  for (const a of free) {
    offer(a.extent < extent, 'smaller axis', a.name);
    offer(a.extent < extent, 'shifted read', `${a.name} + ${extent - a.extent}`);
    offer(a.extent <= extent, 'reversed read', `${extent - 1} - ${a.name}`);
    offer(a.extent > 1 && 2 * (a.extent - 1) < extent, 'strided read', `2*${a.name}`);
    for (const b of free) {
      if (a === b) continue;
      offer(a.extent * b.extent <= extent, 'group read', `(${a.name} ${b.name})`);
      offer(a.extent + b.extent - 1 <= extent, 'sum read', `${a.name} + ${b.name}`);
    }
  }
  if (options.length === 0 || choices.oneIn(6)) {
    offer(true, 'constant read', String(choices.below(extent)));
    const size = draft.pools.find((pool) => pool.extent < extent && /^N\d+$/.test(pool.size));
    offer(size !== undefined, 'size read', `${size?.size}`);
  }
  const [construct, text] = choices.pick(options);
  if (construct !== undefined) mark(draft, construct);
  return text;
}

/** A condition that some points of the axes meet and some may not. */
export function condition(draft: Draft, axes: readonly Axis[]): string {
  const { choices } = draft;
  const a = choices.pick(axes);
  const b = choices.pick(axes);
  const middle = a.extent >> 1;
  const size = draft.pools.find((pool) => /^N\d+$/.test(pool.size))?.size ?? '2';
  if (choices.oneIn(5)) {
    mark(draft, 'where on data');
    const more = choices.oneIn(2) ? '' : ` and ${a.name} <= ${b.name}`;
    return `${wholeRead(draft, axes)} ${choices.pick(['!=', '==', '<'])} ${choices.pick(['1', `(${a.name} + 1) % 2`])}${more}`;
  }
  const [construct, text] = choices.pick<[Construct, string]>([
    ['where', `${a.name} <= ${b.name}`],
    ['where window', `${a.name} <= ${b.name} and ${b.name} - ${a.name} <= 1`],
    ['where', `${a.name} < ${size}`],
    ['where sum', `${a.name} + 2*${b.name} > ${middle}`],
    ['where !=', `${a.name} != ${middle}`],
    ['where ==', `${a.name} == ${b.name}`],
    ['where', `${a.name} >= ${middle}`],
  ]);
  mark(draft, construct);
  return text;
}

function sizeValue(draft: Draft): string | undefined {
  const size = draft.pools.find((pool) => /^N\d+$/.test(pool.size))?.size;
  if (size === undefined) return undefined;
  mark(draft, 'size as value');
  return `(${size} / 4)`;
}

/** An element that is 0 or 1: of an input, of a computed tensor, or worked out where it stands. */
function whole(draft: Draft, free: readonly Axis[]): string {
  if (!draft.choices.oneIn(4) || free.length === 0) return wholeRead(draft, free);
  mark(draft, 'integer index');
  return `(${wholeRead(draft, free)} + ${draft.choices.pick(free).name}) % 2`;
}

function wholeRead(draft: Draft, free: readonly Axis[]): string {
  if (free.length > 0 && (draft.depth > 0 || draft.choices.oneIn(3))) return computedWhole(draft, free);
  const having = draft.known.filter((t) => t.role === 'whole');
  const bare = free.length === 0 ? axisOf(draft, draft.pools[0].extent, draft.used) : draft.choices.pick(free);
  const ids = having.length > 0 && !draft.choices.oneIn(4) ? draft.choices.pick(having) : newWhole(draft, bare);
  return `${ids.name}[${ids.shape.map((extent) => indexInto(draft, extent, free)).join(', ')}]`;
}

/** A new integer tensor over some of the axes, of which an element is read. */
function computedWhole(draft: Draft, free: readonly Axis[]): string {
  const { choices, items, known } = draft;
  mark(draft, 'integer tensor');
  const axes = choices.oneIn(2) && free.length > 1 ? free.slice(0, 2) : [choices.pick(free)];
  const [a, b = a] = axes;
  const inputs = known.filter((t) => t.role === 'whole' && t.shape.length === 1 && t.shape[0] >= a.extent);
  const given = inputs.length > 0 && draft.depth === 0 ? `${choices.pick(inputs).name}[${a.name}]` : `2 * ${a.name}`;
  const value = choices.pick([
    `(${a.name} - ${b.name}) % 2`,
    `max(min(${a.name} - ${b.name}, 1), 0)`,
    `(${given} - ${b.name}) / 2 % 2`,
    `select(${a.name} > ${b.name}, 1, ${given} % 2)`,
    `abs(${a.name} - ${b.name} - 1) / ${Math.max(a.extent, b.extent, 2)}`,
  ]);
  const where = choices.oneIn(4) ? ` where ${a.name} >= ${b.name}` : '';
  const name = `k${draft.file.next++}`;
  const brackets = `[${axes.map((axis) => axis.name).join(', ')}]`;
  items.push(`${name}${brackets}: i32 = ${value}${where}`);
  // One of an inner structure's cannot be told from the others where it is used.
  if (draft.depth === 0) known.push({ name, shape: axes.map((axis) => axis.extent), role: 'whole' });
  return `${name}${brackets}`;
}

function wholeValue(draft: Draft, free: readonly Axis[]): string {
  if (draft.depth > 0) return read(draft, free);
  mark(draft, 'i32 as value');
  return whole(draft, free);
}

export function gather(draft: Draft, free: readonly Axis[]): string {
  if (draft.depth > 0) return read(draft, free);
  mark(draft, 'gather');
  const fits = draft.known.filter((t) => t.role !== 'whole' && (t.shape[0] ?? 0) >= 2);
  const more = free.slice(0, 1);
  const table =
    fits.length > 0 && !draft.choices.oneIn(3)
      ? draft.choices.pick(fits)
      : newLeaf(draft, [axisOf(draft, draft.choices.pick([2, 3, 5]), names(more, draft.used)), ...more]);
  const rest = table.shape.slice(1).map((extent) => indexInto(draft, extent, free));
  return `${table.name}[${[whole(draft, free), ...rest].join(', ')}]`;
}

/** What a plain expression meets rarely: a reduction, a function of axes, a gather. */
export function special(draft: Draft, free: readonly Axis[]): string {
  const { choices } = draft;
  return choices.pick([reduction, library, reduction, gather, softmax, functionCall, pointwiseCall, sumOfProducts])(
    draft,
    free,
    2,
  );
}

/** A sum over an axis of two products, which becomes two equations. */
function sumOfProducts(draft: Draft, free: readonly Axis[]): string {
  mark(draft, 'sum[]');
  const [axis] = boundAxes(draft, free, 1);
  const inside = [axis, ...free.slice(0, 2)];
  const pair = (): string => `${newRead(draft, inside)} * ${newRead(draft, inside)}`;
  return `sum[${axis.name}](${pair()} + ${pair()})`;
}

function pointwiseCall(draft: Draft, free: readonly Axis[]): string {
  const { choices } = draft;
  const name = choices.pick([...squashing, ...smooth, ...ofPositive, ...kinked, ...kinked]);
  mark(draft, name);
  if (kinked.some((k) => k === name)) return `${name}(${read(draft, free, 'leaf')})`;
  return `${name}(${expression(draft, free, ofPositive.some((k) => k === name) ? 'positive' : 'bounded', 1)})`;
}

function boundAxes(draft: Draft, free: readonly Axis[], most: number): readonly Axis[] {
  const made = someAxes(draft, draft.choices.between(1, most), names(free, draft.used), 12);
  const axes = made.length > 0 ? made : [axisOf(draft, draft.pools[0].extent, names(free, draft.used))];
  for (const axis of axes) draft.used.add(axis.name);
  return axes;
}

function reduction(draft: Draft, free: readonly Axis[], depth: number): string {
  const { choices } = draft;
  const kind = choices.pick(['sum', 'mean', 'max', 'min', 'var', 'rms', 'logsumexp', 'prod'] as const);
  mark(draft, `${kind}[]`);
  if (choices.oneIn(5)) {
    const axes = boundAxes(draft, free, 2);
    const shift = kind === 'rms' ? '2 + ' : '';
    mark(draft, '[*]');
    return `${kind}[*](${shift}${newRead(draft, axes)})`;
  }
  const axes = boundAxes(draft, free, 2);
  if (axes.length > 1) mark(draft, 'several reduced axes');
  const inside = [...axes, ...free];
  const body = {
    sum: () => expression(draft, inside, 'any', depth - 1),
    mean: () => expression(draft, inside, 'any', depth - 1),
    // A kink wherever two elements are equal.
    prod: () => expression(draft, inside, 'bounded', depth - 1),
    max: () => read(draft, inside, 'leaf'),
    min: () => read(draft, inside, 'leaf'),
    var: () => expression(draft, inside, 'bounded', depth - 1),
    rms: () => expression(draft, inside, 'positive', depth - 1),
    logsumexp: () => expression(draft, inside, 'bounded', depth - 1),
  }[kind]();
  const where = choices.oneIn(3) && kind !== 'rms' ? ` where ${condition(draft, inside)}` : '';
  return `${kind}[${axes.map((axis) => axis.name).join(', ')}](${body}${where})`;
}

function softmax(draft: Draft, free: readonly Axis[], depth: number): string {
  if (free.length === 0) return expression(draft, free, 'any', depth - 1);
  mark(draft, 'softmax[]');
  const over = free.length > 1 && draft.choices.oneIn(4) ? free.slice(0, 2) : [draft.choices.pick(free)];
  if (over.length > 1) mark(draft, 'several reduced axes');
  const where = draft.choices.oneIn(2) ? ` where ${condition(draft, free)}` : '';
  return `softmax[${over.map((a) => a.name).join(', ')}](${expression(draft, free, 'bounded', depth - 1)}${where})`;
}

function library(draft: Draft, free: readonly Axis[], depth: number): string {
  const { choices } = draft;
  const name = choices.pick(['layernorm', 'rmsnorm', 'cross_entropy', 'rms_clip', 'cross_entropy'] as const);
  mark(draft, name);
  if (name === 'cross_entropy' && draft.depth === 0) {
    const [axis] = boundAxes(draft, free, 1);
    const logits = expression(draft, [axis, ...free], 'bounded', depth - 1);
    // A label beyond the axis is refused.
    if (axis.extent < wholeBound) return `cross_entropy[${axis.name}](${logits}, 0)`;
    return `cross_entropy[${axis.name}](${logits}, ${whole(draft, free)})`;
  }
  if (name === 'rms_clip') return `rms_clip(${read(draft, free, 'leaf')}, 3, ${choices.pick(['2', '5'])})`;
  if (free.length === 0) return expression(draft, free, 'any', depth - 1);
  const axis = choices.pick(free);
  // Of one element, or of equal ones, the variance is 0 and the slope is 1 over 1e-5.
  const varied = `(${expression(draft, free, 'bounded', depth - 1)} + ${axis.name})`;
  return `${name === 'rmsnorm' ? 'rmsnorm' : 'layernorm'}[${axis.name}](${varied}, ${read(draft, free, 'leaf')})`;
}

/** A call of a function that is made for it, or was made for an earlier one. */
function functionCall(draft: Draft, free: readonly Axis[], depth: number): string {
  const { choices } = draft;
  const go = (): string => expression(draft, free, 'bounded', depth - 1);
  const kind = choices.pick(['plain', 'axes', 'nested', 'import'] as const);
  const name = `f_${kind}`;
  const write = (text: string): void => {
    if (!draft.top.includes(text)) draft.top.push(text);
  };
  mark(draft, 'fn');
  switch (kind) {
    case 'plain':
      write('fn f_plain(a, b) = a * b + tanh(a - 2 * b) / 3');
      return `f_plain(${go()}, ${go()})`;
    case 'axes': {
      write('fn f_axes[r](a, g) = a / sqrt(0.5 + sum[r](a^2)) * g + mean[r](a)');
      mark(draft, 'fn with axes');
      if (free.length === 0) return go();
      return `${name}[${choices.pick(free).name}](${go()}, ${go()})`;
    }
    case 'nested':
      write('fn f_once(a) = sigmoid(a) * a');
      write('fn f_nested(a, b) = f_once(a + b) - f_once(b)');
      return `f_nested(${go()}, ${go()})`;
    case 'import':
      mark(draft, 'import');
      draft.files['functions.mlbtc'] = 'fn f_import[q](a) = logsumexp[q](a) - rms[q](2 + a^2) // of another file\n';
      if (!draft.imports.includes('import "functions.mlbtc"')) draft.imports.push('import "functions.mlbtc"');
      if (free.length === 0) return go();
      return `f_import[${choices.pick(free).name}](${go()})`;
    default:
      return kind satisfies never;
  }
}

export function computedOf(name: string, shape: readonly number[]): Known {
  return { name, shape, role: 'computed' };
}
