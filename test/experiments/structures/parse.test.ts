import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { format } from '../../../compiler/syntax/format.ts';
import { parse } from '../../../compiler/syntax/parser.ts';
import { renderDiagnostics } from '../../../compiler/syntax/render.ts';
import { experimentsFolder } from '../../../experiments/library.ts';

const files = ['structures', 'models'].flatMap((folder) =>
  readdirSync(join(experimentsFolder, folder))
    .filter((name) => name.endsWith('.mlbtc'))
    .map((name) => join(experimentsFolder, folder, name)),
);

describe('library files', () => {
  test.each(files)('%s parses and is laid out', (file) => {
    const source = { file, text: readFileSync(file, 'utf8') };
    const { diagnostics, file: tree } = parse(source);
    expect(renderDiagnostics(diagnostics, [source])).toBe('');
    expect(format(tree)).toBe(source.text);
  });
});
