/** Elements outside a domain that nobody reads are not stored, and those that somebody reads are. Workspaces begin as NaN (run-on-device.ts). */
import { describe, expect, test } from 'vitest';
import { subtract } from '../../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { binary, negate, product, sum, unary } from '../../../compiler/ir/expression.ts';
import type { Affine, Program, Tensor } from '../../../compiler/ir/program.ts';
import type { ContractionTuning } from '../../../kernels/families/contraction/tuning.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { compare } from '../../support/run-on-device.ts';

const opened = await testDevice();
const [h, t, i] = [2, 36, 20];
const causal = (a: { readonly t: Affine; readonly u: Affine }) => [atLeastZero(subtract(a.t, a.u))];

/** S[h, t, u] = Σ_i q · k, A its softmax, where t >= u; `more` reads them. */
function attention(...more: readonly Tensor[]): Program {
  const S = computed(
    'S',
    [h, t, t],
    [
      over({ h, t, u: t, i }, (a) => ({
        store: [a.h, a.t, a.u],
        domain: causal(a),
        value: product([at('q', a.h, a.t, a.i), at('k', a.h, a.u, a.i)]),
      })),
    ],
  );
  const points = { h, t, u: t };
  const largest = over(points, (a) => ({
    store: [a.h, a.t],
    domain: causal(a),
    reducer: 'max',
    value: at('S', a.h, a.t, a.u),
  }));
  const total = over(points, (a) => ({
    store: [a.h, a.t],
    domain: causal(a),
    value: unary('exp', sum([at('S', a.h, a.t, a.u), negate(at('most', a.h, a.t))])),
  }));
  const A = over(points, (a) => ({
    store: [a.h, a.t, a.u],
    domain: causal(a),
    value: binary(
      'divide',
      unary('exp', sum([at('S', a.h, a.t, a.u), negate(at('most', a.h, a.t))])),
      at('total', a.h, a.t),
    ),
  }));
  return program(
    [
      input('q', [h, t, i]),
      input('k', [h, t, i]),
      input('v', [h, t, i]),
      S,
      computed('most', [h, t], [largest]),
      computed('total', [h, t], [total]),
      computed('A', [h, t, t], [A]),
      ...more,
    ],
    more.map(({ name }) => name),
  );
}

/** y[h, t, i] = Σ_u A · v. */
const weighted = computed(
  'y',
  [h, t, i],
  [
    over({ h, t, u: t, i }, (a) => ({
      store: [a.h, a.t, a.i],
      domain: causal(a),
      value: product([at('A', a.h, a.t, a.u), at('v', a.h, a.u, a.i)]),
    })),
  ],
);

/** z[h, t] = Σ_u exp(A), of all u: of those after t it is 1. */
const exponentials = computed(
  'z',
  [h, t],
  [over({ h, t, u: t }, (a) => ({ store: [a.h, a.t], value: unary('exp', at('A', a.h, a.t, a.u)) }))],
);

/** z[h, t, u] = S · Σ_i q · v, where t >= u. */
const scaled = computed(
  'z',
  [h, t, t],
  [
    over({ h, t, u: t, i }, (a) => ({
      store: [a.h, a.t, a.u],
      domain: causal(a),
      value: product([at('S', a.h, a.t, a.u), at('q', a.h, a.t, a.i), at('v', a.h, a.u, a.i)]),
    })),
  ],
);

/** waved[h, t, u] = sin(Σ_i q · v), where t >= u; y sums it. */
const unwaved = computed(
  'unwaved',
  [h, t, t],
  [
    over({ h, t, u: t, i }, (a) => ({
      store: [a.h, a.t, a.u],
      domain: causal(a),
      value: product([at('q', a.h, a.t, a.i), at('v', a.h, a.u, a.i)]),
    })),
  ],
);
const waved = computed(
  'waved',
  [h, t, t],
  [
    over({ h, t, u: t }, (a) => ({
      store: [a.h, a.t, a.u],
      domain: causal(a),
      value: unary('sin', at('unwaved', a.h, a.t, a.u)),
    })),
  ],
);
const wavedSums = computed(
  'y',
  [h, t, i],
  [
    over({ h, t, u: t, i }, (a) => ({
      store: [a.h, a.t, a.i],
      domain: causal(a),
      value: product([at('waved', a.h, a.t, a.u), at('k', a.h, a.u, a.i)]),
    })),
  ],
);

const tilings: readonly ContractionTuning[] = [
  { form: 'tiled', tileM: 16, tileN: 16, tileK: 4, rows: 4, columns: 4 },
  { form: 'direct', tileM: 8, tileN: 8, tileK: 1, rows: 4, columns: 4 },
];

describe.each(tilings)('$form', (contraction) => {
  const target = { ...opened.target, class: contraction.form === 'tiled' ? ('gpu' as const) : ('cpu' as const) };
  const options = { target, contractAll: true, streaming: 'never' as const, combine: false, override: { contraction } };
  async function codeOf(p: Program, name: string): Promise<string> {
    const { worst, plan } = await compare(opened, p, feed(p), options);
    expect(worst).toBeLessThan(2e-6);
    return plan.kernels.find(({ makes }) => makes.includes(name))!.wgsl;
  }
  const skipsTiles = 'return; } // the whole tile is outside the domain';

  test('scores and weights that are read within their domain alone', async () => {
    const p = attention(weighted);
    expect(await codeOf(p, 'S')).toContain(skipsTiles);
    expect(await codeOf(p, 'A')).toMatch(/if \((live && )?\w+ >= u\w*\) \{\s+A\w*\[/);
  });

  test('what is made of finished scores within their domain', async () => {
    const code = await codeOf({ ...attention(unwaved, waved, wavedSums), outputs: ['y'] }, 'waved');
    expect(code).toContain('contraction: form');
    expect(code).toContain(skipsTiles);
    expect(await codeOf({ ...attention(unwaved, waved, wavedSums), outputs: ['waved', 'y'] }, 'waved')).not.toContain(
      skipsTiles,
    );
  });

  test('weights that are read elsewhere', async () => {
    const p = attention(exponentials);
    expect(await codeOf(p, 'S')).toContain(skipsTiles);
    expect(await codeOf(p, 'A')).not.toMatch(/if \((live && )?\w+ >= u\w*\) \{\s+A\w*\[/);
  });

  test('scores that are an output', async () => {
    expect(await codeOf({ ...attention(weighted), outputs: ['y', 'S'] }, 'S')).not.toContain(skipsTiles);
  });

  test('scores that a contraction reads under a condition on its output', async () => {
    expect(await codeOf(attention(scaled), 'S')).not.toContain(skipsTiles);
  });
});
