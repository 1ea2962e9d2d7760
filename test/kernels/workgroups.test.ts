/** Whose the workgroups of a dispatch are: each body gets every number of its own once, those of stages first, then those of few workgroups. */
import { expect, test } from 'vitest';
import { choiceOfPart, type Part } from '../../kernels/workgroups.ts';

/** Which part each workgroup calls, with which number: the text as JavaScript. */
function calls(parts: readonly Part[]): string[] {
  const script = choiceOfPart(parts)
    .replaceAll(/(\d)u\b/g, '$1')
    .replaceAll(', lane', '');
  const names = parts.map(({ name }) => name);
  const run = new Function('group', ...names, script);
  const count = parts.reduce((total, { groups }) => total + groups, 0);
  return Array.from({ length: count }, (_, group) => {
    let called = '';
    run(group, ...names.map((name) => (own: number) => (called += `${name} ${own}`)));
    return called;
  });
}

test('few workgroups come first', () => {
  const parts = Object.entries({ a: 3, b: 1, c: 2, d: 1 }).map(([name, groups]) => ({ name, groups }));
  expect(calls(parts)).toEqual(['b 0', 'd 0', 'c 0', 'c 1', 'a 0', 'a 1', 'a 2']);
  expect(choiceOfPart(parts.slice(0, 2))).toMatchInlineSnapshot(`
    "if (group < 1u) {
      b(group, lane);
    } else {
      a(group - 1u, lane);
    }"
  `);
});

test('several stages come before few workgroups', () => {
  const parts = [
    { name: 'a', groups: 1 },
    { name: 'b', groups: 2, stages: 2 },
    { name: 'c', groups: 1, stages: 3 },
  ];
  expect(calls(parts)).toEqual(['c 0', 'b 0', 'b 1', 'a 0']);
});

test('brief ones come last, however few', () => {
  const parts = [
    { name: 'a', groups: 1, isBrief: true },
    { name: 'b', groups: 2 },
    { name: 'c', groups: 1, stages: 2 },
  ];
  expect(calls(parts)).toEqual(['c 0', 'b 0', 'b 1', 'a 0']);
});
