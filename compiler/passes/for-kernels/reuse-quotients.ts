/**
 * What is stored divided by something of its row is read from there, so that the dividend need not lie in memory beside it; program →
 * program.
 *
 *   n[t, i] = (k[t, i] - mean[t]) / sqrt(var[t] + ε)
 *   g[t, i] = … (k[t, i] - mean[t]) / sqrt(var[t] + ε) … (k[t, i] - mean[t]) …   →   … n[t, i] … n[t, i] · sqrt(var[t] + ε) …
 *
 * It is what the gradient of a normalisation without gain asks for: of bilinear BTT's keys, the largest tensor of a layer, one is kept
 * where there were two.
 *
 * The trap: only where all that comes after reads the quotient alone, or both would lie in memory after all.
 */
import { axisIndex, substitute } from '../../ir/affine.ts';
import { dependencies, equationLoads, equationsOf, hasSymbol, readTensors } from '../../ir/equation.ts';
import { axesOf, load, loads, mapChildren, product, renameAxes } from '../../ir/expression.ts';
import { addTo, mapSame } from '../../ir/lists.ts';
import { emptyMatch, matchExpression } from '../../ir/match.ts';
import { isPointwise, longReduced, pointOf } from '../../ir/plain.ts';
import type { Affine, Equation, Expression, Program, Tensor } from '../../ir/program.ts';
import { heldTensors } from '../rename.ts';

export function reuseQuotients(program: Program): Program {
  const current: Current = { tensors: new Map(), places: new Map(), readers: new Map(), held: heldTensors(program) };
  for (const [place, tensor] of program.tensors.entries()) {
    current.tensors.set(tensor.name, tensor);
    current.places.set(tensor.name, place);
    for (const source of dependencies(tensor)) addTo(current.readers, source, tensor.name);
  }
  for (const { name } of program.tensors) readQuotient(current, name);
  const tensors = mapSame(program.tensors, ({ name }) => current.tensors.get(name)!);
  return tensors === program.tensors ? program : { ...program, tensors };
}

/** The program as it becomes: its tensors in their order, the place of each, and who reads it, or has read it. */
interface Current {
  readonly tensors: Map<string, Tensor>;
  readonly places: Map<string, number>;
  readonly readers: Map<string, string[]>;
  readonly held: ReadonlySet<string>;
}

/** A tensor that is a quotient, its dividend, and what of its row that is divided by. */
interface Quotient {
  readonly tensor: Tensor;
  readonly equation: Equation;
  readonly dividend: Expression;
  readonly divisor: Expression;
}

function quotientOf(tensor: Tensor): Quotient | undefined {
  const [equation, ...others] = equationsOf(tensor);
  if (equation === undefined || others.length > 0 || equation.domain.length > 0 || hasSymbol(equation))
    return undefined;
  const { value } = equation;
  if (value.kind !== 'binary' || value.operator !== 'divide' || !isPointwise(equation, tensor.shape)) return undefined;
  const isOfRow = [...equation.axes.keys()].some(
    (a) => equation.axes[a].extent > 1 && !axesOf(value.right).includes(a),
  );
  return isOfRow ? { tensor, equation, dividend: value.left, divisor: value.right } : undefined;
}

/** Has the quotient read in the place of its dividend's tensor, where that saves something. */
function readQuotient({ tensors, places, readers, held }: Current, name: string): void {
  const quotient = quotientOf(tensors.get(name)!);
  if (quotient === undefined) return;
  const readersAfter = (source: string): readonly Tensor[] => {
    const after = (readers.get(source) ?? []).filter((reader) => places.get(reader)! > places.get(name)!);
    return after.map((reader) => tensors.get(reader)!).filter((reader) => dependencies(reader).includes(source));
  };
  if (!readersAfter(name).some((tensor) => equationsOf(tensor).some((e) => isSumOver(e, name)))) return;
  const spared = wholeLoads(quotient).filter((tensor) => !held.has(tensor));
  const changed: Tensor[] = [];
  for (const reader of new Set(spared.flatMap(readersAfter))) {
    const equations = equationsOf(reader).map((e) => reading(e, quotient));
    if (reader.source.kind !== 'computed' || equations.flatMap(readTensors).some((t) => spared.includes(t))) return;
    changed.push({ ...reader, source: { kind: 'computed', equations } });
  }
  for (const tensor of changed) {
    tensors.set(tensor.name, tensor);
    for (const source of dependencies(tensor)) addTo(readers, source, tensor.name);
  }
}

/** Whether the equation sums products with the tensor, which lies in memory for it. */
const isSumOver = (equation: Equation, name: string): boolean =>
  equation.value.kind === 'product' &&
  longReduced(equation).length > 0 &&
  equationLoads(equation).some((l) => l.tensor === name);

/** Tensors that the dividend reads with as many elements as the quotient has. */
function wholeLoads({ equation, dividend }: Quotient): readonly string[] {
  const long = [...equation.axes.keys()].filter((axis) => equation.axes[axis].extent > 1);
  return loads(dividend).flatMap((l) => {
    const point = pointOf(l, equation);
    return point !== undefined && long.every((axis) => point.includes(axis)) ? [l.tensor] : [];
  });
}

/** The equation with the quotient in the place of what it is, and of its dividend. */
function reading(equation: Equation, { tensor, equation: made, dividend, divisor }: Quotient): Equation {
  const matched = (part: Expression, e: Expression): ((axis: number) => number) | undefined => {
    const match = emptyMatch();
    if (e.kind !== part.kind || !matchExpression(part, e, match)) return undefined;
    const isWhole = made.axes.every(({ extent }, axis) => {
      const to = match.forth.get(axis);
      return to === undefined ? extent === 1 : equation.axes[to].extent === extent;
    });
    return isWhole ? (axis) => match.forth.get(axis)! : undefined;
  };
  const change = (e: Expression): Expression => {
    const whole = matched(made.value, e);
    const part = whole ?? matched(dividend, e);
    if (part === undefined) return mapChildren(e, change);
    const place = (axis: number): Affine => axisIndex(part(axis));
    const read = load(
      tensor.name,
      made.store.map((index) => substitute(index as Affine, place)),
    );
    if (whole !== undefined) return read;
    return product([
      read,
      renameAxes(
        divisor,
        made.axes.map((_, axis) => part(axis)),
      ),
    ]);
  };
  return { ...equation, value: change(equation.value) };
}
