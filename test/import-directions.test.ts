/**
 * Holds the table of design.md §2: which folder may import which. compiler/ and kernels/ import no Node module either, their
 * command files (compiler/mlbtcc.ts, compiler/commands/) aside, so that the same compiler runs in a web page.
 *
 * Only the types of source positions and diagnostics are shared upwards: the tensor program says where each node was written.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What a kernel is and asks of a device: the grammar of `kernels/`, for all of its folders. */
const kernelGrammar = ['kernels/kernel.ts', 'kernels/statements.ts', 'kernels/target.ts'];
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'compiler/syntax': [],
  'compiler/ir': [],
  'compiler/semantics': ['compiler/syntax', 'compiler/ir'],
  'compiler/passes': ['compiler/ir'],
  'compiler/schedule': ['compiler/ir', 'compiler/passes', 'kernels'],
  'compiler/analysis': ['compiler/ir'],
  'kernels/wgsl': ['compiler/ir', ...kernelGrammar],
  'kernels/parts': ['compiler/ir', 'kernels/wgsl', ...kernelGrammar],
  'kernels/families/contraction': ['compiler/ir', 'kernels/parts', 'kernels/wgsl', ...kernelGrammar],
  'kernels/families/stream': ['compiler/ir', 'kernels/parts', 'kernels/wgsl', ...kernelGrammar],
  'kernels/families': ['compiler/ir', 'kernels/parts', 'kernels/wgsl', ...kernelGrammar],
  kernels: ['compiler/ir'],
  compiler: ['compiler', 'kernels'],
  runtime: ['compiler', 'kernels'],
  experiments: ['compiler', 'kernels', 'runtime'],
};
const typesForAll = 'compiler/syntax/diagnostic.ts';
const commandFiles = /^compiler\/(mlbtcc\.ts|commands\/|command-line\/)/;
/** What every command of the project does alike: exit statuses, atomic files, amounts in words. */
const forCommands = ['runtime/plan-checks.ts'];
const importPattern = /^\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm;

/** The longest folder of the table that holds a path. */
function folderOf(path: string): string {
  const known = Object.keys(mayImport).filter((folder) => path.startsWith(`${folder}/`));
  return known.sort((a, b) => b.length - a.length)[0];
}

function violations(path: string): string[] {
  const folder = folderOf(path);
  const isCommand = commandFiles.test(path);
  const isPure = !isCommand && /^(compiler|kernels)\//.test(path);
  return [...readFileSync(join(root, path), 'utf8').matchAll(importPattern)].flatMap(([, isType, named, dynamic]) => {
    const specifier = named ?? dynamic;
    if (!specifier.startsWith('.')) {
      const isNode = specifier.startsWith('node:') || specifier === 'webgpu';
      return isPure && isNode ? [`${path} imports ${specifier}`] : [];
    }
    const target = relative(root, resolve(root, dirname(path), specifier));
    if (isType !== undefined && target === typesForAll) return [];
    if (isCommand && forCommands.includes(target)) return [];
    const allowed = [folder, ...mayImport[folder]];
    return allowed.some((place) => target === place || target.startsWith(`${place}/`))
      ? []
      : [`${path} imports ${target}`];
  });
}

test.each(['compiler', 'kernels', 'runtime', 'experiments'])('%s imports only what it may', (folder) => {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  const sources = files.filter((name) => name.endsWith('.ts')).map((name) => join(folder, name));
  expect(sources.flatMap(violations)).toEqual([]);
});

test('the test itself sees a wrong import', () => {
  expect(folderOf('compiler/ir/print.ts')).toBe('compiler/ir');
  expect(folderOf('compiler/mlbtcc.ts')).toBe('compiler');
  expect(violations('runtime/device.ts')).toEqual([]);
  const imports = readFileSync(join(root, 'runtime/device.ts'), 'utf8').matchAll(importPattern);
  expect([...imports].map(([, , named, dynamic]) => named ?? dynamic)).toContain('webgpu');
});
