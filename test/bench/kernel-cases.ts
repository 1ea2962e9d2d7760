/**
 * The programs that the kernel families are timed on (kernels.ts): products, causal scores, row reductions, pointwise maps.
 *
 * The trap: `multiplyAdds` of a causal case counts the whole square, as others report theirs, so its rate shows what skipped
 * tiles save.
 */
import { subtract } from '../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../compiler/ir/build.ts';
import { binary, constant, product, sum, unary } from '../../compiler/ir/expression.ts';
import type { Affine, Program } from '../../compiler/ir/program.ts';

function matmul(b: number, m: number, n: number, k: number): Program {
  const equation = over({ b, m, n, k }, ({ b, m, n, k }) => ({
    store: [b, m, n],
    value: product([at('x', b, m, k), at('w', b, n, k)]),
  }));
  return program([input('x', [b, m, k]), input('w', [b, n, k]), computed('y', [b, m, n], [equation])], ['y']);
}

/** dW = dyᵀ x: both operands contiguous away from the sum. */
function weightGradient(n: number, o: number, i: number): Program {
  const equation = over({ n, o, i }, ({ n, o, i }) => ({
    store: [o, i],
    value: product([at('dy', n, o), at('x', n, i)]),
  }));
  return program([input('dy', [n, o]), input('x', [n, i]), computed('dW', [o, i], [equation])], ['dW']);
}

/** BTT scores x·k of one layer. */
function scores(b: number, h: number, t: number, c: number): Program {
  const equation = over({ b, h, t, u: t, i: c }, ({ b, h, t, u, i }) => ({
    store: [b, h, t, u],
    domain: [atLeastZero(subtract(t, u))],
    value: product([at('x', b, t, i), at('k', b, h, u, i)]),
  }));
  return program([input('x', [b, t, c]), input('k', [b, h, t, c]), computed('S', [b, h, t, t], [equation])], ['S']);
}

function attend(b: number, h: number, t: number, r: number): Program {
  const equation = over({ b, h, t, u: t, r }, ({ b, h, t, u, r }) => ({
    store: [b, t, h, r],
    domain: [atLeastZero(subtract(t, u))],
    value: product([at('A', b, h, t, u), at('v', b, u, h, r)]),
  }));
  return program([input('A', [b, h, t, t]), input('v', [b, t, h, r]), computed('o', [b, t, h, r], [equation])], ['o']);
}

function softmax(rows: number, n: number): Program {
  const lse = over({ t: rows, u: n }, ({ t, u }) => ({ store: [t], reducer: 'logsumexp', value: at('S', t, u) }));
  const weights = over({ t: rows, u: n }, ({ t, u }) => ({
    store: [t, u],
    value: unary('exp', sum([at('S', t, u), product([constant(-1), at('L', t)])])),
  }));
  return program([input('S', [rows, n]), computed('L', [rows], [lse]), computed('A', [rows, n], [weights])], ['A']);
}

function layernorm(rows: number, n: number): Program {
  const centred = (t: Affine, i: Affine) => sum([at('x', t, i), product([constant(-1), at('m', t)])]);
  const mean = over({ t: rows, i: n }, ({ t, i }) => ({
    store: [t],
    value: product([constant(1 / n), at('x', t, i)]),
  }));
  const variance = over({ t: rows, i: n }, ({ t, i }) => ({
    store: [t],
    value: product([constant(1 / n), binary('power', centred(t, i), constant(2))]),
  }));
  const normal = over({ t: rows, i: n }, ({ t, i }) => ({
    store: [t, i],
    value: product([centred(t, i), unary('rsqrt', sum([at('v', t), constant(1e-5)])), at('g', i)]),
  }));
  return program(
    [
      input('x', [rows, n]),
      input('g', [n]),
      computed('m', [rows], [mean]),
      computed('v', [rows], [variance]),
      computed('n', [rows, n], [normal]),
    ],
    ['n', 'm', 'v'],
  );
}

function columnSum(rows: number, n: number): Program {
  const equation = over({ t: rows, i: n }, ({ t, i }) => ({ store: [i], value: at('x', t, i) }));
  return program([input('x', [rows, n]), computed('s', [n], [equation])], ['s']);
}

function pointwise(n: number): Program {
  const equation = over({ i: n }, ({ i }) => ({ store: [i], value: unary('gelu', at('x', i)) }));
  return program([input('x', [n]), computed('y', [n], [equation])], ['y']);
}

/** One program that the scheduler turns into kernels of one family. */
export interface KernelCase {
  readonly name: string;
  readonly program: Program;
  /** Of a contraction without its domain; what has none is rated by the bytes that it moves. */
  readonly multiplyAdds?: number;
}

/** The shapes of the in-context models of the paper; `small` is an eighth of each, for devices on a CPU. */
export function benchCases(small: boolean): readonly KernelCase[] {
  const s = small ? 8 : 1;
  const tokens = 16384 / s;
  const cases: KernelCase[] = [
    { name: `matmul ${tokens}×256×256`, program: matmul(1, tokens, 256, 256), multiplyAdds: tokens * 256 * 256 },
    { name: `matmul ${tokens}×1024×256`, program: matmul(1, tokens, 1024, 256), multiplyAdds: tokens * 1024 * 256 },
    { name: `matmul ${tokens}×256×1024`, program: matmul(1, tokens, 256, 1024), multiplyAdds: tokens * 1024 * 256 },
    {
      name: `weight gradient ${tokens}→256×256`,
      program: weightGradient(tokens, 256, 256),
      multiplyAdds: tokens * 256 * 256,
    },
    {
      name: `weight gradient ${tokens}→1024×256`,
      program: weightGradient(tokens, 1024, 256),
      multiplyAdds: tokens * 1024 * 256,
    },
    {
      name: `scores ${64 / s}×8×256×256×256 causal`,
      program: scores(64 / s, 8, 256, 256),
      multiplyAdds: (64 / s) * 8 * 256 * 256 * 256,
    },
    {
      name: `attend ${64 / s}×8×256×256×32 causal`,
      program: attend(64 / s, 8, 256, 32),
      multiplyAdds: (64 / s) * 8 * 256 * 256 * 32,
    },
    { name: `softmax ${131072 / s}×256`, program: softmax(131072 / s, 256) },
    { name: `layernorm ${131072 / s}×256`, program: layernorm(131072 / s, 256) },
    { name: `column sum ${131072 / s}×256`, program: columnSum(131072 / s, 256) },
    { name: `gelu ${33554432 / s}`, program: pointwise(33554432 / s) },
  ];
  if (!small) {
    cases.unshift({ name: 'matmul 4096', program: matmul(1, 4096, 4096, 4096), multiplyAdds: 4096 ** 3 });
    cases.unshift({ name: 'matmul 1024', program: matmul(1, 1024, 1024, 1024), multiplyAdds: 1024 ** 3 });
  }
  return cases;
}
