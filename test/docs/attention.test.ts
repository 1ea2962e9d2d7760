/**
 * docs/attention.md shows what the compiler prints: the commands of the page are run, and the lines of each block of `text` or `wgsl`
 * begin lines of one thing that they print or write, in that order.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mlbtcc } from '../support/command-line.ts';
import { blocksOf, readPage } from './pages.ts';

const name = 'docs/attention.md';
const page = readPage(name);
const [layer, levels] = blocksOf(name).map(({ text }) => text);
const commands = [...page.matchAll(/^npx mlbtcc (build .*)$/gm)].map(([, command]) => command.split(' '));
const target = /^echo '(.*)' > twelve\.json$/m.exec(page)![1];
const shown = [...page.matchAll(/^```(text|wgsl)\n([\s\S]*?)^```$/gm)].map(([, kind, text]) => ({ kind, text }));

const folder = mkdtempSync(join(tmpdir(), 'mlbtc-attention-'));
/** Whole texts: what each build printed, and the files that it wrote. */
const made = new Map<string, string>();

async function build(label: string, [command, ...args]: readonly string[]): Promise<void> {
  const out = join(folder, `out ${label}`);
  const inFolder = args
    .filter((arg, i) => arg !== '-o' && args[i - 1] !== '-o')
    .map((arg) => (/\.(mlbtc|json)$/.test(arg) ? join(folder, arg) : arg));
  const result = await mlbtcc([command, ...inFolder, '-o', out]);
  expect({ code: result.code, err: result.err }).toEqual({ code: 0, err: '' });
  made.set(label, result.out);
  for (const file of readdirSync(out)) made.set(`${label}: ${file}`, readFileSync(join(out, file), 'utf8'));
}

beforeAll(async () => {
  writeFileSync(join(folder, 'layer.mlbtc'), layer);
  writeFileSync(join(folder, 'levels.mlbtc'), levels);
  writeFileSync(join(folder, 'twelve.json'), target);
  for (const [i, command] of commands.entries()) await build(`command ${i}`, command);
  const ofLevels = ['build', 'levels.mlbtc', '-s', 'B=16', '--target', 'twelve.json', '--print-after', 'schedule'];
  await build('levels', ofLevels);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The first line that begins no line after those before; undefined where all do. */
function firstMissing(lines: readonly string[], text: string): string | undefined {
  const printed = text.split('\n').map((line) => line.trim());
  let from = 0;
  return lines.find((line) => {
    const at = printed.findIndex((other, i) => i >= from && other.startsWith(line));
    from = at + 1;
    return at < 0;
  });
}

describe('what the page shows is what comes out', () => {
  test.each(shown.map(({ kind, text }) => [text.slice(0, 60).split('\n')[0], kind, text] as const))(
    '%s',
    (_, kind, text) => {
      const lines = text.trimEnd().split('\n');
      const candidates = [...made].filter(([label]) => label.endsWith('.wgsl') === (kind === 'wgsl'));
      const missing = candidates.map(([label, whole]) => `${label} lacks: ${firstMissing(lines, whole) ?? ''}`);
      expect(missing.filter((line) => line.endsWith('lacks: ')).length, missing.join('\n')).toBeGreaterThan(0);
    },
  );
});

test('nothing of T × T lies in memory, with twelve buffers or with eight', () => {
  const scores = ['A~sum', 'A', 'cot~A', 'cot~A~sum'];
  const stored = (label: string): readonly string[] => {
    const written = [...made.get(label)!.matchAll(/^ +writes (.*) in /gm)].flatMap(([, names]) => names.split(', '));
    return scores.filter((score) => written.includes(score));
  };
  expect([stored('command 0'), stored('command 1')]).toEqual([[], []]);
});
