/** docs/metrics.md has every field of every line, as the schemas have it; and its example is a run's. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { recordSchemas } from '../../experiments/runs/metrics.ts';
import { readPage, root } from './pages.ts';

const page = readPage('docs/metrics.md');

interface Shape {
  readonly type?: string | readonly string[];
  readonly const?: string;
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly additionalProperties?: Shape;
  readonly description?: string;
}

function typeText({ type, const: value, items, anyOf, additionalProperties }: Shape): string {
  if (value !== undefined) return `\`"${value}"\``;
  if (anyOf !== undefined) return anyOf.map(typeText).join(' or ');
  if (items !== undefined) return `list: ${typeText(items)}`;
  if (type === 'object' && additionalProperties !== undefined) return `by name: ${typeText(additionalProperties)}`;
  return [type ?? 'anything'].flat().join(' or ').replace('integer', 'whole number');
}

/** What a table says of a schema. */
function tableOf(schema: z.ZodObject): string {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' });
  const rows = Object.entries(properties).map(([name, property]) => {
    const shape = property as Shape;
    const absent = required.includes(name) ? '' : ', or absent';
    return `| \`${name}\` | ${typeText(shape)}${absent} | ${shape.description ?? ''} |`;
  });
  return ['| field | is | |', '|---|---|---|', ...rows].join('\n');
}

test('every field stands there (`vitest -u` writes the tables again)', async () => {
  const prose = page.slice(0, page.indexOf('### '));
  const tables = Object.entries(recordSchemas).map(([name, schema]) => `### ${name}\n\n${tableOf(schema)}\n`);
  await expect(prose + tables.join('\n')).toMatchFileSnapshot(join(root, 'docs/metrics.md'));
});

test('the lines that are shown are lines of metrics', () => {
  const lines = [...page.matchAll(/^\{"kind.*\}$/gm)].map(([line]) => line);
  expect(lines.length).toBeGreaterThan(2);
  for (const line of lines) expect(() => z.union(Object.values(recordSchemas)).parse(JSON.parse(line))).not.toThrow();
});
