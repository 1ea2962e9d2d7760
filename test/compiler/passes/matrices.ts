/** The matrix structures of the library as the semantics lower them, written by hand: y[n, i] = W[i, j] x[n, j]. */
import { add, affine, axisIndex, scale } from '../../../compiler/ir/affine.ts';
import { at, computed, input, over, param, program } from '../../../compiler/ir/build.ts';
import { binary, constant, divide, load, product, sum, unary } from '../../../compiler/ir/expression.ts';
import type { Affine, Equation, Expression, Program, Tensor } from '../../../compiler/ir/program.ts';

/** (a, b) = split(D) of the language. */
export function split(D: number): readonly [number, number] {
  for (let b = Math.floor(Math.sqrt(D)) + 1; b <= D; b++) if (D % b === 0) return [D / b, b];
  return [1, 1];
}

/** Row-major group of axes given with their extents: `(k p q)`. */
export function group(...digits: readonly (readonly [Affine, number])[]): Affine {
  return digits.reduce((all, [axis, extent]) => add(scale(all, extent), axis), affine(0));
}

/** y = W x for a W that is given by tensors. */
export function matrixProgram(rows: number, columns: number, n: number, tensors: readonly Tensor[]): Program {
  const y = over({ n, i: rows, j: columns }, ({ n, i, j }) => ({
    store: [n, i],
    value: product([at('W', i, j), at('x', n, j)]),
  }));
  return program([input('x', [n, columns]), ...tensors, computed('y', [n, rows], [y])], ['y']);
}

export function dense(D: number, n: number): Program {
  return matrixProgram(D, D, n, [param('W', [D, D])]);
}

export function lowRank(D: number, rank: number, n: number): Program {
  const W = over({ i: D, j: D, r: rank }, ({ i, j, r }) => ({
    store: [i, j],
    value: product([at('L', i, r), at('R', j, r)]),
  }));
  return matrixProgram(D, D, n, [param('L', [D, rank]), param('R', [D, rank]), computed('W', [D, D], [W])]);
}

export function kronecker(a: number, b: number, c: number, d: number, n: number): Program {
  const W = over({ α: a, β: b, γ: c, δ: d }, ({ α, β, γ, δ }) => ({
    store: [group([α, a], [β, b]), group([γ, c], [δ, d])],
    value: product([at('P', α, γ), at('Q', β, δ)]),
  }));
  return matrixProgram(a * b, c * d, n, [param('P', [a, c]), param('Q', [b, d]), computed('W', [a * b, c * d], [W])]);
}

export function btt(D: number, s: number, n: number): Program {
  const [a, b] = split(D);
  const W = over({ α: a, β: b, γ: a, δ: b, σ: s }, ({ α, β, γ, δ, σ }) => ({
    store: [group([α, a], [β, b]), group([γ, a], [δ, b])],
    value: product([at('L', β, α, γ, σ), at('R', γ, δ, β, σ)]),
  }));
  return matrixProgram(D, D, n, [param('L', [b, a, a, s]), param('R', [a, b, b, s]), computed('W', [D, D], [W])]);
}

export function mlr(D: number, ranks: readonly number[], n: number): Program {
  const params = ranks.flatMap((rank, l) => {
    const k = 2 ** l;
    return [param(`U.${l}`, [k, D / k, rank]), param(`V.${l}`, [k, D / k, rank])];
  });
  const levels = ranks.map((rank, l) => {
    const m = D / 2 ** l;
    return over({ k: 2 ** l, p: m, q: m, r: rank }, ({ k, p, q, r }) => ({
      store: [group([k, 1], [p, m]), group([k, 1], [q, m])],
      value: product([at(`U.${l}`, k, p, r), at(`V.${l}`, k, q, r)]),
    }));
  });
  return matrixProgram(D, D, n, [...params, computed('W', [D, D], levels)]);
}

export function mlbtc(
  D: number,
  outer: readonly number[],
  inner: readonly number[],
  ranks: readonly number[],
  n: number,
): Program {
  const params: Tensor[] = [];
  const levels: Equation[] = ranks.map((rank, l) => {
    const [o, g, m] = [outer[l], inner[l], D / (outer[l] * inner[l])];
    params.push(param(`L.${l}`, [o, g, m, g, rank]), param(`R.${l}`, [o, g, m, g, rank]));
    return over({ π: o, β: g, γ: g, α: m, δ: m, σ: rank }, ({ π, β, γ, α, δ, σ }) => ({
      store: [group([π, o], [α, m], [β, g]), group([π, o], [γ, g], [δ, m])],
      value: product([at(`L.${l}`, π, β, α, γ, σ), at(`R.${l}`, π, γ, δ, β, σ)]),
    }));
  });
  return matrixProgram(D, D, n, [...params, computed('W', [D, D], levels)]);
}

/** Tensor-Train with any number of cores. */
export function tensorTrain(cores: number, m: number, rank: number, n: number): Program {
  const D = m ** cores;
  const extents: Record<string, number> = {};
  for (let c = 0; c < cores; c++) {
    extents[`i${c}`] = m;
    extents[`j${c}`] = m;
    if (c > 0) extents[`r${c}`] = rank;
  }
  const bonds = (c: number): string[] => [...(c > 0 ? [`r${c}`] : []), ...(c < cores - 1 ? [`r${c + 1}`] : [])];
  const params = Array.from({ length: cores }, (_, c) => param(`G${c}`, [m, m, ...bonds(c).map(() => rank)]));
  const W = over(extents, (axes) => ({
    store: ['i', 'j'].map((side) =>
      group(...Array.from({ length: cores }, (_, c): [Affine, number] => [axes[`${side}${c}`], m])),
    ),
    value: product(
      params.map((core, c) => at(core.name, axes[`i${c}`], axes[`j${c}`], ...bonds(c).map((r) => axes[r]))),
    ),
  }));
  return matrixProgram(D, D, n, [...params, computed('W', [D, D], [W])]);
}

export function butterfly(depth: number, n: number): Program {
  const D = 2 ** depth;
  const copy = over({ n, j: D }, ({ n, j }) => ({ store: [n, j], value: at('x', n, j) }));
  const tensors: Tensor[] = [input('x', [n, D]), computed('z.0', [n, D], [copy])];
  for (let l = 0; l < depth; l++) {
    const o = 2 ** l;
    const p = 2 ** (depth - 1 - l);
    tensors.push(param(`F.${l}`, [o, 2, 2, p]));
    const mixed = over({ n, o, e: 2, f: 2, p }, ({ n, o, e, f, p: q }) => ({
      store: [n, group([o, 1], [e, 2], [q, p])],
      value: product([at(`F.${l}`, o, e, f, q), at(`z.${l}`, n, group([o, 1], [f, 2], [q, p]))]),
    }));
    tensors.push(computed(`z.${l + 1}`, [n, D], [mixed]));
  }
  const y = over({ n, j: D }, ({ n, j }) => ({ store: [n, j], value: at(`z.${depth}`, n, j) }));
  return program([...tensors, computed('y', [n, D], [y])], ['y']);
}

/** W / max(1, ρ / σ) with ρ the root of the mean square, as the library's `rms_clip` lowers. */
export function rmsClip(
  name: string,
  shape: readonly number[],
  dIn: number,
  dOut: number,
): { rho: Tensor; clip: Expression } {
  const axes = shape.map((extent, d) => ({ name: `w${d}`, extent }));
  const count = shape.reduce((all, extent) => all * extent, 1);
  const element = load(
    name,
    axes.map((_, d) => axisIndex(d)),
  );
  const square: Equation = {
    axes,
    domain: [],
    store: [],
    reducer: 'sum',
    value: product([constant(1 / count), binary('power', element, constant(2))]),
  };
  const sigma = Math.sqrt(Math.min(dIn, dOut)) / dIn;
  const root = unary('sqrt', sum([load(`${name}~ms`, []), constant(1e-8)]));
  return {
    rho: computed(`${name}~ms`, [], [square]),
    clip: binary('maximum', constant(1), divide(root, constant(sigma))),
  };
}

/** Scores of bilinear BTT: S[n,h,t,u] = x · layernorm(clip(L) clip(R) x) / √D. */
export function bilinearBtt(D: number, H: number, s: number, N: number, T: number): Program {
  const [a, b] = split(D);
  const left = rmsClip('L', [H, b, a, a, s], a * s, a);
  const right = rmsClip('R', [a, b, H, b, s], b, H * b * s);
  const k = over({ n: N, h: H, u: T, α: a, β: b, γ: a, δ: b, σ: s }, ({ n, h, u, α, β, γ, δ, σ }) => ({
    store: [n, h, u, group([α, a], [β, b])],
    value: product([
      divide(at('L', h, β, α, γ, σ), left.clip),
      divide(at('R', γ, δ, h, β, σ), right.clip),
      at('x', n, u, group([γ, a], [δ, b])),
    ]),
  }));
  const mean = over({ n: N, h: H, u: T, i: D }, ({ n, h, u, i }) => ({
    store: [n, h, u],
    value: product([constant(1 / D), at('k', n, h, u, i)]),
  }));
  const variance = over({ n: N, h: H, u: T, i: D }, ({ n, h, u, i }) => ({
    store: [n, h, u],
    value: product([
      constant(1 / D),
      binary('power', sum([at('k', n, h, u, i), product([constant(-1), at('k~mean', n, h, u)])]), constant(2)),
    ]),
  }));
  const S = over({ n: N, h: H, t: T, u: T, i: D }, ({ n, h, t, u, i }) => ({
    store: [n, h, t, u],
    value: product([
      constant(1 / Math.sqrt(D)),
      at('x', n, t, i),
      divide(
        sum([at('k', n, h, u, i), product([constant(-1), at('k~mean', n, h, u)])]),
        unary('sqrt', sum([at('k~var', n, h, u), constant(1e-5)])),
      ),
      at('g', i),
    ]),
  }));
  return program(
    [
      input('x', [N, T, D]),
      param('L', [H, b, a, a, s]),
      param('R', [a, b, H, b, s]),
      param('g', [D]),
      left.rho,
      right.rho,
      computed('k', [N, H, T, D], [k]),
      computed('k~mean', [N, H, T], [mean]),
      computed('k~var', [N, H, T], [variance]),
      computed('S', [N, H, T, T], [S]),
    ],
    ['S'],
  );
}
