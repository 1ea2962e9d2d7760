/** Random syntax trees such as the parser gives: parentheses only where `paren` says so, operators nested as they bind. */
import fc from 'fast-check';
import type {
  Expression,
  FunctionItem,
  Identifier,
  ImportItem,
  InitClause,
  Item,
  Member,
  Reference,
  SlotFallback,
  SlotTensor,
  SourceFile,
  Structure,
} from '../../../compiler/syntax/ast.ts';

const span = { file: '', start: 0, end: 0 };

const identifier: fc.Arbitrary<Identifier> = fc
  .constantFrom('a', 'B', 'i', 'W', 'αβ', 'x1', 'z_2', 'normal', 'f32', 'inner', '𝔘', 'e5')
  .map((text) => ({ text, span }));
const axes = fc.array(identifier, { minLength: 1, maxLength: 3 });
const plainText = fc.stringMatching(/^[a-zé/ ]{0,12}$/);
const docLine = fc.stringMatching(/^[a-zé/ ]{0,12}$/).map((line) => line.trimEnd());
const doc = fc.option(
  fc.array(docLine, { minLength: 1, maxLength: 2 }).map((lines) => lines.join('\n')),
  { nil: undefined, freq: 3 },
);

function reference(depth: number): fc.Arbitrary<Reference> {
  const member: fc.Arbitrary<Member> = fc.oneof(
    fc.nat(12).map((value): Member => ({ kind: 'integer', value, span })),
    identifier.map((name): Member => ({ kind: 'name', name, span })),
    ...(depth > 0 ? [expression(depth - 1).map((value): Member => ({ kind: 'expression', value, span }))] : []),
  );
  return fc
    .record({
      name: identifier,
      members: fc.oneof({ arbitrary: fc.constant([]), weight: 3 }, fc.array(member, { maxLength: 2 })),
    })
    .map(({ name, members }) => ({ name, members, span }));
}

function index(depth: number): fc.Arbitrary<Expression> {
  const group = fc.array(identifier, { minLength: 2, maxLength: 4 });
  return fc.oneof(
    expression(depth),
    group.map((names): Expression => ({ kind: 'group', axes: names, span })),
  );
}

function atom(depth: number): fc.Arbitrary<Expression> {
  const leaves: fc.Arbitrary<Expression>[] = [
    fc
      .constantFrom('0', '3', '10', '1.5', '1e-5', '2E+3', '0.25e2')
      .map((text): Expression => ({ kind: 'number', value: Number(text), text, span })),
    reference(depth - 1).map((ref): Expression => ({ kind: 'name', reference: ref, span })),
  ];
  if (depth <= 0) return fc.oneof(...leaves);
  const inner = expression(depth - 1);
  return fc.oneof(
    ...leaves,
    fc
      .record({ r: reference(depth - 1), indices: fc.array(index(depth - 1), { minLength: 1, maxLength: 3 }) })
      .map(({ r, indices }): Expression => ({ kind: 'read', reference: r, indices, span })),
    fc
      .record({
        callee: identifier,
        names: fc.option(axes, { nil: undefined }),
        every: fc.boolean(),
        given: fc.array(inner, { maxLength: 3 }),
      })
      .map(
        ({ callee, names, every, given }): Expression => ({
          kind: 'call',
          callee,
          axes: every ? undefined : names,
          every,
          arguments: given,
          span,
        }),
      ),
    inner.map((e): Expression => ({ kind: 'paren', inner: e, span })),
    fc.array(inner, { maxLength: 3 }).map((elements): Expression => ({ kind: 'list', elements, span })),
  );
}

function unary(depth: number): fc.Arbitrary<Expression> {
  if (depth <= 0) return atom(depth);
  return fc.oneof(
    { arbitrary: atom(depth), weight: 4 },
    unary(depth - 1).map((operand): Expression => ({ kind: 'negate', operand, span })),
    fc
      .tuple(atom(depth - 1), unary(depth - 1))
      .map(([base, exponent]): Expression => ({ kind: 'power', base, exponent, span })),
  );
}

function product(depth: number): fc.Arbitrary<Expression> {
  const factor = unary(depth - 1);
  const more = fc.record({ operator: fc.constantFrom('*' as const, '/' as const, '%' as const), value: factor });
  return fc
    .tuple(factor, fc.array(more, { minLength: 1, maxLength: 3 }))
    .map(([value, rest]): Expression => ({ kind: 'product', factors: [{ operator: '*', value }, ...rest], span }));
}

function sum(depth: number): fc.Arbitrary<Expression> {
  const term = fc.oneof(unary(depth - 1), product(depth - 1));
  const more = fc.record({ operator: fc.constantFrom('+' as const, '-' as const), value: term });
  return fc
    .tuple(term, fc.array(more, { minLength: 1, maxLength: 4 }))
    .map(([value, rest]): Expression => ({ kind: 'sum', terms: [{ operator: '+', value }, ...rest], span }));
}

function arithmetic(depth: number): fc.Arbitrary<Expression> {
  return fc.oneof(unary(depth), product(depth), sum(depth));
}

function condition(depth: number): fc.Arbitrary<Expression> {
  const operator = fc.constantFrom(
    '<' as const,
    '<=' as const,
    '>' as const,
    '>=' as const,
    '==' as const,
    '!=' as const,
  );
  const compare = fc
    .tuple(arithmetic(depth - 1), operator, arithmetic(depth - 1))
    .map(([left, op, right]): Expression => ({ kind: 'compare', operator: op, left, right, span }));
  const and = fc
    .array(compare, { minLength: 2, maxLength: 3 })
    .map((operands): Expression => ({ kind: 'and', operands, span }));
  return fc.oneof(compare, and);
}

export function expression(depth: number): fc.Arbitrary<Expression> {
  if (depth <= 0) return atom(0);
  const where = fc
    .tuple(arithmetic(depth - 1), condition(depth - 1))
    .map(([value, c]): Expression => ({ kind: 'where', value, condition: c, span }));
  return fc.oneof({ arbitrary: arithmetic(depth), weight: 4 }, condition(depth), where);
}

const init: fc.Arbitrary<InitClause> = fc.oneof(
  fc.constantFrom<InitClause>({ kind: 'ones', span }, { kind: 'zeros', fanIn: undefined, span }),
  axes.map((names): InitClause => ({ kind: 'zeros', fanIn: names, span })),
  expression(1).map((std): InitClause => ({ kind: 'normal-std', std, span })),
  expression(1).map((value): InitClause => ({ kind: 'constant', value, span })),
  axes.map((names): InitClause => ({ kind: 'normal-fan-in', axes: names, span })),
);

const dtype = fc.constantFrom('f32' as const, 'f16' as const, 'i32' as const);
const slotTensor: fc.Arbitrary<SlotTensor> = fc
  .record({ name: identifier, axes: fc.option(axes, { nil: undefined }), dtype })
  .map((r) => ({ ...r, span }));
const slotFallback: fc.Arbitrary<SlotFallback> = fc.oneof(
  plainText.map((path): SlotFallback => ({ kind: 'file', path, span })),
  identifier.map((name): SlotFallback => ({ kind: 'structure', name, span })),
);
const slot: fc.Arbitrary<Item> = fc
  .record({
    name: identifier,
    inputs: fc.array(slotTensor, { maxLength: 2 }),
    outputs: fc.array(
      fc
        .tuple(slotTensor, fc.option(identifier, { nil: undefined }))
        .map(([tensor, otherwise]) => ({ ...tensor, otherwise })),
      { minLength: 1, maxLength: 2 },
    ),
    fallback: fc.option(slotFallback, { nil: undefined }),
    doc,
  })
  .map((r): Item => ({ kind: 'slot', ...r, span }));

function item(depth: number): fc.Arbitrary<Item> {
  const value = expression(3);
  const optionalAxes = fc.option(axes, { nil: undefined });
  const binding = fc.oneof(
    fc.record({ names: axes, value }).map((b) => ({ ...b, tuple: true, span })),
    fc
      .record({ name: identifier, value: fc.option(value, { nil: undefined }) })
      .map((b) => ({ names: [b.name], tuple: false, value: b.value, span })),
  );
  const leaves: fc.Arbitrary<Item>[] = [
    fc
      .record({ bindings: fc.array(binding, { minLength: 1, maxLength: 3 }), doc })
      .map((r): Item => ({ kind: 'size', ...r, span })),
    fc.record({ condition: condition(2), text: plainText }).map((r): Item => ({ kind: 'check', ...r, span })),
    fc
      .array(
        fc.record({ names: axes, extent: value }).map((g) => ({ ...g, span })),
        { minLength: 1, maxLength: 3 },
      )
      .map((groups): Item => ({ kind: 'axis', groups, span })),
    fc
      .record({
        name: identifier,
        axes: optionalAxes,
        dtype,
        doc,
      })
      .map((r): Item => ({ kind: 'input', ...r, span })),
    fc
      .record({ name: identifier, axes: optionalAxes, init, fixed: fc.boolean(), doc })
      .map((r): Item => ({ kind: 'param', ...r, span })),
    fc.record({ name: identifier, value, doc }).map((r): Item => ({ kind: 'const', ...r, span })),
    slot,
    fc
      .record({
        target: reference(2),
        indices: fc.option(fc.array(index(2), { minLength: 1, maxLength: 3 }), { nil: undefined }),
        dtype: fc.option(fc.constantFrom('f32' as const, 'i32' as const), { nil: undefined }),
        operator: fc.constantFrom('=' as const, '+=' as const),
        value,
        doc,
      })
      .map((r): Item => ({ kind: 'equation', ...r, span })),
    fc
      .record({
        structure: identifier,
        bindings: fc.array(
          fc.record({ name: identifier, value }).map((b) => ({ ...b, span })),
          { maxLength: 3 },
        ),
        alias: identifier,
      })
      .map((r): Item => ({ kind: 'use', ...r, span })),
    fc
      .record({ references: fc.array(reference(2), { minLength: 1, maxLength: 3 }), doc })
      .map((r): Item => ({ kind: 'output', ...r, span })),
  ];
  if (depth <= 0) return fc.oneof(...leaves);
  const body = fc.array(item(depth - 1), { maxLength: 3 });
  return fc.oneof(
    ...leaves,
    fc
      .record({ variable: identifier, from: arithmetic(1), to: arithmetic(2), items: body })
      .map((r): Item => ({ kind: 'level', ...r, span })),
    fc
      .record({ condition: condition(2), branch: body, otherwise: fc.option(body, { nil: undefined }) })
      // biome-ignore lint/suspicious/noThenProperty: it is the tree's, and never awaited
      .map(({ branch, ...r }): Item => ({ kind: 'if', ...r, then: branch, span })),
  );
}

const structure: fc.Arbitrary<Structure> = fc
  .record({ name: identifier, items: fc.array(item(2), { maxLength: 6 }), doc })
  .map((r) => ({ kind: 'structure', ...r, span }));
const functionItem: fc.Arbitrary<FunctionItem> = fc
  .record({
    name: identifier,
    axes: fc.option(axes, { nil: undefined }),
    parameters: fc.array(identifier, { maxLength: 3 }),
    body: expression(3),
    doc,
  })
  .map((r) => ({ kind: 'function', ...r, span }));
const importItem: fc.Arbitrary<ImportItem> = plainText.map((path) => ({ kind: 'import', path, pathSpan: span, span }));

/** A file with at least one structure or function, as if it had no text: no comments but documentation. */
export const sourceFile: fc.Arbitrary<SourceFile> = fc
  .tuple(
    fc.array(fc.oneof(importItem, functionItem, structure), { maxLength: 3 }),
    fc.oneof(functionItem, structure),
    fc.array(fc.oneof(importItem, functionItem, structure), { maxLength: 1 }),
  )
  .map(([before, one, after]) => {
    const items = [...before, one, ...after];
    return {
      file: 'test.mlbtc',
      text: '',
      imports: items.filter((i): i is ImportItem => i.kind === 'import'),
      functions: items.filter((i): i is FunctionItem => i.kind === 'function'),
      structures: items.filter((i): i is Structure => i.kind === 'structure'),
      items,
      comments: [],
    };
  });
