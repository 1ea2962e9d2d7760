/**
 * What an equation costs once it is ordered: the measure by which `inline.ts` compares.
 *
 *   y[n, i] sum= L[i, r] * R[j, r] * x[n, j]   →   n·j·r + n·r·i multiply-adds, n·r elements of intermediates
 *
 * Points outside the domain cost nothing, so that a matrix that is stored in parts, each where a condition holds, costs its readers
 * no more in parts than whole. A product without a reduced axis counts too, one multiply-add a point: otherwise forming a product first would seem free.
 * The trap: half the equations of a program are alike but for their names, so costs are remembered by shape.
 */
import { pointCount } from '../../ir/equation.ts';
import { pointsInDomain } from '../../ir/points.ts';
import type { Equation, Tensor } from '../../ir/program.ts';
import { elementCount } from '../../ir/program.ts';
import { storesOnce } from '../store.ts';
import type { Cost, Network } from './network.ts';
import { addCosts, freeCost } from './network.ts';
import { planEquation } from './plan.ts';
import { orderNetwork } from './tree.ts';

const byEquation = new WeakMap<Equation, Cost>();
const byShape = new Map<string, Cost>();
/** The memory of shapes is emptied when it holds this many, so that a long-lived process does not grow. */
const maximumShapes = 10_000;

export function equationCost(equation: Equation): Cost {
  const known = byEquation.get(equation);
  if (known !== undefined) return known;
  const plan = planEquation(equation);
  const box = plan === undefined ? unaryCost(equation) : networkCost(plan.network);
  const cost = { ...box, multiplyAdds: withinDomain(box.multiplyAdds, equation) };
  byEquation.set(equation, cost);
  return cost;
}

/** The part of the work that the domain lets through; in this order it is whole for whole loops, and the parts add up. */
function withinDomain(multiplyAdds: number, equation: Equation): number {
  const { axes, domain } = equation;
  return domain.length === 0 ? multiplyAdds : (multiplyAdds / pointCount(equation)) * pointsInDomain(axes, domain);
}

/** Its equations and the elements that it stores. */
export function tensorCost(tensor: Tensor): Cost {
  const equations = tensor.source.kind === 'computed' ? tensor.source.equations : [];
  return equations.map(equationCost).reduce(addCosts, { multiplyAdds: 0, elements: elementCount(tensor.shape) });
}

function unaryCost(equation: Equation): Cost {
  return storesOnce(equation) ? freeCost : { multiplyAdds: pointCount(equation), elements: 0 };
}

function networkCost(network: Network): Cost {
  const key = `${network.extents} ${network.operands} ${network.store} ${network.constraints}`;
  const known = byShape.get(key);
  if (known !== undefined) return known;
  if (byShape.size >= maximumShapes) byShape.clear();
  const { cost } = orderNetwork(network);
  byShape.set(key, cost);
  return cost;
}
