/** README's table of what a structured map costs at D = 768 is what `explain` says. */
import { expect, test } from 'vitest';
import { structurePath } from '../../experiments/library.ts';
import { mlbtcc } from '../support/command-line.ts';
import { readPage } from './pages.ts';

const rows = [...readPage('README.md').matchAll(/^\| `(\w+)`([^|]*) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) % \|$/gm)];

test('there are all kinds of maps', () => {
  const names = rows.map(([, name]) => name);
  expect(names).toEqual(expect.arrayContaining(['dense', 'low_rank', 'monarch', 'btt', 'mlr', 'mlbtc']));
});

test.each(rows.map((row) => [row[1], row] as const))('%s', async (name, [, , sizes, params, multiplyAdds, percent]) => {
  // Every size that a structure of the library calls its columns or rows by, as far as it has it.
  const shape = { dense: ['I=768', 'O=768'], tensor_train: ['I=768', 'O=768'] }[name] ?? ['D=768', 'O=768'];
  const given = [
    ...shape,
    ...sizes
      .trim()
      .split(/\s+/)
      .filter((size) => size !== ''),
    vectors(name),
  ];
  const { code, out, err } = await mlbtcc([
    'explain',
    structurePath(name),
    ...given.flatMap((size) => ['-s', size]),
    '--json',
  ]);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  const report = JSON.parse(out);
  expect(report.params).toBe(Number(params.replaceAll(',', '')));
  expect(report.multiplyAdds).toBe(Number(multiplyAdds.replaceAll(',', '')));
  expect(Number(((100 * report.multiplyAdds) / report.denseMultiplyAdds).toPrecision(percent === '100' ? 3 : 2))).toBe(
    Number(percent),
  );
});

function vectors(name: string): string {
  return ['dense', 'low_rank', 'mlr'].includes(name) ? 'B=1' : 'N=1';
}
