/** Workgroups of bodies that go through the same large tensor, and of those that do not; each body gets every number of its own once. */
import { describe, expect, test } from 'vitest';
import { choiceOfPart, type Part } from '../../kernels/turns.ts';

const large = 2 ** 25;
const part = (name: string, groups: number, walks: Readonly<Record<string, number>>): Part => ({
  name,
  groups,
  walks: new Map(Object.entries(walks)),
});

/** Which part each workgroup calls, with which number: the text as JavaScript. */
function calls(parts: readonly Part[]): string[] {
  const script = choiceOfPart(parts)
    .replaceAll(/(\d)u\b/g, '$1')
    .replaceAll(/= (.*) \/ (\d+);/g, '= Math.trunc($1 / $2);')
    .replaceAll(/(\w+)\(([^()]*), lane\); \}/g, '$1($2); break; }')
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

describe('workgroups', () => {
  test('take turns where bodies of as many go through a large tensor in common', () => {
    const parts = [part('p', 2, { S: large, k: 8 }), part('q', 2, { S: large, l: 8 })];
    expect(calls(parts)).toEqual(['p 0', 'q 0', 'p 1', 'q 1']);
  });

  test('come body after body where what they share is small, or only two of three share it, or they are not as many', () => {
    const small = [part('p', 2, { S: large - 4 }), part('q', 2, { S: large - 4 })];
    expect(calls(small)).toEqual(['p 0', 'p 1', 'q 0', 'q 1']);
    expect(calls([part('p', 1, { S: large }), part('q', 2, { S: large })])).toEqual(['p 0', 'q 0', 'q 1']);
    const chain = [part('p', 2, { S: large }), part('q', 2, { S: large, T: large }), part('r', 2, { T: large })];
    expect(calls(chain)).toEqual(['p 0', 'q 0', 'p 1', 'q 1', 'r 0', 'r 1']);
  });

  test('come first where there are few of them', () => {
    const parts = [part('a', 3, {}), part('b', 1, {}), part('c', 2, {}), part('d', 1, {})];
    expect(calls(parts)).toEqual(['b 0', 'd 0', 'c 0', 'c 1', 'a 0', 'a 1', 'a 2']);
  });

  test('those between stay with theirs', () => {
    const parts = [part('a', 1, {}), part('p', 2, { S: large }), part('b', 5, { k: 8 }), part('q', 2, { S: large })];
    expect(calls(parts)).toEqual(['a 0', 'p 0', 'q 0', 'p 1', 'q 1', 'b 0', 'b 1', 'b 2', 'b 3', 'b 4']);
    expect(choiceOfPart(parts)).toMatchInlineSnapshot(`
      "if (group < 1u) {
        a(group, lane);
      } else if (group < 5u) {
        let turn = (group - 1u) / 2u;
        switch ((group - 1u) % 2u) {
          case 0u: { p(turn, lane); }
          default: { q(turn, lane); }
        }
      } else {
        b(group - 5u, lane);
      }"
    `);
  });
});
