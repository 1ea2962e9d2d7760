/**
 * Definitions inside contractions: whatever is cheaper without being stored is not stored.
 *
 *   W[8·α + β, 8·γ + δ] sum= L[β, α, γ] * R[γ, δ, β]
 *   y[n, i]             sum= W[i, j] * x[n, j]            (D² elements, n·D² multiply-adds)
 *   →  y[n, 8·α + β]    sum= L[β, α, γ] * R[γ, δ, β] * x[n, 8·γ + δ]     (ordered later: n·D·(a + b))
 *
 * Consumers first: the producers are met in reverse program order, so that when a producer's turn comes its consumers have their
 * final shape. A producer with several equations, or a sum as a factor, distributes: its consumer gets an equation for each.
 * For each producer the cheapest of these is taken, if it is cheaper than what is there (`cost.ts`: multiply-adds, then elements):
 *  - inlined into all its readers, and gone;
 *  - the same with everything that it is made of, recursively (a scaled structured matrix pays only when both go);
 *  - inlined into single readers that gain by themselves, and kept for the others.
 *
 * The trap: only products under a sum may take a definition in (see `substitute.ts`); pointwise chains are left to the scheduler.
 */
import { axesOfExpression, axisSet, factorsOf, isContraction, readsTensor } from '../ir/contraction.ts';
import { dependencies, equationsOf, readTensors } from '../ir/equation.ts';
import { loads } from '../ir/expression.ts';
import type { Equation, Expression, Load, Program, Tensor } from '../ir/program.ts';
import { equationCost, tensorCost } from './contraction-order/equation-cost.ts';
import type { Cost } from './contraction-order/network.ts';
import { addCosts, compareCosts, freeCost } from './contraction-order/network.ts';
import { distributeFactor, distributeTop } from './distribute.ts';
import { pinnedTensors } from './rename.ts';
import { storesOnce } from './store.ts';
import { substituteFactor } from './substitute.ts';

/** A consumer that would become more equations, or a product of more factors, than this is left alone. */
const maximumEquations = 64;
const maximumFactors = 24;
/** Definitions inlined at once; a residual stream is a longer chain than any matrix is. */
const maximumTogether = 6;

export function inlineDefinitions(program: Program): Program {
  const inliner = new Inliner(program);
  for (let i = program.tensors.length - 1; i >= 0; i--) inliner.consider(program.tensors[i].name);
  return inliner.result();
}

interface Change {
  /** Consumers with their new equations. */
  readonly consumers: ReadonlyMap<string, readonly Equation[]>;
  readonly inlined: ReadonlySet<string>;
}

class Inliner {
  private readonly program: Program;
  private readonly tensors: Map<string, Tensor>;
  private readonly users = new Map<string, Set<string>>();
  private readonly pinned: ReadonlySet<string>;
  private readonly position: ReadonlyMap<string, number>;
  /** A producer's equations as sums of products, where it may be inlined. */
  private readonly definitions = new Map<string, readonly Equation[]>();
  private changed = false;

  constructor(program: Program) {
    this.program = program;
    this.tensors = new Map(program.tensors.map((tensor) => [tensor.name, tensor]));
    this.pinned = pinnedTensors(program);
    this.position = new Map(program.tensors.map((tensor, i) => [tensor.name, i]));
    for (const tensor of program.tensors) {
      for (const name of dependencies(tensor)) this.usersOf(name).add(tensor.name);
      const definition = this.definitionOf(tensor);
      if (definition !== undefined) this.definitions.set(tensor.name, definition);
    }
  }

  result(): Program {
    if (!this.changed) return this.program;
    const tensors = this.program.tensors.map((tensor) => this.tensors.get(tensor.name) as Tensor);
    return { ...this.program, tensors };
  }

  consider(name: string): void {
    if (!this.definitions.has(name)) return;
    const consumers = [...this.usersOf(name)].filter((user) => this.mayTake(user, name));
    if (consumers.length === 0) return;
    const together = this.madeOf(name);
    const choices = together.length > 1 ? [[name], together] : [[name]];
    if (this.takeCheapest(choices.map((producers) => this.inlineInto(consumers, producers)))) return;
    if (consumers.length === 1 && this.usersOf(name).size === 1 && !this.pinned.has(name)) return;
    for (const consumer of consumers.filter((user) => !this.readsAlongRows(user, name))) {
      this.takeCheapest(choices.map((producers) => this.inlineInto([consumer], producers)));
    }
  }

  /** Takes the change that saves most, if one saves anything. */
  private takeCheapest(changes: readonly (Change | undefined)[]): boolean {
    let best: { change: Change; saved: Cost } | undefined;
    for (const change of changes) {
      if (change === undefined) continue;
      const saved = this.difference(change);
      if (compareCosts(saved, best?.saved ?? freeCost) < 0) best = { change, saved };
    }
    if (best === undefined) return false;
    this.apply(best.change);
    return true;
  }

  /** What the program costs after the change less what it costs now. */
  private difference({ consumers, inlined }: Change): Cost {
    let total = freeCost;
    for (const [name, equations] of consumers) {
      for (const equation of equations) total = addCosts(total, equationCost(equation));
      for (const equation of this.equationsOf(name)) total = subtractCosts(total, equationCost(equation));
    }
    for (const name of this.vanishing(consumers, inlined)) {
      total = subtractCosts(total, tensorCost(this.tensors.get(name) as Tensor));
    }
    return total;
  }

  /** The inlined tensors that nobody reads any more. */
  private vanishing(
    consumers: ReadonlyMap<string, readonly Equation[]>,
    inlined: ReadonlySet<string>,
  ): ReadonlySet<string> {
    const gone = new Set<string>();
    const readNow = new Set([...consumers.values()].flat().flatMap(readTensors));
    // Later tensors go first: what they read may then go too.
    const place = (name: string): number => this.position.get(name) as number;
    for (const name of [...inlined].sort((a, b) => place(b) - place(a))) {
      if (this.pinned.has(name) || readNow.has(name)) continue;
      if ([...this.usersOf(name)].every((user) => consumers.has(user) || gone.has(user))) gone.add(name);
    }
    return gone;
  }

  private apply({ consumers, inlined }: Change): void {
    this.changed = true;
    const gone = this.vanishing(consumers, inlined);
    for (const [name, equations] of consumers) {
      this.forget(name);
      const tensor: Tensor = {
        ...(this.tensors.get(name) as Tensor),
        source: { kind: 'computed', equations },
      };
      this.tensors.set(name, tensor);
      for (const read of dependencies(tensor)) this.usersOf(read).add(name);
      const definition = this.definitionOf(tensor);
      if (definition === undefined) this.definitions.delete(name);
      else this.definitions.set(name, definition);
    }
    for (const name of gone) this.forget(name);
  }

  private forget(name: string): void {
    for (const read of dependencies(this.tensors.get(name) as Tensor)) this.usersOf(read).delete(name);
  }

  /** Every consumer with each read of `producers` replaced; undefined where one cannot be. */
  private inlineInto(consumers: readonly string[], producers: readonly string[]): Change | undefined {
    const inlined = new Set(producers);
    const changed = new Map<string, readonly Equation[]>();
    for (const consumer of consumers) {
      const equations = this.expand(this.equationsOf(consumer), inlined);
      if (equations === undefined) return undefined;
      changed.set(consumer, equations);
    }
    return { consumers: changed, inlined };
  }

  private expand(equations: readonly Equation[], producers: ReadonlySet<string>): readonly Equation[] | undefined {
    const pending = [...equations].reverse();
    const done: Equation[] = [];
    for (let equation = pending.pop(); equation !== undefined; equation = pending.pop()) {
      if (pending.length + done.length > maximumEquations) return undefined;
      const { factors } = factorsOf(equation.value);
      if (factors.length > maximumFactors) return undefined;
      const position = takesDefinitions(equation) ? factors.findIndex((factor) => readsAny(factor, producers)) : -1;
      if (position < 0) {
        done.push(equation);
        continue;
      }
      const factor = factors[position];
      if (factor.kind !== 'load') {
        pending.push(...[...distributeFactor(equation, position)].reverse());
        continue;
      }
      const expanded = this.expandFactor(equation, position, factor);
      if (expanded === undefined) return undefined;
      pending.push(...[...expanded].reverse());
    }
    return done;
  }

  private expandFactor(equation: Equation, position: number, read: Load): readonly Equation[] | undefined {
    const { shape } = this.tensors.get(read.tensor) as Tensor;
    const expanded: Equation[] = [];
    for (const producer of this.definitions.get(read.tensor) as readonly Equation[]) {
      const substituted = substituteFactor(equation, position, producer, shape);
      if (substituted === undefined) return undefined;
      expanded.push(...substituted.equations);
    }
    return expanded;
  }

  /** The producer and, recursively, the producers that its products read, as long as nothing is contracted on the way. */
  private madeOf(name: string): readonly string[] {
    const found = new Set([name]);
    for (const member of found) {
      const definition = this.definitions.get(member) ?? [];
      if (definition.some(isContraction)) continue;
      for (const factor of definition.flatMap((equation) => factorsOf(equation.value).factors)) {
        if (factor.kind !== 'load' || !this.definitions.has(factor.tensor)) continue;
        found.add(factor.tensor);
        if (found.size >= maximumTogether) return [...found];
      }
    }
    return [...found];
  }

  /** Whether a tensor reads another as a factor, or as a factor of a term of a factor, of a product under a sum. */
  private mayTake(user: string, producer: string): boolean {
    const wanted = new Set([producer]);
    return this.equationsOf(user).some(
      (equation) =>
        takesDefinitions(equation) && factorsOf(equation.value).factors.some((factor) => readsAny(factor, wanted)),
    );
  }

  /** Whether a tensor reads another once a point: a row reduction, which nothing beats where the producer stays. */
  private readsAlongRows(user: string, producer: string): boolean {
    return this.equationsOf(user).some(({ axes, value }) => {
      const whole = axisSet(axes.map((_, axis) => axis));
      return loads(value).some((read) => read.tensor === producer && axesOfExpression(read) === whole);
    });
  }

  private equationsOf(name: string): readonly Equation[] {
    return equationsOf(this.tensors.get(name) as Tensor);
  }

  private usersOf(name: string): Set<string> {
    const users = this.users.get(name) ?? new Set<string>();
    this.users.set(name, users);
    return users;
  }

  /** The tensor as a sum of products, if it is one that may pay inlined: contractions, copies, or products and sums of such. */
  private definitionOf(tensor: Tensor): readonly Equation[] | undefined {
    if (tensor.source.kind !== 'computed') return undefined;
    const terms = tensor.source.equations.flatMap(distributeTop);
    if (terms.length === 0 || terms.some((term) => term.reducer !== 'sum')) return undefined;
    if (terms.some(isContraction)) return terms;
    const factors = terms.map((term) => factorsOf(term.value).factors.filter(readsTensor));
    if (!factors.flat().every((factor) => factor.kind === 'load')) return undefined;
    const pays = factors.some(
      (all) => all.length === 1 || all.some((factor) => this.definitions.has((factor as Load).tensor)),
    );
    return pays ? terms : undefined;
  }
}

/** Whether an equation is a product that may take a definition in: a reduced one, or one operand that is only moved. */
function takesDefinitions(equation: Equation): boolean {
  if (equation.reducer !== 'sum') return false;
  const operands = factorsOf(equation.value).factors.filter(readsTensor);
  return storesOnce(equation) ? operands.length === 1 && operands[0].kind === 'load' : operands.length > 0;
}

/** Whether a factor is a read of one of the tensors, or a sum with such a factor in a term. */
function readsAny(factor: Expression, tensors: ReadonlySet<string>): boolean {
  if (factor.kind === 'load') return tensors.has(factor.tensor);
  if (factor.kind !== 'sum' || !loads(factor).some((l) => tensors.has(l.tensor))) return false;
  return factor.terms.some((term) => factorsOf(term).factors.some((f) => readsAny(f, tensors)));
}

function subtractCosts(a: Cost, b: Cost): Cost {
  return { multiplyAdds: a.multiplyAdds - b.multiplyAdds, elements: a.elements - b.elements };
}
