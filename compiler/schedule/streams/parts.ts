/**
 * A tensor of which only a part is a result of one kernel becomes the sum of its parts: `y = Σ_u A·v + x`, or the cotangent of what is
 * read both as rows and along the walk.
 */
import { equationsOf, pointwise } from '../../ir/equation.ts';
import { loadAxes } from '../../ir/expression.ts';
import type { Axis, Equation, Program, Tensor } from '../../ir/program.ts';
import { freshName } from '../../passes/names.ts';
import type { Result, Space } from './space.ts';

export function partResults(
  program: Program,
  spaces: readonly Space[],
): { program: Program; spaces: readonly Space[] } {
  const taken = new Set(program.tensors.map((t) => t.name));
  const counts = new Map<string, number>();
  for (const { results } of spaces)
    for (const { tensor } of results) counts.set(tensor.name, (counts.get(tensor.name) ?? 0) + 1);
  const made = new Map<string, { readonly parts: Tensor[]; readonly moved: Set<Equation> }>();
  const changed = spaces.map(
    (space): Space => ({
      ...space,
      results: space.results.map((result): Result => {
        const { tensor, given } = result;
        if (counts.get(tensor.name) === 1 && given.length === equationsOf(tensor).length) return result;
        const name = freshName(`${tensor.name}~stream`, taken);
        const part: Tensor = { ...tensor, name, source: { kind: 'computed', equations: given } };
        const known = made.get(tensor.name) ?? { parts: [], moved: new Set() };
        made.set(tensor.name, known);
        known.parts.push(part);
        for (const equation of given) known.moved.add(equation);
        return { ...result, tensor: part };
      }),
    }),
  );
  if (made.size === 0) return { program, spaces };
  const tensors = program.tensors.flatMap((tensor): Tensor[] => {
    const known = made.get(tensor.name);
    if (known === undefined) return [tensor];
    const axes = tensor.shape.map((extent, d): Axis => ({ name: `o${d}`, extent }));
    const all = [...axes.keys()];
    const sums = known.parts.map((part) => pointwise(axes, loadAxes(part.name, all)));
    const rest = equationsOf(tensor).filter((e) => !known.moved.has(e));
    return [...known.parts, { ...tensor, source: { kind: 'computed', equations: [...rest, ...sums] } }];
  });
  return { program: { ...program, tensors }, spaces: changed };
}
