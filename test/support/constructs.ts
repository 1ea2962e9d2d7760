/** What a program is made of, for tables of hits: a random run that never met a construct has not tested it. */
import { asAxis } from '../../compiler/ir/affine.ts';
import { equationsOf, reducedAxes } from '../../compiler/ir/equation.ts';
import { children } from '../../compiler/ir/expression.ts';
import type { Equation, Expression, Program } from '../../compiler/ir/program.ts';

export function constructsOf(program: Program): ReadonlySet<string> {
  const found = new Set<string>();
  for (const tensor of program.tensors) {
    found.add(`tensor ${tensor.source.kind}`);
    if (tensor.shape.length === 0) found.add('shape scalar');
    if (tensor.shape.includes(1)) found.add('shape of size 1');
    const equations = equationsOf(tensor);
    if (equations.length > 1) found.add('several equations');
    for (const equation of equations) addEquation(equation, found);
  }
  return found;
}

function addEquation(equation: Equation, found: Set<string>): void {
  found.add(`reducer ${equation.reducer}`);
  if (reducedAxes(equation).length > 0) found.add('axis reduced');
  for (const c of equation.domain) found.add(`domain ${c.kind}`);
  const seen = new Map<number, number>();
  for (const index of equation.store) {
    if (index.kind === 'gather') {
      found.add('store gather');
      continue;
    }
    if (asAxis(index) === undefined)
      found.add(
        index.terms.length === 0
          ? 'store constant'
          : index.terms.length > 1
            ? 'store group'
            : 'store strided or offset',
      );
    for (const { axis } of index.terms) seen.set(axis, (seen.get(axis) ?? 0) + 1);
  }
  const repeated = [...seen.values()].some((times) => times > 1);
  if (repeated)
    found.add(
      equation.store.some((i) => i.kind === 'affine' && i.terms.length > 1) ? 'store block diagonal' : 'store diagonal',
    );
  addExpression(equation.value, found);
}

function addExpression(e: Expression, found: Set<string>): void {
  switch (e.kind) {
    case 'unary':
    case 'binary':
      found.add(`${e.kind} ${e.operator}`);
      break;
    case 'select':
      found.add(`select ${e.condition.kind}`);
      if (e.condition.kind === 'compare') found.add(`compare ${e.condition.operator}`);
      break;
    case 'random':
      found.add(`random ${e.distribution}`);
      break;
    case 'load':
      found.add('load');
      for (const index of e.indices) {
        if (index.kind === 'gather') found.add('load gather');
        else if (asAxis(index) === undefined)
          found.add(index.terms.length > 1 ? 'load of several axes' : 'load strided, offset or fixed');
      }
      break;
    default:
      found.add(e.kind);
  }
  for (const child of children(e)) addExpression(child, found);
}
