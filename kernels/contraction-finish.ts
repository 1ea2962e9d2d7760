/**
 * The WGSL functions that take the sums of a contraction to memory: through scale, mask, addends and epilogue.
 *
 * The trap: a device must think that a store changes what is read after it, so a thread that reads and stores sum by sum waits for
 * memory each time. Where it has many, it reads for a row of them first.
 */
import { decide, equalAffine } from '../compiler/ir/affine.ts';
import type { Affine, Constraint, Equation, Load } from '../compiler/ir/program.ts';
import { affineText, constraintText, elementText } from './address.ts';
import { type ContractionParts, decode, readsQuads, scopeOf } from './contraction-functions.ts';
import { coordinate, flatIndex, flattenLoads } from './linear.ts';
import { expressionText, multiplied } from './scalar.ts';
import type { Scope } from './scope.ts';
import { wgsl } from './wgsl.ts';

/** `finish(batch, m, n, sum)`; in forms that stage slabs in two halves: `finished` gives the values to store, `put` stores them. */
export function finishFunctions(w: ContractionParts): string[] {
  const { emitter, tuning, functions } = w;
  const sum = emitter.fresh('sum');
  const values = finishedValues(w, sum);
  const stores = values.stores.map(({ tensor, name }) => ({ at: emitter.writes(tensor, values.element), name }));
  const parameters = `${w.names.batch}: i32, ${w.names.m}: i32, ${w.names.n}: i32`;
  if (!readsQuads(tuning)) {
    const puts = stores.map(({ at, name }) => `${at} = ${name};`);
    return [
      wgsl`
        fn ${functions.finish}(${parameters}, ${sum}: f32) {
          ${[...values.place, ...values.lines, ...puts].join('\n')}
        }
      `,
    ];
  }
  return [
    wgsl`
      struct ${functions.values} {
        ${stores.map((_, i) => `value_${i}: f32,`).join('\n')}
      }
    `,
    wgsl`
      fn ${functions.finished}(${parameters}, ${sum}: f32) -> ${functions.values} {
        ${[...values.place, ...values.lines].join('\n')}
        return ${functions.values}(${stores.map(({ name }) => name).join(', ')});
      }
    `,
    wgsl`
      fn ${functions.put}(${parameters}, values: ${functions.values}) {
        ${values.place.join('\n')}
        ${stores.map(({ at }, i) => `${at} = values.value_${i};`).join('\n')}
      }
    `,
  ];
}

/** The lines that find the output's element, those that compute what is stored there, and the names of its values. */
interface FinishedValues {
  readonly place: readonly string[];
  readonly element: string;
  readonly lines: readonly string[];
  readonly stores: readonly { readonly tensor: string; readonly name: string }[];
}

function finishedValues(w: ContractionParts, sum: string): FinishedValues {
  const { kernel, s, emitter } = w;
  const placeLines: string[] = [];
  const names = new Map<number, string>();
  decode(w, s.batch, w.names.batch, placeLines, names);
  decode(w, s.m, w.names.m, placeLines, names);
  decode(w, s.n, w.names.n, placeLines, names);
  const scope = scopeOf(w, names);
  const element = emitter.fresh('element');
  placeLines.push(`let ${element} = ${affineText(s.equation.store[0] as Affine, scope)};`);
  const lines: string[] = [];
  const stores: { readonly tensor: string; readonly name: string }[] = [];
  const value = emitter.value(kernel.tensor, kernel.stored);
  const isPlain = s.scale.kind === 'constant' && s.scale.value === 1;
  const scaled = isPlain ? sum : multiplied(sum, s.scale, scope);
  const mask = s.onOutput.map((c) => constraintText(c, scope)).join(' && ');
  const isFinal = kernel.addends.length === 0 && !kernel.accumulate;
  if (mask === '') lines.push(`${isFinal ? 'let' : 'var'} ${value} = ${scaled};`);
  else lines.push(`var ${value} = 0.0;`, `if (${mask}) { ${value} = ${scaled}; }`);
  const place = { element, coordinates: new Map<number, string>(), lines };
  for (const addend of kernel.addends) pointwise(w, addend, place, new Map(), (text) => `${value} += ${text};`);
  if (kernel.accumulate) lines.push(`${value} += ${elementText(kernel.tensor, element, emitter)};`);
  if (kernel.stored) stores.push({ tensor: kernel.tensor, name: value });
  const held = new Map([[kernel.tensor, value]]);
  for (const statement of kernel.epilogue) {
    const name = emitter.value(statement.tensor, statement.stored);
    const [first, ...others] = statement.equations;
    if (first && others.length === 0 && guardsOf(first).length === 0)
      pointwise(w, first, place, held, (text) => `let ${name} = ${text};`);
    else {
      lines.push(`var ${name} = 0.0;`);
      for (const e of statement.equations) pointwise(w, e, place, held, (text) => `${name} += ${text};`);
    }
    held.set(statement.tensor, name);
    if (statement.stored) stores.push({ tensor: statement.tensor, name });
  }
  return { place: placeLines, element, lines, stores };
}

function guardsOf(equation: Equation): readonly Constraint[] {
  return equation.domain.filter((c) => decide(c, equation.axes) !== 'always');
}

/**
 * Writes a pointwise equation of a tensor of the output's shape: its axes are the output's indices. `kernel.equation` is the
 * one before axes were merged, so an index is taken out of the flat offset, once, where something asks for it.
 */
function pointwise(
  w: ContractionParts,
  equation: Equation,
  place: { readonly element: string; readonly coordinates: Map<number, string>; readonly lines: string[] },
  held: ReadonlyMap<string, string>,
  assign: (text: string) => string,
): void {
  const { emitter } = w;
  const { shape } = emitter.layout(w.kernel.tensor);
  const identity = flatIndex(shape, equation.store)!;
  const axis = (wanted: number): string => {
    const d = equation.store.findIndex((index) => (index as Affine).terms[0]?.axis === wanted);
    if (d < 0 || shape[d] === 1) return '0';
    const known = place.coordinates.get(d);
    if (known !== undefined) return known;
    const name = emitter.named(equation.axes[wanted].name);
    place.lines.push(`let ${name} = ${coordinate(place.element, shape, d)};`);
    place.coordinates.set(d, name);
    return name;
  };
  const isSame = (l: Load): boolean => {
    const flat = flatIndex(emitter.layout(l.tensor).shape, l.indices);
    return flat !== undefined && equalAffine(flat, identity);
  };
  const scope: Scope = {
    emitter,
    axis,
    axes: equation.axes,
    held: (l) => held.get(l.tensor) ?? (isSame(l) ? elementText(l.tensor, place.element, emitter) : undefined),
    heldInteger: (l) => (isSame(l) ? emitter.reads(l.tensor, place.element) : undefined),
  };
  const guards = guardsOf(equation).map((c) => constraintText(c, scope));
  const text = assign(expressionText(flattenLoads(equation, (t) => emitter.layout(t)).value, scope));
  place.lines.push(guards.length === 0 ? text : `if (${guards.join(' && ')}) { ${text} }`);
}
