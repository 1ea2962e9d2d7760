// Loss against multiply-adds of the tiny language model with its linear maps dense, of low rank, BTT, Monarch and MLR: trains each of
// them, three seeds, and writes docs/maps-study.md. One command, from the root of the repository:
//
//   node docs/maps-study.mjs [OPTIONS of `mlbtc train lm`]      for example --device gpu --max_iters=1200
//
// Runs that are there already in runs/maps-study are taken as they are, so that an interrupted study goes on.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cli = join(root, 'dist/experiments/mlbtc.js');
const seeds = [0, 1, 2];
const model = [
  '--preset',
  'tiny',
  '--token_mixing_struct',
  'low_rank',
  '--sample_tokens',
  '0',
  '--eval_interval',
  '100000',
];
/** All six maps at once. Without further words a map is dense. */
const maps = {
  dense: [],
  'low rank 4': ['--slot', 'linear=low_rank', '-s', 'linear.rank=4'],
  'low rank 16': ['--slot', 'linear=low_rank', '-s', 'linear.rank=16'],
  monarch: ['--slot', 'linear=monarch'],
  'BTT rank 1': ['--slot', 'linear=btt', '-s', 'linear.s=1'],
  'BTT rank 2': ['--slot', 'linear=btt', '-s', 'linear.s=2'],
  'MLR 4|4|4': ['--slot', 'linear=mlr', '-s', 'linear.ranks=[4,4,4]'],
  'MLR 8|8|8': ['--slot', 'linear=mlr', '-s', 'linear.ranks=[8,8,8]'],
};
const further = process.argv.slice(2);

const mlbtc = (...words) =>
  execFileSync(process.execPath, [cli, ...words], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });

function lossOf(name, words, seed) {
  const folder = join('runs/maps-study', `${name.replace(/[^\w]+/g, '-')}-${seed}`);
  const metrics = join(root, folder, 'metrics.jsonl');
  const evaluations = () =>
    existsSync(metrics)
      ? readFileSync(metrics, 'utf8')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
          .filter(({ kind }) => kind === 'evaluation')
      : [];
  if (evaluations().length === 0)
    mlbtc('train', 'lm', ...model, ...words, ...further, '--seed', String(seed), '--out_dir', folder);
  return evaluations().at(-1).loss;
}

const rows = Object.entries(maps).map(([name, words]) => {
  const { flopsPerToken, bytes } = JSON.parse(mlbtc('train', 'lm', ...model, ...words, '--dry_run', '--json'));
  const losses = seeds.map((seed) => lossOf(name, words, seed));
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  const row = { name, multiplyAdds: flopsPerToken.actual, params: bytes.params / 4, mean, losses };
  process.stderr.write(`${name}: ${Math.round(row.multiplyAdds)} multiply-adds a token, loss ${mean.toFixed(3)}\n`);
  return row;
});

const table = rows.map(
  ({ name, multiplyAdds, params, mean, losses }) =>
    `| ${name.replaceAll('|', '\\|')} | ${Math.round(multiplyAdds).toLocaleString('en')} | ${params.toLocaleString('en')} | ${mean.toFixed(3)} | ${losses.map((loss) => loss.toFixed(3)).join(', ')} |`,
);
writeFileSync(
  join(root, 'docs/maps-study.md'),
  `# Structured maps in the tiny language model

Queries, keys, values, the attention's output and both maps of the MLP with the same structure; the score is low rank. Held-out loss in
nats a character at the end of training, of ${seeds.length} seeds, beside multiply-adds of a forward pass a token (scores and read-out included).
Made by \`node docs/maps-study.mjs${further.length === 0 ? '' : ` ${further.join(' ')}`}\`.

| maps | multiply-adds | params | loss | of each seed |
|---|---|---|---|---|
${table.join('\n')}
`,
);
