/**
 * Intermediates that several contractions had better share, although each alone would choose another order.
 *
 *   y = A·B·C·x,  z = A·B·D·x      alone: A·(B·(C·x)), A·(B·(D·x))      together: E = A·B once, then E·(C·x), E·(D·x)
 *
 * Every subset of operands that two or more equations hold is a candidate. Making it once and having it for nothing everywhere is
 * compared with what the equations cost now; the best is taken, and the next judged with it in place.
 *
 * The trap: whole equations that are equal were merged before (`common.ts`); here only parts of larger ones are met.
 */

import { equationsOf } from '../../ir/equation.ts';
import { addTo } from '../../ir/lists.ts';
import type { Dtype, Equation, Program } from '../../ir/program.ts';
import { storesOnce } from '../store.ts';
import { exhaustiveLimit } from './exhaustive.ts';
import type { Cost, Network } from './network.ts';
import { addCosts, compareCosts, freeCost, liveAxes } from './network.ts';
import type { Plan } from './plan.ts';
import { intermediateKey, planEquation } from './plan.ts';
import { orderNetwork } from './tree.ts';

/** Candidates looked at; a program with more has its large structures elsewhere. */
const maximumCandidates = 200;

interface Contraction {
  readonly equation: Equation;
  readonly plan: Plan;
  /** Members of each candidate's subset, joined by commas → key. */
  readonly keys: ReadonlyMap<string, string>;
}

/** Keys (type and `intermediateKey`) of what is to be treated as there already. */
export function sharedIntermediates(program: Program): ReadonlySet<string> {
  const contractions = program.tensors.flatMap((tensor) =>
    equationsOf(tensor).flatMap((equation) => {
      const plan = storesOnce(equation) ? undefined : planEquation(equation);
      const count = plan?.factors.length ?? 0;
      return plan === undefined || count < 3 || count > exhaustiveLimit ? [] : [describe(equation, plan, tensor.dtype)];
    }),
  );
  const users = new Map<string, Contraction[]>();
  for (const contraction of contractions) {
    for (const key of new Set(contraction.keys.values())) addTo(users, key, contraction);
  }
  const candidates = [...users].filter(([, by]) => by.length > 1).slice(0, maximumCandidates);
  const taken = new Set<string>();
  for (;;) {
    let best: { key: string; saved: Cost } | undefined;
    for (const [key, by] of candidates) {
      if (taken.has(key)) continue;
      const saved = saving(key, by, taken);
      if (compareCosts(saved, best?.saved ?? freeCost) < 0) best = { key, saved };
    }
    if (best === undefined) return taken;
    taken.add(best.key);
  }
}

function describe(equation: Equation, plan: Plan, dtype: Dtype): Contraction {
  const full = 2 ** plan.factors.length - 1;
  const keys = new Map<string, string>();
  for (let subset = 1; subset < full; subset++) {
    const members = plan.factors.map((_, i) => i).filter((i) => ((subset >> i) & 1) === 1);
    if (members.length < 2) continue;
    const type = dtype === 'i32' ? 'f32' : dtype;
    keys.set(members.join(), `${type} ${intermediateKey(equation, plan, members)}`);
  }
  return { equation, plan, keys };
}

/** Negative where making the intermediate once is cheaper than what its users do now. */
function saving(key: string, users: readonly Contraction[], taken: ReadonlySet<string>): Cost {
  let total = costOfMaking(key, users[0], taken);
  for (const user of users) {
    const now = costWith(user, taken);
    const then = costWith(user, new Set([...taken, key]));
    total = addCosts(total, addCosts(then, { multiplyAdds: -now.multiplyAdds, elements: -now.elements }));
  }
  return total;
}

function costWith({ plan, keys }: Contraction, available: ReadonlySet<string>): Cost {
  const isAvailable = (members: readonly number[]): boolean => available.has(keys.get(members.join()) ?? '');
  return orderNetwork({ ...plan.network, isAvailable }).cost;
}

function costOfMaking(key: string, { plan, keys }: Contraction, taken: ReadonlySet<string>): Cost {
  const [found] = [...keys].find(([, other]) => other === key) as [string, string];
  const members = found.split(',').map(Number);
  const store = liveAxes(plan.network, members);
  const part: Network = {
    ...plan.network,
    operands: members.map((member) => plan.network.operands[member]),
    store,
    constraints: plan.network.constraints.filter(
      (axes) => (axes & ~members.reduce((all, m) => all | plan.network.operands[m], 0n)) === 0n,
    ),
    isAvailable: (inner) => taken.has(keys.get(inner.map((i) => members[i]).join()) ?? ''),
  };
  const made = orderNetwork(part).cost;
  const elements =
    store === 0n
      ? 1
      : plan.network.extents.reduce((all, e, axis) => (((store >> BigInt(axis)) & 1n) === 1n ? all * e : all), 1);
  return addCosts(made, { multiplyAdds: 0, elements });
}
