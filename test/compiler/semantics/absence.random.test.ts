// Random expressions with domains, reductions, softmaxes and contractions: what the tensor program computes is what a
// plain evaluation of the expression gives, where absent is a value like another and every rule of the page is one
// line.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nested, run } from './support.ts';

const extents = { i: 3, j: 2, k: 2, m: 2 } as const;
type Axis = keyof typeof extents;
type Point = Readonly<Partial<Record<Axis, number>>>;

const x = { i: [0.5, -1, 2], j: [1.5, -0.5], k: [1, -2], m: [0.75, -1.25] } as const;
const w = [
  [1, -1, 0.5],
  [2, 0.25, -0.75],
  [-1.5, 1, 3],
];

/** An expression as text and as its meaning; `undefined` is absent. */
interface Meaning {
  readonly text: string;
  readonly at: (p: Point) => number | undefined;
}

interface Condition {
  readonly text: string;
  readonly holds: (p: Point) => boolean;
}

const index = (p: Point, axis: Axis): number => p[axis] as number;
/**
 * The axis of a contraction gets a name of its own when the contraction is written, since an axis is summed once a
 * term.
 */
const name = (axis: Axis): string => (axis === 'm' ? '§' : axis);

function pointwise(text: string, parts: readonly Meaning[], f: (...values: number[]) => number): Meaning {
  return {
    text,
    at: (p) => {
      const values = parts.map((part) => part.at(p));
      return values.includes(undefined) ? undefined : f(...(values as number[]));
    },
  };
}

function present(body: Meaning, axis: Axis, p: Point): number[] {
  const values = Array.from({ length: extents[axis] }, (_, n) => body.at({ ...p, [axis]: n }));
  return values.filter((v) => v !== undefined);
}

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]): number => total(values) / values.length;
const lse = (values: readonly number[]): number => Math.log(total(values.map(Math.exp)));

const reductions: Readonly<Record<string, (values: readonly number[]) => number>> = {
  sum: total,
  mean,
  max: (values) => Math.max(...values),
  min: (values) => Math.min(...values),
  var: (values) => mean(values.map((v) => (v - mean(values)) ** 2)),
  rms: (values) => Math.sqrt(mean(values.map((v) => v * v))),
  logsumexp: lse,
};

function conditions(scope: readonly Axis[]): fc.Arbitrary<Condition> {
  const axis = fc.constantFrom(...scope);
  return fc.oneof(
    fc.record({ p: axis, q: axis }).map(({ p, q }) => ({
      text: `${name(p)} <= ${name(q)}`,
      holds: (at: Point) => index(at, p) <= index(at, q),
    })),
    fc.record({ p: axis, q: axis, c: fc.integer({ min: 0, max: 3 }) }).map(({ p, q, c }) => ({
      text: `${name(p)} + 2*${name(q)} != ${c}`,
      holds: (at: Point) => index(at, p) + 2 * index(at, q) !== c,
    })),
    fc.record({ p: axis, c: fc.integer({ min: -1, max: 3 }) }).map(({ p, c }) => ({
      text: `${name(p)} > ${c} - 1`,
      holds: (at: Point) => index(at, p) > c - 1,
    })),
    fc.record({ p: axis, q: axis, c: fc.integer({ min: 0, max: 2 }) }).map(({ p, q, c }) => ({
      text: `${name(p)} == ${c} and ${name(q)} < 2`,
      holds: (at: Point) => index(at, p) === c && index(at, q) < 2,
    })),
  );
}

function expressions(scope: readonly Axis[], depth: number): fc.Arbitrary<Meaning> {
  const axis = fc.constantFrom(...scope);
  const leaves: fc.Arbitrary<Meaning>[] = [
    axis.map((a) => ({ text: `x${a}[${name(a)}]`, at: (p) => x[a][index(p, a)] })),
    fc.record({ a: axis, b: axis }).map(({ a, b }) => ({
      text: `w[${name(a)}, ${name(b)}]`,
      at: (p: Point) => w[index(p, a)][index(p, b)],
    })),
    axis.map((a) => ({ text: name(a), at: (p) => index(p, a) })),
    fc.constantFrom(-2, 0.5, 1, 3).map((c) => ({ text: `${c}`, at: () => c })),
  ];
  if (depth === 0) return fc.oneof(...leaves);
  const inner = expressions(scope, depth - 1);
  const bound = (a: Axis): readonly Axis[] => (scope.includes(a) ? scope : [...scope, a]);
  const any = fc.constantFrom<Axis>('i', 'j', 'k');
  return fc.oneof(
    { maxDepth: 3 },
    ...leaves,
    fc.record({ a: inner, b: inner }).map(({ a, b }) => pointwise(`(${a.text} + ${b.text})`, [a, b], (p, q) => p + q)),
    fc.record({ a: inner, b: inner }).map(({ a, b }) => pointwise(`(${a.text} - ${b.text})`, [a, b], (p, q) => p - q)),
    fc.record({ a: inner, b: inner }).map(({ a, b }) => pointwise(`(${a.text} * ${b.text})`, [a, b], (p, q) => p * q)),
    fc.record({ a: inner, b: inner }).map(({ a, b }) => pointwise(`max(${a.text}, ${b.text})`, [a, b], Math.max)),
    inner.map((a) => pointwise(`tanh(${a.text})`, [a], Math.tanh)),
    fc.record({ a: inner, c: conditions(scope) }).map(({ a, c }) => ({
      text: `(${a.text} where ${c.text})`,
      at: (p: Point) => (c.holds(p) ? a.at(p) : undefined),
    })),
    fc.record({ a: inner, b: inner, c: conditions(scope) }).map(({ a, b, c }) => ({
      text: `select(${c.text}, ${a.text}, ${b.text})`,
      at: (p: Point) => {
        const [yes, no] = [a.at(p), b.at(p)];
        return yes === undefined || no === undefined ? undefined : c.holds(p) ? yes : no;
      },
    })),
    fc.record({ a: any, reduction: fc.constantFrom(...Object.keys(reductions)) }).chain(({ a, reduction }) =>
      expressions(bound(a), depth - 1).map((body) => ({
        text: `${reduction}[${a}](tanh(${body.text}))`,
        at: (p: Point) => {
          const values = present(body, a, p).map(Math.tanh);
          return values.length === 0 ? 0 : reductions[reduction](values);
        },
      })),
    ),
    axis.chain((a) =>
      inner.map((body) => ({
        text: `softmax[${name(a)}](tanh(${body.text}))`,
        at: (p: Point) => {
          const own = body.at(p);
          return own === undefined ? 0 : Math.exp(Math.tanh(own) - lse(present(body, a, p).map(Math.tanh)));
        },
      })),
    ),
    // An Einstein sum, kept by itself by the function around it; where a product inside it could be taken for a sum of
    // its own, the sum is written out.
    scope.includes('m')
      ? inner
      : fc.record({ body: expressions(bound('m'), depth - 1), id: fc.nat(99_999) }).map(({ body, id }) => {
          const product = `xm[§] * (${body.text} where § <= 1)`;
          const written = body.text.includes(' * ') ? `sum[§](${product})` : product;
          const text = `tanh(${written})`.replaceAll('§', `m${id}`);
          const term = pointwise('', [{ text: '', at: (p) => x.m[index(p, 'm')] }, body], (u, v) => u * v);
          return { text, at: (p: Point) => Math.tanh(total(present(term, 'm', p))) };
        }),
  );
}

test('absence, reductions and contractions', () => {
  const items = 'axis i: 3, j, k: 2, m: 2 axis a, b: 3 input xi[i] input xj[j] input xk[k] input xm[m] input w[a, b]';
  const inputs = { xi: x.i, xj: x.j, xk: x.k, xm: x.m, w };
  const property = fc.property(expressions(['i', 'j'], 4), (e) => {
    const sums = [...new Set(e.text.match(/m\d+/g) ?? [])].map((m) => `axis ${m}: 2`).join(' ');
    const y = nested(run(`${items} ${sums} y[i, j] = ${e.text} output y`, inputs).y) as number[][];
    for (let i = 0; i < 3; i++)
      for (let j = 0; j < 2; j++) {
        const expected = e.at({ i, j }) ?? 0;
        expect(Math.abs(y[i][j] - expected)).toBeLessThanOrEqual(1e-9 * (1 + Math.abs(expected)));
      }
  });
  fc.assert(property, { numRuns: Number(process.env.RUNS ?? 400), seed: 20250711 });
});
