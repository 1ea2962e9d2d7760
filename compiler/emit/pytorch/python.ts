/**
 * Python as text: expressions that know how tightly they bind, numbers, and names.
 *
 * The trap: a name of ours may be a word of Python's or an attribute of every module (`type`, `half`, `training`), and what tells two of
 * ours apart (a dot, a tilde, a prime) is no letter there.
 */

/** How tightly an expression binds, loosest first; what binds no tighter than its place gets parentheses. */
export const binding = { comparison: 0, sum: 1, product: 2, negation: 3, power: 4, atom: 5 } as const;
export type Binding = (typeof binding)[keyof typeof binding];

export interface Python {
  readonly text: string;
  readonly binding: Binding;
}

/** In its place, where anything looser than `least` needs parentheses. */
export function within({ text, binding: own }: Python, least: Binding): string {
  return own < least ? `(${text})` : text;
}

/** The number that Python reads as the same float64. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return 'math.nan';
  if (!Number.isFinite(value)) return value > 0 ? 'math.inf' : '-math.inf';
  return Object.is(value, -0) ? '-0.0' : String(value);
}

/** `(a,)`, `(a, b)`. */
export function tuple(parts: readonly string[]): string {
  return parts.length === 1 ? `(${parts[0]},)` : `(${parts.join(', ')})`;
}

/** A text in double quotes. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

const keywords = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except finally for from global if import in is ' +
    'lambda nonlocal not or pass raise return try while with yield'
  ).split(' '),
);

/** What a module of PyTorch has already. */
const moduleAttributes = new Set(
  (
    'T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval extra_repr float ' +
    'forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia named_buffers named_children ' +
    'named_modules named_parameters parameters register_backward_hook register_buffer register_forward_hook register_forward_pre_hook ' +
    'register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook ' +
    'register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ reset_parameters ' +
    'set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu zero_grad'
  ).split(' '),
);

/** Names that the module's own text uses. */
const ownNames = [
  'self',
  'torch',
  'nn',
  'functional',
  'math',
  'dtype',
  'device',
  'int',
  'float',
  'tuple',
  'ValueError',
];

/** An attribute of a module for one part of a param's name; letters and digits stay as they are. */
export function attributeName(part: string): string {
  return keywords.has(part) || moduleAttributes.has(part) ? `${part}_` : part;
}

/** `AsThis` from any name: what a class is called. */
export function className(name: string): string {
  return keywords.has(name) || ownNames.includes(name) ? `${name}_` : name;
}

/** Hands out local names, each once, as near to what was asked for as can be. */
export function localNames(taken: Iterable<string> = []): (wanted: string) => string {
  const used = new Set([...ownNames, ...keywords, ...taken]);
  return (wanted) => {
    const base = wanted.replace(/'/g, '_').replace(/[^\p{L}\p{N}_]+/gu, '_');
    let name = base;
    for (let number = 2; used.has(name); number += 1) name = `${base}_${number}`;
    used.add(name);
    return name;
  };
}
