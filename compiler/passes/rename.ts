/** Changes in every equation of a program and in every place where a tensor is named. */
import { isAffine } from '../ir/affine.ts';
import { type Rewrite, rewriteConstraint, rewriteExpression, rewriteIndex } from '../ir/expression.ts';
import { mapSame } from '../ir/lists.ts';
import type { Equation, Program, Tensor } from '../ir/program.ts';

/** Outputs and the `next` of updates: tensors that keep their names and must stay. */
export function pinnedTensors(program: Program): ReadonlySet<string> {
  return new Set([...program.outputs, ...program.updates.map((update) => update.next)]);
}

/** And those that lie in memory because another lies in them: bases of views, parts of a concat. */
export function heldTensors(program: Program): ReadonlySet<string> {
  const held = new Set(pinnedTensors(program));
  for (const { source } of program.tensors) {
    if (source.kind === 'view') held.add(source.base);
    if (source.kind === 'concat') for (const part of source.parts) held.add(part.tensor);
  }
  return held;
}

/** Each equation replaced by others; a tensor, and the program, stay the same object where nothing changes. */
export function mapEquations(
  program: Program,
  change: (equation: Equation, tensor: Tensor) => readonly Equation[],
): Program {
  const tensors = mapSame(program.tensors, (tensor): Tensor => {
    if (tensor.source.kind !== 'computed') return tensor;
    const before = tensor.source.equations;
    const after = before.flatMap((equation) => change(equation, tensor));
    const same = after.length === before.length && after.every((equation, i) => equation === before[i]);
    return same ? tensor : { ...tensor, source: { kind: 'computed', equations: after } };
  });
  return tensors === program.tensors ? program : { ...program, tensors };
}

/** The equation with other names for the tensors that it reads, and with loads rewritten. */
export function rewriteEquation(equation: Equation, rewrite: Pick<Rewrite, 'load' | 'gather' | 'tensor'>): Equation {
  return {
    ...equation,
    domain: mapSame(equation.domain, (c) => (isAffine(c) ? c : rewriteConstraint(c, rewrite))),
    store: equation.store.map((index) => rewriteIndex(index, rewrite)),
    value: rewriteExpression(equation.value, rewrite),
  };
}

/** The tensor with other names for those it reads, and with loads rewritten. */
export function rewriteTensor(
  tensor: Tensor,
  rewrite: Pick<Rewrite, 'load'> & { tensor: (name: string) => string },
): Tensor {
  const { source } = tensor;
  switch (source.kind) {
    case 'input':
    case 'param':
      return tensor;
    case 'computed':
      return {
        ...tensor,
        source: {
          kind: 'computed',
          equations: source.equations.map((equation) => rewriteEquation(equation, rewrite)),
        },
      };
    case 'view':
      return { ...tensor, source: { ...source, base: rewrite.tensor(source.base) } };
    case 'concat':
      return {
        ...tensor,
        source: {
          ...source,
          parts: source.parts.map((part) => ({ ...part, tensor: rewrite.tensor(part.tensor) })),
        },
      };
    default:
      return source satisfies never;
  }
}
