/** Tables in the ETT form: what is read, and the line and reason of everything that is not. */
import { describe, expect, test } from 'vitest';
import { onlyColumns, parseSeriesTable, readDate, type TableSettings } from '../../../experiments/data/series-table.ts';

const parse = (text: string, settings?: TableSettings) => parseSeriesTable('ETT.csv', text, settings);
const hour = (n: number) => `2016-07-01 ${String(n).padStart(2, '0')}:00:00`;
const table = (...rows: string[]) => ['date,A,OT', ...rows].join('\n');

test('a table', () => {
  const { name, columns, rows, values, place } = parse(
    table(`${hour(0)},1.5,-2`, `${hour(1)},3e-1,+.5`, `${hour(2)}, 4 ,0`),
  );
  expect({ name, columns, rows, values: [...values] }).toEqual({
    name: 'ETT',
    columns: ['A', 'OT'],
    rows: 3,
    values: [1.5, -2, 0.3, 0.5, 4, 0],
  });
  expect(place(2)).toBe('line 4');
});

test('some of its columns, whatever the others hold', () => {
  const text = table(`${hour(0)},x,1`, `${hour(1)},,2`);
  expect([...parse(text, { columns: ['OT'] }).values]).toEqual([1, 2]);
  const whole = parse(table(`${hour(0)},1,2`, `${hour(1)},3,4`));
  expect([...onlyColumns(whole, ['OT', 'A']).values]).toEqual([2, 1, 4, 3]);
  expect(() => onlyColumns(whole, ['0T'])).toThrow("no column of numbers '0T'; did you mean OT?");
  expect(() => onlyColumns(whole, ['A', 'A'])).toThrow('names A twice');
});

describe('times', () => {
  test.each([
    ['2016-07-01 01:00:00', 1],
    ['2016-07-01T01:00', 1],
    ['2016/7/1 1:00', 1],
    ['2016-07-02', 24],
    ['2016-07-01 00:30:00Z', 0.5],
  ])('%s', (text, hours) => {
    expect(readDate(text)).toBe(Date.UTC(2016, 6, 1) + hours * 3_600_000);
  });

  test.each(['01.07.2016', '2016-13-01', '2016-02-30', '2016-07-01 24:00', 'yesterday', ''])('%j is none', (text) => {
    expect(readDate(text)).toBeUndefined();
  });

  test('any even step will do, of seconds or days; one row has none', () => {
    expect(parse('date,a\n2020-02-28,1\n2020-02-29,2\n2020-03-01,3\n').rows).toBe(3);
    expect(parse('date,a\n2020-01-01 00:00:15,1\n2020-01-01 00:00:30,2\n').rows).toBe(2);
    expect(parse('date,a\n2020-01-01,1\n').rows).toBe(1);
  });

  test('what is odd is told, and not whatever comes after it', () => {
    const at = (...hours: number[]) => table(...hours.map((n) => `${hour(n)},1,2`));
    expect(() => parse(at(0, 1, 2, 4, 5))).toThrow(
      'ETT.csv:5: 2016-07-01 04:00:00 comes 2 hours after 2016-07-01 02:00:00, and other rows 1 hour apart, so 1 row is missing; fill the gap, or --ignore_dates takes the rows as they stand',
    );
    expect(() => parse(at(0, 4, 5, 6, 7))).toThrow(/^ETT\.csv:3: .*so 3 rows are missing/);
    expect(() => parse(at(0, 1, 1, 2))).toThrow('ETT.csv:4: 2016-07-01 01:00:00 comes twice');
    expect(() => parse(at(0, 1, 2, 1, 3))).toThrow('ETT.csv:5: 2016-07-01 01:00:00 comes after 2016-07-01 02:00:00');
    expect(parse(at(0, 1, 2, 4, 5), { ignoresDates: true }).rows).toBe(5);
    expect(parse(table('Monday,1,2', 'Thursday,3,4'), { ignoresDates: true }).rows).toBe(2);
  });
});

test.each([
  ['', /^ETT\.csv: is empty/],
  ['date,A\n', /has a header and no rows/],
  ['date\n2020-01-01\n', /^ETT\.csv:1: one column/],
  ['date;A\n2020-01-01;1\n', /parted by commas, not by ;$/],
  [`${hour(0)},1,2\n${hour(1)},3,4\n`, /^ETT\.csv:1: 1 as the name of a column; the first line is the header/],
  ['date,A,A\n', /^ETT\.csv:1: two columns are called 'A'/],
  [table(`${hour(0)},1,2`, `${hour(1)},1`), /^ETT\.csv:3: 2 cells, and the header has 3/],
  [table(`${hour(0)},1,2`, '', `${hour(1)},1,2,3`), /^ETT\.csv:4: 4 cells, and the header has 3/],
  [table(`${hour(0)},1,2`, `${hour(1)},abc,2`), /^ETT\.csv:3: A is 'abc', which is no number/],
  [table(`${hour(0)},1,2`, `${hour(1)},1, `), /^ETT\.csv:3: OT is empty; every time needs a number/],
  [table(`${hour(0)},1,NaN`), /OT is 'NaN'/],
  [table(`${hour(0)},0x10,2`), /A is '0x10'/],
  [table(`${hour(0)},1e999,2`), /A is '1e999'/],
  [table('Monday,1,2'), /^ETT\.csv:2: date is 'Monday', and a date such as .* --ignore_dates/],
  [table(`${hour(0)},"1,2`), /^ETT\.csv:2: a quote that nothing closes/],
])('%j', (text, message) => {
  expect(() => parse(text)).toThrow(message);
});
