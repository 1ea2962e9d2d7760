import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CsvMistake, readCsv } from '../../../experiments/data/csv.ts';

const read = (text: string) => [...readCsv(text)].map(({ line, cells }) => [line, ...cells]);

test.each([
  [
    'a,b\n1,2\n',
    [
      [1, 'a', 'b'],
      [2, '1', '2'],
    ],
  ],
  [
    'a,b\r\n1,2',
    [
      [1, 'a', 'b'],
      [2, '1', '2'],
    ],
  ],
  [
    'a,\n,b',
    [
      [1, 'a', ''],
      [2, '', 'b'],
    ],
  ],
  ['a,', [[1, 'a', '']]],
  [
    '\n\na\n\nb\n',
    [
      [3, 'a'],
      [5, 'b'],
    ],
  ],
  ['"a,b","say ""hi""",""\n', [[1, 'a,b', 'say "hi"', '']]],
  ['""\n', [[1, '']]],
  [
    '"two\nlines",x\n3\n',
    [
      [1, 'two\nlines', 'x'],
      [3, '3'],
    ],
  ],
  [' a , b \n', [[1, ' a ', ' b ']]],
  ['', []],
] as const)('%j', (text, records) => {
  expect(read(text)).toEqual(records);
});

test.each([
  ['x\na"b\n', 2, /a quote inside a cell/],
  ['x\n"a"b\n', 2, /text after the quote/],
  ['x\ny,"ab\nz\n', 2, /a quote that nothing closes/],
  ['"1\n2"\n"a\n', 3, /nothing closes/],
])('%j is refused at its line', (text, line, message) => {
  try {
    read(text);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(CsvMistake);
    expect((error as CsvMistake).line).toBe(line);
    expect((error as CsvMistake).message).toMatch(message);
  }
});

test('what is written is read', () => {
  const cell = fc.string({ unit: fc.constantFrom('a', '1', ',', '"', '\n', '\r', ' ', 'é') });
  const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
  fc.assert(
    fc.property(
      fc.array(fc.array(cell, { minLength: 2, maxLength: 4 })),
      lineEnd,
      fc.boolean(),
      (rows, end, isEnded) => {
        const line = (cells: readonly string[]) =>
          cells.map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(',');
        const text = rows.map(line).join(end) + (isEnded ? end : '');
        expect([...readCsv(text)].map(({ cells }) => cells)).toEqual(rows);
      },
    ),
  );
});

test('a long cell', () => {
  const long = 'x""'.repeat(2 ** 20);
  expect(read(`"${long}",b\n`)[0]?.[1]).toHaveLength(2 ** 21);
});
