/**
 * Tensors that are computed in the same way are computed once.
 *
 *   q~1[b, r] sum= W[r, i] * x[b, i]          one tensor, under the name of the first,
 *   k~1[n, s] sum= x[n, j] * W[s, j]     →    or of the first that is an output
 *
 * A second output of the same value stays, as a copy of the first.
 *
 * The trap: whether two tensors are equal depends on which of their operands already are, so the tensors are met in program order
 * and compared in terms of the first of each class.
 */
import { axisIndex } from '../../ir/affine.ts';
import { dependencies, pointwise } from '../../ir/equation.ts';
import { loadAxes } from '../../ir/expression.ts';
import type { Program, Tensor } from '../../ir/program.ts';
import { remembered } from '../../ir/remembered.ts';
import { canonicalEquation } from '../canonical.ts';
import { pinnedTensors, rewriteTensor } from '../rename.ts';

export function mergeEqual(program: Program): Program {
  const pinned = pinnedTensors(program);
  const leaderOf = new Map<string, string>();
  const leaderByKey = new Map<string, string>();
  const nameOfLeader = new Map<string, string>();
  const led = program.tensors.map((tensor) => {
    const isTouched = leaderOf.size > 0 && dependencies(tensor).some((name) => leaderOf.has(name));
    const touched = isTouched ? rewriteTensor(tensor, { tensor: (name) => leaderOf.get(name) ?? name }) : tensor;
    const key = keyOf(touched);
    const leader = key === undefined ? undefined : leaderByKey.get(key);
    if (key !== undefined && leader === undefined) {
      leaderByKey.set(key, tensor.name);
      if (pinned.has(tensor.name)) nameOfLeader.set(tensor.name, tensor.name);
    }
    if (leader !== undefined) {
      leaderOf.set(tensor.name, leader);
      if (pinned.has(tensor.name) && !nameOfLeader.has(leader)) nameOfLeader.set(leader, tensor.name);
    }
    return touched;
  });
  if (leaderOf.size === 0) return program;
  const finalName = (name: string): string => nameOfLeader.get(name) ?? name;
  const tensors = led.flatMap((tensor): Tensor[] => {
    const leader = leaderOf.get(tensor.name);
    if (leader === undefined) {
      const isRenamed = nameOfLeader.has(tensor.name) || dependencies(tensor).some((name) => nameOfLeader.has(name));
      return [isRenamed ? { ...rewriteTensor(tensor, { tensor: finalName }), name: finalName(tensor.name) } : tensor];
    }
    return pinned.has(tensor.name) && finalName(leader) !== tensor.name ? [copyOf(tensor, finalName(leader))] : [];
  });
  return { ...program, tensors };
}

function copyOf(tensor: Tensor, source: string): Tensor {
  const axes = tensor.shape.map((extent, d) => ({ name: `i${d}`, extent }));
  const indices = axes.map((_, axis) => axis);
  const equation = { ...pointwise(axes, loadAxes(source, indices)), store: indices.map(axisIndex) };
  return { ...tensor, source: { kind: 'computed', equations: [equation] } };
}

const keys = new WeakMap<Tensor, string>();

/** Undefined for what is given from outside. */
function keyOf(tensor: Tensor): string | undefined {
  const { kind } = tensor.source;
  return kind === 'input' || kind === 'param' ? undefined : remembered(keys, tensor, makingOf);
}

function makingOf({ dtype, shape, source }: Tensor): string {
  const head = `${dtype} ${shape.join('x')} ${source.kind}`;
  switch (source.kind) {
    case 'input':
    case 'param':
      return head;
    case 'computed':
      return `${head} ${source.equations.map(canonicalEquation).sort().join(' ; ')}`;
    case 'view':
      return `${head} '${source.base}' ${source.offset}`;
    case 'concat':
      return `${head} ${source.parts.map((part) => `'${part.tensor}' ${part.offset}`).join()}`;
    default:
      return source satisfies never;
  }
}
