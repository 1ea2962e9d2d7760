/**
 * What the kernel families reach on the device present: GFLOP/s for contractions, GB/s for the others.
 *
 *   node dist/test/bench/kernels.js [--device NAME] [--small]
 *
 * Times are medians of the device's own timestamps over `repeats` runs after a warm-up (an idle GPU runs at a fraction of its
 * clock). One JSON object a line on standard output.
 */
import { subtract } from '../../compiler/ir/affine.ts';
import { at, atLeastZero, computed, input, over, program } from '../../compiler/ir/build.ts';
import { binary, constant, product, sum, unary } from '../../compiler/ir/expression.ts';
import { elementCount, type Program } from '../../compiler/ir/program.ts';
import { schedule } from '../../compiler/schedule/schedule.ts';
import type { ContractionTuning } from '../../kernels/contraction.ts';
import type { TuningOverride } from '../../kernels/emit.ts';
import { type OpenedDevice, openDevice } from '../../runtime/device.ts';
import { createExecutor } from '../../runtime/executor.ts';

/** An idle H100 runs at 345 MHz; after so long under load it is at its full clock. */
const warmUpMs = 1300;
const repeats = 15;

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
  const centred = (t: Parameters<typeof at>[1], i: Parameters<typeof at>[1]) =>
    sum([at('x', t, i), product([constant(-1), at('m', t)])]);
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

interface Case {
  readonly name: string;
  readonly program: Program;
  readonly multiplyAdds?: number;
}

export function benchCases(small: boolean): readonly Case[] {
  const s = small ? 8 : 1;
  const tokens = 16384 / s;
  const cases: Case[] = [
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

async function time(opened: OpenedDevice, c: Case, override?: TuningOverride): Promise<Record<string, unknown>> {
  const plan = schedule(c.program, { target: opened.target, ...(override ? { override } : {}) });
  const executor = await createExecutor(opened, plan);
  try {
    for (const t of c.program.tensors) {
      if (t.source.kind !== 'input') continue;
      executor.upload(
        t.name,
        Float32Array.from({ length: elementCount(t.shape) }, (_, i) => Math.sin(i * 12.9898) * 2),
      );
    }
    const begun = performance.now();
    do {
      executor.run();
      await executor.finish();
    } while (performance.now() - begun < (opened.class === 'gpu' ? warmUpMs : 0));
    const times: number[] = [];
    for (let i = 0; i < (opened.class === 'gpu' ? repeats : 3); i++) {
      times.push((await executor.profile()).reduce((total, k) => total + k.timeUs, 0));
    }
    const timeUs = times.sort((a, b) => a - b)[times.length >> 1]!;
    const bytes = plan.kernels.reduce((n, k) => n + k.bytes, 0);
    const rates = c.multiplyAdds
      ? { gflops: Math.round((2 * c.multiplyAdds) / timeUs / 1e3) }
      : { gbytesPerS: Math.round(bytes / timeUs / 1e3) };
    return {
      case: c.name,
      timeUs: Math.round(timeUs),
      ...rates,
      kernels: plan.kernels.map((k) => `${k.family} ${Object.values(k.tuning).join('/')}`),
    };
  } finally {
    executor.destroy();
  }
}

/** What `--tune` tries for each contraction. */
const tunings: readonly ContractionTuning[] = [
  [128, 128, 8, 8, 8],
  [128, 128, 16, 8, 8],
  [128, 64, 8, 8, 8],
  [128, 64, 16, 8, 4],
  [64, 64, 16, 8, 4],
  [64, 64, 16, 4, 4],
  [64, 64, 8, 8, 8],
  [32, 32, 16, 4, 4],
  [128, 32, 16, 8, 4],
].map(([tileM, tileN, tileK, rows, columns]) => ({
  form: 'tiled',
  tileM: tileM!,
  tileN: tileN!,
  tileK: tileK!,
  rows: rows!,
  columns: columns!,
}));

const argv = process.argv.slice(2);
const named = argv.indexOf('--device');
const opened = await openDevice(named >= 0 ? { name: argv[named + 1]! } : {});
console.log(
  JSON.stringify({
    device: opened.name,
    date: new Date().toISOString().slice(0, 10),
    command: `kernels.js ${argv.join(' ')}`,
  }),
);
const only = argv.indexOf('--only');
for (const c of benchCases(argv.includes('--small'))) {
  if (only >= 0 && !c.name.includes(argv[only + 1]!)) continue;
  console.log(JSON.stringify(await time(opened, c)));
  if (!argv.includes('--tune') || !c.multiplyAdds) continue;
  for (const contraction of tunings) {
    const { timeUs, gflops } = await time(opened, c, { contraction });
    console.log(JSON.stringify({ tuning: Object.values(contraction).join('/'), timeUs, gflops }));
  }
}
opened.destroy();
