/**
 * The params of a structure as attributes of a module, so that its `state_dict` has them under the names that they have here.
 *
 *   W               self.W = nn.Parameter(…)
 *   U.0, U.1        self.U = nn.ParameterList([nn.Parameter(…), nn.Parameter(…)])
 *   m.W             self.m = nn.Module(); self.m.W = nn.Parameter(…)
 *
 * The trap: a name may be that of a param and begin others (`U` beside `U.0`), or be taken by `nn.Module`; it then gets an underscore,
 * and its `state_dict` has another name.
 */
import { attributeName, quoted } from './python.ts';

export interface ParamPlaces {
  /** Lines of `__init__` that make them. */
  readonly lines: readonly string[];
  /** Python for each param by name. */
  readonly access: ReadonlyMap<string, string>;
  /** Params whose name in the `state_dict` is another one. */
  readonly renamed: ReadonlyMap<string, string>;
}

interface Node {
  /** A param, or what begins the names of some. */
  param?: string;
  readonly parts: Map<string, Node>;
}

/** `make(name)` is Python for the empty parameter. */
export function placeParams(names: readonly string[], make: (name: string) => string): ParamPlaces {
  const root: Node = { parts: new Map() };
  for (const name of names) {
    let node = root;
    for (const part of name.split('.')) {
      const next = node.parts.get(part) ?? { parts: new Map() };
      node.parts.set(part, next);
      node = next;
    }
    node.param = name;
  }
  const places = { lines: [] as string[], access: new Map<string, string>(), renamed: new Map<string, string>() };
  placeInModule(root, 'self', '', make, places);
  return places;
}

type Places = { readonly lines: string[]; readonly access: Map<string, string>; readonly renamed: Map<string, string> };
type Make = (name: string) => string;

function placeInModule({ parts }: Node, owner: string, prefix: string, make: Make, places: Places): void {
  const taken = new Set(
    [...parts].flatMap(([part, { parts: inner }]) => (inner.size > 0 ? [attributeName(part)] : [])),
  );
  for (const [part, node] of parts) {
    if (node.param !== undefined) {
      let attribute = attributeName(part);
      while (taken.has(attribute)) attribute += '_';
      taken.add(attribute);
      places.lines.push(`${owner}.${attribute} = ${make(node.param)}`);
      give(node.param, `${owner}.${attribute}`, `${prefix}${attribute}`, places);
    }
    if (node.parts.size > 0)
      placeFamily(node, `${owner}.${attributeName(part)}`, `${prefix}${attributeName(part)}.`, make, places);
  }
}

/** What shares the beginning of its name: levels, which are numbered, or the parts of an instance. */
function placeFamily(node: Node, owner: string, prefix: string, make: Make, places: Places): void {
  const members = [...node.parts];
  const isNumbered = members.every(([part]) => /^\d+$/.test(part));
  const areParams = members.every(([, { param, parts }]) => param !== undefined && parts.size === 0);
  const inOrder = isNumbered ? members.sort(([a], [b]) => Number(a) - Number(b)) : members;
  if (isNumbered && areParams) {
    const isList = inOrder.every(([part], i) => Number(part) === i);
    const made = inOrder.map(([part, { param = '' }]) => {
      give(param, isList ? `${owner}[${part}]` : `${owner}[${quoted(part)}]`, prefix + part, places);
      return isList ? make(param) : `${quoted(part)}: ${make(param)}`;
    });
    places.lines.push(
      isList ? `${owner} = nn.ParameterList([` : `${owner} = nn.ParameterDict({`,
      ...made.map((text) => `    ${text},`),
      isList ? '])' : '})',
    );
    return;
  }
  if (!members.some(([part]) => /^\d+$/.test(part))) {
    places.lines.push(`${owner} = nn.Module()`);
    placeInModule(node, owner, prefix, make, places);
    return;
  }
  places.lines.push(`${owner} = nn.Module()`);
  placeNumbered(node, owner, '', prefix, make, places);
}

/** Levels inside levels, instances inside levels: a number is a name that no attribute has, so each is registered and asked for. */
function placeNumbered({ parts }: Node, owner: string, path: string, prefix: string, make: Make, places: Places): void {
  const holder = path === '' ? owner : `${owner}.get_submodule(${quoted(path)})`;
  for (const [name, { param, parts: inner }] of parts) {
    // A param that also begins the names of others.
    const own = attributeName(inner.size > 0 ? `${name}_` : name);
    const whole = path === '' ? name : `${path}.${name}`;
    if (param !== undefined) {
      places.lines.push(`${holder}.register_parameter(${quoted(own)}, ${make(param)})`);
      const stored = path === '' ? own : `${path}.${own}`;
      give(param, `${owner}.get_parameter(${quoted(stored)})`, prefix + stored, places);
    }
    if (inner.size > 0) {
      places.lines.push(`${holder}.add_module(${quoted(name)}, nn.Module())`);
      placeNumbered({ parts: inner }, owner, whole, prefix, make, places);
    }
  }
}

function give(param: string, access: string, stored: string, { access: found, renamed }: Places): void {
  found.set(param, access);
  if (stored !== param) renamed.set(param, stored);
}
