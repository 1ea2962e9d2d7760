import { describe, expect, test } from 'vitest';
import { diagnosticLimit } from '../../../compiler/semantics/report.ts';
import { analysed } from './support.ts';

const many = Array.from({ length: diagnosticLimit + 200 }, (_, i) => i);
const structure = (...lines: readonly string[]) => `axis b: 2\n  input x[b]\n  ${lines.join('\n  ')}\n  output y`;
const severities = (text: string) => analysed(text).diagnostics.map(({ severity }) => severity);

describe('more than is told', () => {
  const unread = many.map((i) => `param W${i}[b] ~ ones`);

  test('a mistake behind any number of warnings is told', () => {
    expect(severities(structure(...unread, 'y[b] = x[b]'))).toEqual(new Array(diagnosticLimit).fill('warning'));
    const { diagnostics, program } = analysed(structure(...unread, 'y[b] = x[b] + z[b]'));
    expect(program).toBeUndefined();
    expect(diagnostics.map(({ code }) => code)).toEqual(['E0401']);
  });

  test('warnings that count beside a mistake leave room for it', () => {
    const sizes = many.map((i) => `size s${i} = 1`);
    const found = severities(structure(...sizes, 'y[b] = x[b] + z[b]'));
    expect(found).toHaveLength(diagnosticLimit);
    expect(found.at(-1)).toBe('error');
  });

  test('mistakes are told up to the limit', () => {
    const found = severities(structure(...many.map((i) => `h${i}[b] = z${i}[b]`), 'y[b] = x[b]'));
    expect(found).toEqual(new Array(diagnosticLimit).fill('error'));
  });
});
