import { withAxesMeant } from './axes-meant.ts';
import { type BodyFrame, type Builder, bind, type Env, type Lowered, placeholder, small } from './builder.ts';
import type { Call } from './calls.ts';
import type { AxisSet } from './einstein.ts';
import { frameAxes } from './einstein.ts';
import type { VisibleFunction } from './files.ts';
import { takes } from './lower-call.ts';
import { axesOf } from './lower-condition.ts';
import { lowerValue } from './lower-value.ts';
import type { AxisEntity } from './model.ts';
import { axesNamed } from './names.ts';
import { LimitError } from './report.ts';
import { count } from './shapes.ts';
import { referencesIn } from './walk.ts';

const functionDepth = 64;

export function lowerFunction(b: Builder, e: Call, found: VisibleFunction, env: Env): Lowered {
  const { report } = b.context;
  const { item, module } = found;
  const name = e.callee.text;
  if (env.functions.includes(item)) {
    const ring = [...env.functions.slice(env.functions.indexOf(item)), item].map((f) => `\`${f.name.text}\``);
    report.error('E0409', e.span, `the function \`${name}\` calls itself: ${ring.join(' → ')}`);
    return placeholder;
  }
  if (env.functions.length >= functionDepth) {
    throw new LimitError(e.span, `functions call each other more than ${functionDepth} deep`);
  }
  const axes = callAxes(b, e, item.axes, env);
  if (!takes(b, e, item.parameters.length) || axes === undefined) return placeholder;
  const taken = axes.flatMap((set) => [...set]);
  const { env: callEnv } = bind(b, env, [...taken, ...(b.placement.absorbed.get(e) ?? [])]);
  const frame: BodyFrame = {
    parameters: new Map(
      item.parameters.map(({ text }, i) => [text, { expression: e.arguments[i], scope: env.scope, frame: env.frame }]),
    ),
    axes: new Map((item.axes ?? []).map(({ text }, i) => [text, [...axes[i]]])),
    callEnv,
    parameterAxes: keptAxes(b, e, found, callEnv),
    uses: usesIn(found),
    memo: new Map(),
  };
  const site = report.site;
  report.site ??= e.span;
  const lowered = lowerValue(b, item.body, {
    scope: env.scope,
    module,
    frame,
    bound: callEnv.bound,
    guards: env.guards,
    restrictions: [],
    integers: env.integers,
    functions: [...env.functions, item],
  });
  report.site = site;
  return lowered;
}

/** The axes of a call for each declared one; several may be given for one. */
function callAxes(
  b: Builder,
  e: Call,
  declared: VisibleFunction['item']['axes'],
  env: Env,
): readonly AxisSet[] | undefined {
  const { report } = b.context;
  const name = e.callee.text;
  const wanted = declared?.length ?? 0;
  const given = e.axes?.length ?? 0;
  if (e.every) {
    report.error('E0408', e.span, `\`[*]\` is for reductions; \`${name}\` takes ${count(wanted, 'axis')} by name`);
    return undefined;
  }
  if (wanted === 0 && given === 0) return [];
  if (wanted === 0 || given === 0 || (wanted > 1 && given !== wanted)) {
    const text = `\`${name}\` takes ${count(wanted, 'axis')} in brackets, not ${given}`;
    const help = given === 0 ? `write \`${withAxesMeant(b, e, env, true, wanted)}\`` : undefined;
    report.error('E0408', e.span, text, help);
    return undefined;
  }
  const sets: AxisSet[] = [];
  const seen = new Set<AxisEntity>();
  for (const axis of e.axes ?? []) {
    const found = axesNamed(axis, { scope: env.scope, frame: env.frame, report });
    if (found === undefined) return undefined;
    if (found.some((a) => seen.has(a))) {
      report.error('E0507', axis.span, `the axis \`${axis.text}\` stands twice in the brackets of \`${name}\``);
      return undefined;
    }
    for (const a of found) seen.add(a);
    sets.push(new Set(found));
  }
  return frameAxes(declared, sets);
}

/** The axes of each argument that are left after its own sums. */
function keptAxes(b: Builder, e: Call, { item }: VisibleFunction, callEnv: Env): (name: string) => AxisSet | undefined {
  const known = new Map<string, AxisSet>();
  return (name) => {
    const position = item.parameters.findIndex((p) => p.text === name);
    if (position < 0) return undefined;
    let axes = known.get(name);
    if (axes === undefined) {
      axes = new Set([...axesOf(b, e.arguments[position], callEnv)].filter((axis) => callEnv.bound.has(axis)));
      known.set(name, axes);
    }
    return axes;
  };
}

const usesCache = new WeakMap<VisibleFunction['item'], ReadonlyMap<string, number>>();

function usesIn({ item }: VisibleFunction): ReadonlyMap<string, number> {
  const known = usesCache.get(item);
  if (known !== undefined) return known;
  const uses = new Map<string, number>();
  for (const { name } of referencesIn(item.body)) uses.set(name.text, (uses.get(name.text) ?? 0) + 1);
  usesCache.set(item, uses);
  return uses;
}

export function lowerParameter(b: Builder, name: string, frame: BodyFrame, env: Env): Lowered {
  const known = frame.memo.get(name);
  if (known !== undefined) return known;
  const argument = frame.parameters.get(name);
  if (argument === undefined) return placeholder;
  const before = b.guardUses;
  const inner: Env = { ...frame.callEnv, guards: env.guards };
  const plain = lowerValue(b, argument.expression, inner);
  const guarded = b.guardUses > before;
  const again = (frame.uses.get(name) ?? 0) > 1;
  const lowered = again ? small(b, plain, inner, argument.expression.span, guarded) : plain;
  // What only the conditions around this use keep inside its bounds is lowered anew for the next use.
  if (!guarded) frame.memo.set(name, lowered);
  return lowered;
}
