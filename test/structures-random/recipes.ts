/**
 * What a random structure is put together from: each recipe writes a few items into a draft, always valid ones, and adds the
 * tensors that it defines to what later recipes may read.
 */
import {
  type Axis,
  axisOf,
  type Draft,
  fresh,
  type Known,
  mark,
  newDraft,
  newLeaf,
  product,
  someAxes,
} from './draft.ts';
import { computedOf, condition, expression, mentions, read, special, term } from './expressions.ts';

type Recipe = (draft: Draft) => void;

const none: ReadonlySet<string> = new Set();

function bracketed(axes: readonly Axis[]): string {
  return axes.length === 0 ? '' : `[${axes.map((axis) => axis.name).join(', ')}]`;
}

function define(draft: Draft, name: string, shape: readonly number[]): void {
  draft.known.push(computedOf(name, shape));
}

function leftAxes(draft: Draft, most = 3): readonly Axis[] {
  draft.used.clear();
  return someAxes(draft, draft.choices.pick([2, 1, 3, 0].filter((n) => n <= most)), none, 40);
}

/** An axis that the value does not mention would only copy; such a factor is added. */
function covering(draft: Draft, axes: readonly Axis[], value: string): string {
  const missing = axes.filter((axis) => !mentions(value, axis.name));
  if (missing.length === 0) return value;
  const leaf = newLeaf(draft, missing.slice(0, 2));
  return `(${value}) + ${leaf.name}${bracketed(missing.slice(0, 2))}`;
}

const pointwise: Recipe = (draft) => {
  const axes = leftAxes(draft);
  const name = fresh(draft, 't');
  const value = covering(draft, axes, expression(draft, axes));
  const where = axes.length > 0 && draft.choices.oneIn(4) ? ` where ${condition(draft, axes)}` : '';
  draft.items.push(`${name}${bracketed(axes)} = ${value}${where}`);
  define(
    draft,
    name,
    axes.map((axis) => axis.extent),
  );
};

const specialValue: Recipe = (draft) => {
  const axes = leftAxes(draft, 2);
  const name = fresh(draft, 't');
  const parts = Array.from({ length: draft.choices.between(1, 2) }, () => special(draft, axes));
  draft.items.push(`${name}${bracketed(axes)} = ${covering(draft, axes, parts.join(' + '))}`);
  define(
    draft,
    name,
    axes.map((axis) => axis.extent),
  );
};

const contraction: Recipe = (draft) => {
  const axes = leftAxes(draft);
  const name = fresh(draft, 't');
  const terms = Array.from({ length: draft.choices.pick([1, 1, 2, 3]) }, () => {
    // In a sum each term sums by itself, so that the same names may be summed again.
    if (draft.choices.oneIn(2)) {
      if (draft.used.size > 0) mark(draft, 'axis reused by terms');
      draft.used.clear();
    }
    return term(draft, axes, 2, draft.choices.pick([3, 6, 4, 5]));
  });
  if (terms.length > 1) mark(draft, 'sum of products');
  const value = covering(draft, axes, terms.join(draft.choices.pick([' + ', ' - '])));
  draft.items.push(`${name}${bracketed(axes)} = ${value}`);
  define(
    draft,
    name,
    axes.map((axis) => axis.extent),
  );
};

/** Stores of every kind. */
const stores: Recipe = (draft) => {
  const { choices, items } = draft;
  draft.used.clear();
  const name = fresh(draft, 't');
  const axes = someAxes(draft, 2, none, 20);
  const [a = axisOf(draft, draft.pools[0].extent, none), b = axisOf(draft, draft.pools[0].extent, new Set([a.name]))] =
    axes;
  const both = [a, b];
  const kind = choices.pick([
    'offset',
    'stride',
    'group',
    'diagonal',
    'block',
    'constant',
    'overlap',
    'several',
  ] as const);
  switch (kind) {
    case 'offset': {
      mark(draft, 'offset store');
      const offset = choices.between(1, 2);
      const text = choices.pick([`${offset} + ${a.name}`, `${a.name} + ${offset}`]);
      items.push(`${name}[${text}, ${b.name}] = ${covering(draft, both, expression(draft, both))}`);
      return define(draft, name, [a.extent + offset, b.extent]);
    }
    case 'stride':
      mark(draft, 'strided store');
      items.push(`${name}[2*${a.name} + 1] = ${expression(draft, [a])}`);
      return define(draft, name, [2 * a.extent]);
    case 'group':
      mark(draft, 'group store');
      items.push(`${name}[(${a.name} ${b.name})] = ${covering(draft, both, expression(draft, both))}`);
      return define(draft, name, [a.extent * b.extent]);
    case 'diagonal':
      mark(draft, 'diagonal');
      items.push(`${name}[${a.name}, ${b.name}, ${a.name}] = ${expression(draft, both)}`);
      return define(draft, name, [a.extent, b.extent, a.extent]);
    case 'block': {
      const c = axisOf(draft, choices.pick([2, 3, 1]), new Set([a.name, b.name]));
      const all = [c, a, b];
      mark(draft, 'block diagonal');
      const value = covering(draft, all, choices.oneIn(2) ? term(draft, all, 2) : expression(draft, all, 'any', 2));
      items.push(`${name}[(${c.name} ${a.name}), (${c.name} ${b.name})] = ${value}`);
      const shape = [c.extent * a.extent, c.extent * b.extent];
      define(draft, name, shape);
      const [i, j] = [axisOf(draft, shape[0], none), axisOf(draft, shape[1], new Set(none))];
      if (i.name === j.name) return diagonalRead(draft, name, i);
      const x = newLeaf(draft, [j]);
      const y = fresh(draft, 't');
      items.push(`${y}[${i.name}] = ${name}[${i.name}, ${j.name}] * ${x.name}[${j.name}]`);
      return define(draft, y, [shape[0]]);
    }
    case 'constant':
      mark(draft, 'constant store');
      items.push(`${name}[${a.name}, 1] = ${expression(draft, [a])}`, `${name}[${b.name}, 0] += ${read(draft, [b])}`);
      mark(draft, '= and +=');
      return define(draft, name, [Math.max(a.extent, b.extent), 2]);
    case 'overlap': {
      mark(draft, '+=');
      mark(draft, 'overlapping +=');
      items.push(`${name}[${a.name} + ${b.name}] += ${covering(draft, both, expression(draft, both))}`);
      return define(draft, name, [a.extent + b.extent - 1]);
    }
    case 'several':
      mark(draft, '+=');
      mark(draft, '= and +=');
      items.push(`${name}[${a.name}] += ${expression(draft, [a])}`);
      items.push(`${name}[${b.name}] = ${expression(draft, [b])}`);
      items.push(`${name}[0] += ${read(draft, [])}`);
      return define(draft, name, [Math.max(a.extent, b.extent)]);
    default:
      return kind satisfies never;
  }
};

function diagonalRead(draft: Draft, matrix: string, axis: Axis): void {
  mark(draft, 'diagonal read');
  const y = fresh(draft, 't');
  draft.items.push(`${y}[${axis.name}] = ${matrix}[${axis.name}, ${axis.name}]`);
  define(draft, y, [axis.extent]);
}

/** A square or rectangular matrix of several levels in digit groups, and its product with an input. */
const matrix: Recipe = (draft) => {
  const { choices, items } = draft;
  const n = fresh(draft, '');
  const side = choices.pick([4, 8, 2]);
  const most = side === 8 ? 3 : side === 4 ? 2 : 1;
  const levels = choices.between(1, most);
  const ranks = Array.from({ length: levels }, () => choices.between(1, 2));
  const [W, y] = [`M${n}`, `t${n}`];
  items.push(`size D${n} = ${side}, R${n} = [${ranks.join(', ')}]`);
  items.push(`check D${n} % 2^(len(R${n}) - 1) == 0 and len(R${n}) <= ${levels} "D${n} must split"`);
  mark(draft, 'check');
  mark(draft, 'size list');
  items.push(`axis i${n}, j${n}: D${n}`);
  mark(draft, 'level');
  mark(draft, 'level param');
  mark(draft, 'level += outside');
  mark(draft, 'ranks[l]');
  const digits = `axis k: 2^l, p, q: D${n} / 2^l, r: R${n}[l]`;
  const body = choices.pick([
    `${digits} param U${n}[k, p, r] ~ normal(fan_in = r) param V${n}[k, q, r] ~ normal(fan_in = q)
    ${W}[(k p), (k q)] += U${n}[k, p, r] * V${n}[k, q, r]`,
    `${digits} param U${n}[k, p, q] ~ ones ${W}[(k p), (k q)] += U${n}[k, p, q] / (l + 1)`,
    `axis β, γ: 2^l, α, δ: D${n} / 2^l, σ: R${n}[l]
    param L${n}[β, α, γ, σ] ~ normal(fan_in = (γ σ)) param R_${n}[γ, δ, β, σ] ~ normal(fan_in = δ)
    ${W}[(α β), (γ δ)] += L${n}[β, α, γ, σ] * R_${n}[γ, δ, β, σ]`,
    `${digits} param U${n}[k, p] ~ ones ${W}[(k p), (k p)] += U${n}[k, p]`,
  ]);
  mark(draft, 'block diagonal');
  items.push(`level l in 0 .. len(R${n}) - 1 { ${body} }`);
  const b = axisOf(draft, choices.pick([3, 1, 2]), none);
  const j: Axis = { name: `j${n}`, extent: side };
  const xAxes = choices.oneIn(2) ? [b, j] : [j, b];
  const x = newLeaf(draft, xAxes);
  mark(draft, 'contraction');
  items.push(`${y}[${b.name}, i${n}] = ${W}[i${n}, j${n}] * ${x.name}${bracketed(xAxes)}`);
  define(draft, y, [b.extent, side]);
  if (choices.oneIn(4)) diagonalRead(draft, W, { name: `i${n}`, extent: side });
};

/** A family of members, each made from the one before. */
const chain: Recipe = (draft) => {
  const { choices, items } = draft;
  const n = fresh(draft, '');
  const depth = choices.between(1, 3);
  const [b] = [axisOf(draft, choices.pick([2, 3, 1]), none)];
  const z = `z${n}`;
  items.push(`size depth${n} = ${depth}`, `axis j${n}: 2^depth${n}`);
  const j: Axis = { name: `j${n}`, extent: 2 ** depth };
  draft.used.clear();
  items.push(`${z}.0[${b.name}, ${j.name}] = ${covering(draft, [b, j], expression(draft, [b, j], 'bounded', 1))}`);
  const value = choices.pick([
    `F${n}[o, e, f, p] * ${z}.l[${b.name}, (o f p)]`,
    `tanh(F${n}[o, e, f, p] * ${z}.l[${b.name}, (o f p)])`,
  ]);
  items.push(`level l in 0 .. depth${n} - 1 {
  axis o: 2^l, e, f: 2, p: 2^(depth${n} - 1 - l)
  param F${n}[o, e, f, p] ~ normal(fan_in = f)
  ${z}.(l + 1)[${b.name}, (o e p)] = ${value}
}`);
  const y = fresh(draft, 't');
  items.push(`${y}${bracketed([b, j])} = ${z}.depth${n}${bracketed([b, j])} * ${z}.${depth}${bracketed([b, j])}`);
  for (const c of ['level', 'level param', 'member', 'computed member', 'contraction', 'group store'] as const) {
    mark(draft, c);
  }
  define(draft, y, [b.extent, 2 ** depth]);
};

/** Tensors that belong to levels, nested ones too, read from outside. */
const members: Recipe = (draft) => {
  const { choices, items } = draft;
  const n = fresh(draft, '');
  const [a] = [axisOf(draft, choices.pick([3, 2, 1]), none)];
  draft.used.clear();
  const inner = expression(draft, [a], 'bounded', 2);
  const y = fresh(draft, 't');
  for (const c of ['level', 'level param', 'level =', 'member', '+='] as const) mark(draft, c);
  if (choices.oneIn(2)) {
    mark(draft, 'nested level');
    mark(draft, 'member of member');
    items.push(`level l in 0 .. 1 {
  level m in l .. 1 {
    axis c: l + m + 1
    param G${n}[c, ${a.name}] ~ normal(std = 0.02)
    h${n}[${a.name}] = G${n}[c, ${a.name}] * (c + 1) + ${inner}
    ${y}[${a.name}] += h${n}[${a.name}] / (m + 1)
  }
}`);
    const out = fresh(draft, 't');
    items.push(`${out}[${a.name}] = h${n}.0.1[${a.name}] * G${n}.1.1[0, ${a.name}] - h${n}.1.1[${a.name}]`);
    define(draft, y, [a.extent]);
    return define(draft, out, [a.extent]);
  }
  items.push(`level l in 0 .. 2 {
  param G${n}[${a.name}] ~ constant(0.5), fixed
  h${n}[${a.name}] = G${n}[${a.name}] * (l + 1) + ${inner}
  if l != 1 { ${y}[${a.name} + l] += h${n}[${a.name}] } else { ${y}[${a.name}] += h${n}.0[${a.name}] * G${n}.0[${a.name}] }
}`);
  mark(draft, 'if');
  mark(draft, 'else');
  mark(draft, 'offset store');
  define(draft, y, [a.extent + 2]);
};

/** Items chosen at compile time, and a level that has none. */
const choice: Recipe = (draft) => {
  const { choices, items } = draft;
  const n = fresh(draft, '');
  const flag = choices.below(3);
  const [a] = [axisOf(draft, choices.pick([2, 3, 5]), none)];
  draft.used.clear();
  const [p, q] = [expression(draft, [a], 'any', 2), expression(draft, [a], 'any', 2)];
  const y = `t${n}`;
  mark(draft, 'if');
  items.push(`size flag${n} = ${flag}`);
  items.push(
    choices.pick([
      `if flag${n} == 1 { ${y}[${a.name}] = ${p} } else if flag${n} >= 2 { ${y}[${a.name}] = ${q} } else { ${y}[${a.name}] = 0 }`,
      `if flag${n} != 0 and flag${n} < 2 { ${y}[${a.name}] += ${p} } ${y}[${a.name}] += ${q}`,
    ]),
  );
  if (items[items.length - 1].includes('else')) mark(draft, 'else');
  if (choices.oneIn(2)) {
    mark(draft, 'empty level');
    items.push(`level l in 1 .. flag${n} - 2 { param E${n} ~ ones ${y}2[${a.name}] += E${n} }`);
    items.push(`${y}2[${a.name}] += ${y}[${a.name}] * 2`);
    define(draft, `${y}2`, [a.extent]);
  }
  define(draft, y, [a.extent]);
};

/** Scores of attention over a causal or windowed domain, with a bias by distance, and their values. */
const attention: Recipe = (draft) => {
  const { choices, items } = draft;
  const n = fresh(draft, '');
  const T = choices.pick([3, 5, 2]);
  const h = axisOf(draft, choices.pick([2, 1]), none);
  items.push(`axis s${n}, u${n}: ${T}, r${n}: 2`);
  const [t, u, r]: readonly Axis[] = [
    { name: `s${n}`, extent: T },
    { name: `u${n}`, extent: T },
    { name: `r${n}`, extent: 2 },
  ];
  const [q, k] = [newLeaf(draft, [h, t, r]), newLeaf(draft, [h, u, r])];
  const slope = newLeaf(draft, [h]);
  const causal = choices.pick([
    `${u.name} <= ${t.name}`,
    `${u.name} <= ${t.name} and ${t.name} - ${u.name} <= 1`,
    `${u.name} <= ${t.name} and ${u.name} != 1`,
  ]);
  if (causal.includes('- ')) mark(draft, 'where window');
  const bias = `${slope.name}[${h.name}] * (${t.name} - ${u.name})`;
  items.push(
    `S${n}${bracketed([h, t, u])} = ${q.name}${bracketed([h, t, r])} * ${k.name}${bracketed([h, u, r])} / sqrt(2) - ${bias}`,
    `A${n}${bracketed([h, t, u])} = softmax[${u.name}](S${n}${bracketed([h, t, u])} where ${causal})`,
  );
  for (const c of ['causal softmax', 'softmax[]', 'where', 'axis as value', 'contraction', '-'] as const)
    mark(draft, c);
  define(draft, `S${n}`, [h.extent, T, T]);
  if (choices.oneIn(3)) return define(draft, `A${n}`, [h.extent, T, T]);
  const v = newLeaf(draft, [h, u, r]);
  items.push(`t${n}${bracketed([t, h, r])} = A${n}${bracketed([h, t, u])} * ${v.name}${bracketed([h, u, r])}`);
  define(draft, `t${n}`, [T, h.extent, 2]);
};

/**
 * Another structure, written before the main one, with an input, a size, a const and params of its own; used by its name, or as
 * what fills a slot, where it may take the first two axes as one.
 */
const use: Recipe = (draft) => {
  const { choices, items } = draft;
  if (draft.depth > 0) return pointwise(draft);
  const given = choices.pick(
    draft.known.filter((t) => t.role !== 'whole' && t.shape.length > 0 && !t.name.includes('.')),
  );
  if (given === undefined) return pointwise(draft);
  const inner = newDraft(draft.file, draft.depth + 1);
  const n = fresh(draft, '');
  const slotted = choices.oneIn(3);
  const fewer = slotted && given.shape.length > 1 && choices.oneIn(2);
  const [first = 1, second = 1, ...others] = given.shape;
  const shape = fewer ? [first * second, ...others] : given.shape;
  const axes = shape.map((extent, d): Axis => ({ name: `g${d}`, extent }));
  inner.items.push(
    `size scale = 2`,
    `const damping = 0.5`,
    `axis ${axes.map((axis, d) => `${axis.name}: E${d}`).join(', ')}`,
  );
  inner.items.push(`input ξ${bracketed(axes)}`);
  const kept = axes.slice(0, 2);
  const value = expression(inner, axes.slice(0, 2), 'bounded', 2);
  const weight = newLeaf(inner, kept);
  inner.items.push(
    `y${bracketed(axes)} = ξ${bracketed(axes)} * ${weight.name}${bracketed(kept)} * scale * damping + ${value}`,
  );
  inner.known.push(computedOf('y', shape));
  someRecipe(inner);
  const last = inner.known[inner.known.length - 1];
  draft.top.push(
    `structure Inner${n} {\n${inner.items.join('\n')}\noutput y${last.name === 'y' ? '' : `, ${last.name}`}\n}`,
  );
  const y = fresh(draft, 't');
  mark(draft, 'use');
  const distinct: Axis[] = [];
  for (const extent of given.shape) distinct.push(axisOf(draft, extent, new Set(distinct.map((a) => a.name))));
  mark(draft, 'const');
  const named = slotted ? `Slot${n}` : `Inner${n}`;
  if (slotted) items.push(slotOf(draft, n, distinct, last));
  if (fewer) mark(draft, 'slot of fewer axes');
  if (choices.oneIn(3)) {
    mark(draft, 'use in level');
    mark(draft, 'level');
    items.push(`level l in 0 .. 1 { use ${named}(scale = l + 1, ξ = ${given.name}) as m${n} }`);
    mark(draft, 'use with size');
    items.push(`${y}${bracketed(distinct)} = m${n}.0.y${bracketed(distinct)} + m${n}.1.y${bracketed(distinct)}`);
    return define(draft, y, given.shape);
  }
  const size = choices.oneIn(2);
  if (size) mark(draft, 'use with size');
  const damping = choices.pick(['', 'damping = 0.25, ', 'damping = 1 / 4, ']);
  if (damping !== '') mark(draft, 'const bound');
  const dropped = slotted && choices.oneIn(2) ? 'absent = 7, ' : '';
  if (dropped !== '') mark(draft, 'slot size dropped');
  items.push(`use ${named}(${size ? 'scale = 3, ' : ''}${damping}${dropped}ξ = ${given.name}) as m${n}`);
  define(draft, `m${n}.y`, given.shape);
  if (choices.oneIn(3)) {
    mark(draft, 'use twice');
    items.push(`use ${named}(ξ = m${n}.y) as k${n}`);
    define(draft, `k${n}.y`, given.shape);
  }
  items.push(`${y}${bracketed(distinct)} = m${n}.y${bracketed(distinct)} * 0.5`);
  define(draft, y, given.shape);
};

/** A slot for the structure `Inner`, over these axes; it may ask for an output more than there is. */
function slotOf(draft: Draft, n: string, axes: readonly Axis[], last: Known): string {
  mark(draft, 'slot');
  const outputs = [`y${bracketed(axes)}`];
  if (last.name !== 'y') {
    const own: Axis[] = [];
    for (const extent of last.shape) own.push(axisOf(draft, extent, new Set(own.map((a) => a.name))));
    outputs.push(`z${own.length === 0 ? '' : bracketed(own)}`);
  }
  if (draft.choices.oneIn(2)) {
    mark(draft, 'slot output left out');
    outputs.push(`q${bracketed(axes)} else ξ`);
  }
  return `slot Slot${n}(ξ${bracketed(axes)}) -> ${outputs.join(', ')} = Inner${n}`;
}

const recipes: readonly Recipe[] = [
  ...[pointwise, contraction, stores, pointwise, matrix, contraction, attention, chain],
  ...[specialValue, members, choice, use, specialValue, stores, use, specialValue, stores, contraction, specialValue],
];

export function someRecipe(draft: Draft): void {
  draft.choices.pick(recipes)(draft);
  if (draft.choices.oneIn(10)) {
    mark(draft, 'comment');
    draft.items.push('// Between two items.');
  }
}

/** Elements of a tensor, for limits. */
export function sizeOf({ shape }: Known): number {
  return product(shape);
}
