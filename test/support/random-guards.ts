/**
 * Random structures of guards around what is singular: `where`, `select`, `relu`, `max` and `min` around `log`, `sqrt`, `1 / x` and
 * powers, in one equation or over several tensors, with inputs many of which are 0 or negative. Each is text and its meaning in
 * dual numbers: a value, and its slope by each input element that has a part in it.
 *
 * The rule of the language's page is then one line: what is excluded is not evaluated, so it has no part. The trap is a slope that
 * is 0 in its own right; times ∞ it is NaN, and where that comes out nothing is demanded.
 */
import fc from 'fast-check';

const extents = { i: 3, j: 2, k: 3 } as const;
type Axis = keyof typeof extents;
type Point = Readonly<Record<Axis, number>>;

interface Dual {
  readonly value: number;
  readonly slopes: ReadonlyMap<string, number>;
}

/** What names stand for. */
interface Environment {
  readonly read: (tensor: string, indices: readonly number[]) => Dual;
}

interface Meaning {
  readonly text: string;
  /** Undefined is absent. */
  readonly at: (p: Point, env: Environment) => Dual | undefined;
}

export interface GuardCase {
  readonly text: string;
  readonly inputs: Readonly<Record<'x' | 'v' | 'w', readonly number[]>>;
  /** Of the output y[i, j]. */
  readonly cotangent: readonly number[];
  /** Of Σ cotangent · y by each element of each input; not finite where nothing is demanded. */
  readonly gradients: Readonly<Record<string, readonly number[]>>;
}

export const inputShapes = { x: [3], v: [3], w: [3, 2] } as const;
export const outputShape = [extents.i, extents.j] as const;

const number = (value: number): Dual => ({ value, slopes: new Map() });

/** Of what is not a number no slope is demanded. */
function chain(value: number, ...parts: readonly (readonly [Dual, number])[]): Dual {
  const slopes = new Map<string, number>();
  for (const [{ slopes: inner }, slope] of parts)
    for (const [name, s] of inner) slopes.set(name, Number.isNaN(value) ? value : (slopes.get(name) ?? 0) + s * slope);
  return { value, slopes };
}

const add = (a: Dual, b: Dual): Dual => chain(a.value + b.value, [a, 1], [b, 1]);
const multiply = (a: Dual, b: Dual): Dual => chain(a.value * b.value, [a, b.value], [b, a.value]);
const divide = (a: Dual, b: Dual): Dual =>
  chain(a.value / b.value, [a, 1 / b.value], [b, (-a.value / b.value) * (1 / b.value)]);

/** By how each is written, the operand being §a. */
const unaryFunctions: Readonly<Record<string, (x: Dual) => Dual>> = {
  'log(§a)': (x) => chain(Math.log(x.value), [x, 1 / x.value]),
  'sqrt(§a)': (x) => chain(Math.sqrt(x.value), [x, 0.5 / Math.sqrt(x.value)]),
  'rsqrt(§a)': (x) => chain(1 / Math.sqrt(x.value), [x, -0.5 / Math.sqrt(x.value) ** 3]),
  'relu(§a)': (x) => (x.value <= 0 ? number(0) : x),
  'tanh(§a)': (x) => chain(Math.tanh(x.value), [x, 1 - Math.tanh(x.value) ** 2]),
  'exp(tanh(§a))': (x) => exponential(unaryFunctions['tanh(§a)'](x)),
  'abs(§a)': (x) => chain(Math.abs(x.value), [x, Math.sign(x.value)]),
  ...Object.fromEntries(
    [-2, -1, -0.5, 0.5, 1.5, 2, 3].map((p) => [
      `(§a) ^ ${p}`,
      (x: Dual): Dual => chain(x.value ** p, [x, p * x.value ** (p - 1)]),
    ]),
  ),
};

const exponential = (x: Dual): Dual => chain(Math.exp(x.value), [x, Math.exp(x.value)]);

const binaryFunctions: Readonly<Record<string, (a: Dual, b: Dual) => Dual>> = {
  '§a + §b': add,
  '§a * §b': multiply,
  '§a / §b': divide,
  'max(§a, §b)': (a, b) => (a.value >= b.value ? a : b.value > a.value ? b : add(a, b)),
  'min(§a, §b)': (a, b) => (a.value <= b.value ? a : b.value < a.value ? b : add(a, b)),
};

/** Each takes at least one value. */
const reductions: Readonly<Record<string, (present: readonly Dual[]) => Dual>> = {
  sum: (all) => all.reduce(add),
  mean: (all) => multiply(all.reduce(add), number(1 / all.length)),
  rms: (all) => {
    const square = all.map((d) => multiply(d, d)).reduce(add);
    const root = Math.sqrt(square.value / all.length);
    return chain(root, [square, 0.5 / root / all.length]);
  },
  logsumexp: (all) => {
    const peak = Math.max(...all.map((d) => d.value));
    const whole = peak + Math.log(all.reduce((sum, d) => sum + Math.exp(d.value - peak), 0));
    const value = Number.isFinite(peak) ? whole : peak;
    return chain(value, ...all.map((d) => [d, Math.exp(d.value - value)] as const));
  },
  prod: (all) =>
    chain(
      all.reduce((whole, d) => whole * d.value, 1),
      ...all.map((d, n) => [d, all.reduce((rest, e, m) => (m === n ? rest : rest * e.value), 1)] as const),
    ),
  max: (all) => tied(all, Math.max(...all.map((d) => d.value))),
  min: (all) => tied(all, Math.min(...all.map((d) => d.value))),
};

/** Ties share the gradient. */
function tied(all: readonly Dual[], value: number): Dual {
  const best = Number.isNaN(value) ? all : all.filter((d) => d.value === value);
  return chain(value, ...best.map((d) => [d, 1 / best.length] as const));
}

function pointwise(text: string, parts: readonly Meaning[], f: (...values: readonly Dual[]) => Dual): Meaning {
  return {
    text,
    at: (p, env) => {
      const values = parts.map((part) => part.at(p, env));
      return values.includes(undefined) ? undefined : f(...(values as Dual[]));
    },
  };
}

interface Condition {
  readonly text: string;
  readonly holds: (p: Point) => boolean;
}

function conditions(axis: fc.Arbitrary<Axis>): fc.Arbitrary<Condition> {
  const two = fc.record({ p: axis, q: axis });
  return fc.oneof(
    axis.map((p) => ({ text: `${p} > 0`, holds: (at: Point) => at[p] > 0 })),
    two.map(({ p, q }) => ({ text: `${p} + ${q} < 2`, holds: (at: Point) => at[p] + at[q] < 2 })),
    two.map(({ p, q }) => ({ text: `${p} <= ${q}`, holds: (at: Point) => at[p] <= at[q] })),
    two.map(({ p, q }) => ({ text: `${p} != ${q}`, holds: (at: Point) => at[p] !== at[q] })),
  );
}

/** Expressions over some axes that may read the tensors t0, t1, … before `tensors`. */
function expressions(axes: readonly Axis[], tensors: number, depth: number): fc.Arbitrary<Meaning> {
  const axis = fc.constantFrom(...axes);
  const long = fc.constantFrom(...axes.filter((a) => a !== 'j'));
  const read = (tensor: string, indices: readonly Axis[]): Meaning => ({
    text: `${tensor}[${indices.join(', ')}]`,
    at: (p, env) =>
      env.read(
        tensor,
        indices.map((a) => p[a]),
      ),
  });
  const reads = [
    fc.record({ tensor: fc.constantFrom('x', 'v'), a: long }).map(({ tensor, a }) => read(tensor, [a])),
    long.map((a) => read('w', [a, 'j'])),
    ...(tensors === 0
      ? []
      : [fc.record({ t: fc.nat(tensors - 1), a: long }).map(({ t, a }) => read(`t${t}`, [a, 'j']))]),
  ];
  const leaf = fc.oneof(
    { weight: 6, arbitrary: fc.oneof(...reads) },
    { weight: 1, arbitrary: axis.map((a): Meaning => ({ text: a, at: (p) => number(p[a]) })) },
    { weight: 1, arbitrary: fc.constantFrom(0.5, 2).map((c): Meaning => ({ text: `${c}`, at: () => number(c) })) },
  );
  if (depth === 0) return leaf;
  const inner = expressions(axes, tensors, depth - 1);
  return fc.oneof(
    { weight: 2, arbitrary: leaf },
    {
      weight: 4,
      arbitrary: fc
        .record({ a: inner, name: fc.constantFrom(...Object.keys(unaryFunctions)) })
        .map(({ a, name }) => pointwise(name.replace('§a', a.text), [a], unaryFunctions[name])),
    },
    {
      weight: 4,
      arbitrary: fc
        .record({ a: inner, b: inner, form: fc.constantFrom(...Object.keys(binaryFunctions)) })
        .map(({ a, b, form }) =>
          pointwise(`(${form.replace('§a', a.text).replace('§b', b.text)})`, [a, b], binaryFunctions[form]),
        ),
    },
    {
      weight: 1,
      arbitrary: inner.map((a) =>
        pointwise(`max(${a.text}, 0)`, [a], (d) => binaryFunctions['max(§a, §b)'](d, number(0))),
      ),
    },
    {
      weight: 3,
      arbitrary: fc.record({ a: inner, c: conditions(axis) }).map(
        ({ a, c }): Meaning => ({
          text: `(${a.text} where ${c.text})`,
          at: (p, env) => (c.holds(p) ? a.at(p, env) : undefined),
        }),
      ),
    },
    {
      weight: 3,
      arbitrary: fc
        .record({ subject: fc.oneof(...reads), a: inner, b: leaf })
        .map(({ subject, a, b }) =>
          pointwise(`select(${subject.text} > 0, ${a.text}, ${b.text})`, [subject, a, b], (s, yes, no) =>
            s.value > 0 ? yes : no,
          ),
        ),
    },
    {
      weight: 3,
      arbitrary: fc
        .record({ bound: fc.constantFrom<Axis>('i', 'j', 'k'), name: fc.constantFrom(...Object.keys(reductions)) })
        .chain(({ bound, name }) =>
          expressions([...new Set([...axes, bound])], tensors, depth - 1).map(
            (body): Meaning => ({
              text: `${name}[${bound}](${body.text})`,
              at: (p, env) => {
                const values = Array.from({ length: extents[bound] }, (_, n) => body.at({ ...p, [bound]: n }, env));
                const present = values.filter((value) => value !== undefined);
                return present.length === 0 ? number(0) : reductions[name](present);
              },
            }),
          ),
        ),
    },
    {
      weight: 1,
      arbitrary: fc.record({ bound: axis, body: inner }).map(
        ({ bound, body }): Meaning => ({
          text: `softmax[${bound}](${body.text})`,
          at: (p, env) => {
            const values = Array.from({ length: extents[bound] }, (_, n) => body.at({ ...p, [bound]: n }, env));
            const own = values[p[bound]];
            if (own === undefined) return number(0);
            const whole = reductions.logsumexp(values.filter((value) => value !== undefined));
            return exponential(add(own, multiply(number(-1), whole)));
          },
        }),
      ),
    },
  );
}

/** Zeros and negatives among the positive, all others different. */
const inputValues = fc
  .array(fc.constantFrom(0, -1, 1.5, 0.5, 2, -0.75, 0, 3), { minLength: 12, maxLength: 12 })
  .map((values) => values.map((value, n) => value * (1 + n / 64)));

export const guardCases: fc.Arbitrary<GuardCase> = fc
  .tuple(inputValues, fc.integer({ min: 1, max: 3 }))
  .chain(([values, count]) => {
    const definitions = Array.from({ length: count }, (_, t) => expressions(['i', 'j'], t, 3));
    return fc.tuple(...definitions).map((made) => caseOf(values, made));
  });

function caseOf(values: readonly number[], definitions: readonly Meaning[]): GuardCase {
  const inputs = { x: values.slice(0, 3), v: values.slice(3, 6), w: values.slice(6) };
  const tensors: Dual[][] = [];
  const read = (tensor: string, [a, b]: readonly number[]): Dual => {
    const element = b === undefined ? a : a * extents.j + b;
    if (tensor.startsWith('t')) return tensors[Number(tensor.slice(1))][element];
    return { value: inputs[tensor as keyof typeof inputs][element], slopes: new Map([[`${tensor}${element}`, 1]]) };
  };
  const points = [0, 1, 2].flatMap((i) => [0, 1].map((j) => ({ i, j, k: 0 })));
  for (const { at } of definitions) tensors.push(points.map((p) => at(p, { read }) ?? number(0)));
  const last = definitions.length - 1;
  const equations = definitions.map(({ text }, t) => `${t === last ? 'y' : `t${t}`}[i, j] = ${text}`);
  const cotangent = points.map((_, n) => 0.5 + n / 8);
  const total = chain(0, ...tensors[last].map((d, n) => [d, cotangent[n]] as const));
  const gradients = Object.fromEntries(
    Object.entries(inputs).map(([name, data]) => [name, data.map((_, n) => total.slopes.get(`${name}${n}`) ?? 0)]),
  );
  const items = ['axis i, k: 3, j: 2 input x[i] input v[i] input w[i, j]', ...equations, 'output y'];
  return { text: `structure S {\n${items.join('\n')}\n}`, inputs, cotangent, gradients };
}
