/**
 * Whole numbers in the language: integer tensors (`bucket[t, u]: i32 = …`), conditions on data, indices that are not affine.
 * They are lowered as values are (`lower-value.ts`), with what is not whole refused, and become affine again where they can:
 *
 *   min(t - u, n) >= 0       →   t - u >= 0 and n >= 0
 *   abs(t - u) <= w          →   t - u <= w and u - t <= w
 *   seg[b, t] == seg[b, u]   →   a comparison of data
 *
 * The trap: `/` rounds down in an integer tensor alone. In an index or a condition it must divide exactly, as it must in sizes.
 */
import type { Expression } from '../ir/program.ts';
import { integers32, wholeBounds } from '../ir/whole.ts';
import type { Expression as Syntax } from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import type { Builder, Env } from './builder.ts';
import { calleeOf } from './calls.ts';
import type { Scope } from './model.ts';
import { type Frame, meaningOf } from './names.ts';
import { childrenOf } from './walk.ts';

/** Whether a value is whole by its making. */
export function isWholeValue(b: Builder, e: Expression): boolean {
  return wholeBounds(e, b.slots, (tensor) => (b.integers.has(tensor) ? integers32 : undefined)) !== undefined;
}

/** What is being written. */
export function meantWhole({ integers }: Env): string {
  return integers === 'tensor' ? 'an integer tensor' : 'an index or a condition';
}

export function refuseReal(
  b: Builder,
  span: Span,
  why: string,
  help = 'whole numbers are made of axes, sizes and i32 tensors by `+ - * / % min max`',
): void {
  b.context.report.error('E0510', span, why, help);
}

/** Whether an expression of indices is more than affine: it reads tensors, calls a function, or takes a remainder. */
export function needsIntegers(e: Syntax, env: Env): boolean {
  if (e.kind === 'call')
    return calleeOf(e, env.module).kind !== 'size' || e.arguments.some((a) => needsIntegers(a, env));
  if (e.kind === 'product' && e.factors.some((factor) => factor.operator === '%')) return true;
  if (e.kind === 'name' || e.kind === 'read') {
    const argument = argumentOf(e, env.scope, env.frame);
    if (argument !== undefined && env.frame !== undefined)
      return needsIntegers(argument, { ...env, ...callEnvOf(env) });
    return isTensor(e, env.scope, env.frame);
  }
  return childrenOf(e).some((child) => needsIntegers(child, env));
}

function argumentOf(e: Syntax, scope: Scope, frame: Frame | undefined): Syntax | undefined {
  if (e.kind !== 'name' || e.reference.members.length > 0) return undefined;
  const meaning = meaningOf(e.reference.name.text, scope, frame);
  return meaning?.kind === 'argument' ? meaning.argument.expression : undefined;
}

function callEnvOf({ frame }: Env): Pick<Env, 'scope' | 'frame' | 'module'> {
  const { callEnv } = frame as NonNullable<Env['frame']>;
  return { scope: callEnv.scope, frame: callEnv.frame, module: callEnv.module };
}

function isTensor(e: Syntax & { kind: 'name' | 'read' }, scope: Scope, frame: Frame | undefined): boolean {
  const meaning = meaningOf(e.reference.name.text, scope, frame);
  if (meaning?.kind !== 'entity') return false;
  return meaning.entity.kind === 'tensor' || meaning.entity.kind === 'instance';
}
