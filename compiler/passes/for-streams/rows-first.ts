/**
 * A sum over rows and columns is made a row at a time, then over the rows; program → program.
 *
 *   g[h] = Σ_{b, t, u} S[b, h, t, u] · (t - u)   →   g~rows[h, b, t] = Σ_u S[b, h, t, u] · (t - u);  g[h] = Σ_{b, t} g~rows[h, b, t]
 *
 * So the walk along u that makes S for others can make it too (schedule/streams).
 */
import { axisIndex, substitute } from '../../ir/affine.ts';
import { equationsOf, storeAxes, storesInside } from '../../ir/equation.ts';
import { loadAxes, rewriteIndex } from '../../ir/expression.ts';
import type { Affine, Equation, Program, Tensor } from '../../ir/program.ts';
import { freshName } from '../names.ts';
import { wholeAxes } from './block-axes.ts';

/** An equation of a tensor, and which of the axes that it reduces, those of `wholeAxes`, the rows have. */
export interface RowSplit {
  readonly tensor: Tensor;
  readonly equation: Equation;
  readonly rows: readonly number[];
}

/** Undefined where its sums of rows would not add up to it: it is no sum, or the domain alone keeps it inside the tensor. */
export function rowsFirst(program: Program, { tensor, equation, rows: own }: RowSplit): Program | undefined {
  const whole = wholeAxes(equation);
  const stored = storeAxes(whole);
  const now = program.tensors.find(({ name }) => name === tensor.name)!;
  if (!storesInside(whole, tensor.shape) || whole.reducer !== 'sum') return undefined;
  const name = freshName(`${tensor.name}~rows`, new Set(program.tensors.map((t) => t.name)));
  const kept = [...stored, ...own];
  const rows: Tensor = {
    name,
    dtype: 'f32',
    shape: kept.map((axis) => whole.axes[axis].extent),
    source: { kind: 'computed', equations: [{ ...whole, store: kept.map(axisIndex) }] },
  };
  const place = (axis: number): Affine => axisIndex(kept.indexOf(axis));
  const rest: Equation = {
    axes: kept.map((axis) => whole.axes[axis]),
    domain: [],
    store: whole.store.map((index) => rewriteIndex(index, { affine: (a) => substitute(a, place) })),
    reducer: 'sum',
    value: loadAxes(
      name,
      kept.map((_, axis) => axis),
    ),
  };
  const equations = equationsOf(now).map((e) => (e === equation ? rest : e));
  const tensors = program.tensors.flatMap((t) =>
    t === now ? [rows, { ...t, source: { kind: 'computed' as const, equations } }] : [t],
  );
  return { ...program, tensors };
}
