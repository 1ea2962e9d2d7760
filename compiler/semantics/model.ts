/**
 * What a structure becomes while it is analysed: scopes, and the sizes, axes, tensors and instances declared in them.
 *
 * A `StructureInstance` is a structure with its sizes bound: the main one, and one for every `use`. Its levels are
 * unrolled, so each iteration is a `Scope` of its own, with the path of level values that leads to it. Unlike the
 * syntax tree and the tensor program these are records that fill up: sizes and extents are found on demand, in whatever
 * order they are asked for.
 *
 * The trap: `undefined` as a value always means "cannot be said": a mistake that has been reported, or a size that has
 * no value yet (`check` postpones what depends on one). Nobody reports anything further about it.
 */
import type { Affine, Equation, Init } from '../ir/program.ts';
import type {
  ConstItem,
  EquationItem,
  Expression,
  InputItem,
  ParamItem,
  Reference,
  SlotItem,
  Structure,
  SyntaxDtype,
  UseItem,
} from '../syntax/ast.ts';
import type { Span } from '../syntax/diagnostic.ts';
import type { Module, VisibleStructure } from './files.ts';

export type SizeValue = number | readonly number[];

export type Entity = SizeEntity | ConstEntity | AxisEntity | TensorEntity | InstanceEntity | PostponedEntity;

export interface SizeEntity {
  readonly kind: 'size';
  readonly name: string;
  readonly span: Span;
  readonly doc: string | undefined;
  readonly scope: Scope;
  readonly role: 'declared' | 'implicit' | 'level';
  /** The default; of a tuple the whole `split(D)`, with the place of this name in the tuple. */
  readonly expression: Expression | undefined;
  readonly tuplePosition: number | undefined;
  state: 'fresh' | 'busy' | 'done';
  value: SizeValue | undefined;
  /** Whether nothing gives it a value: it then counts as 1, is postponed or refused. */
  unbound: boolean;
}

export interface ConstEntity {
  readonly kind: 'const';
  readonly name: string;
  readonly span: Span;
  readonly scope: Scope;
  readonly item: ConstItem;
  state: 'fresh' | 'busy' | 'done';
  value: number | undefined;
}

export interface AxisEntity {
  readonly kind: 'axis';
  /** Unique in the analysis. */
  readonly id: number;
  readonly name: string;
  readonly span: Span;
  readonly scope: Scope;
  readonly expression: Expression;
  /** The size that alone is the axis's extent. */
  readonly sizeName: string | undefined;
  known: boolean;
  extent: number | undefined;
}

export interface TensorEntity {
  readonly kind: 'tensor';
  readonly role: 'input' | 'param' | 'computed';
  /** Unique in the program: `m.U.0`. */
  readonly name: string;
  /** Without the instance's prefix: `U.0`. */
  readonly localName: string;
  readonly span: Span;
  readonly doc: string | undefined;
  /** Of a defined tensor f32, unless an equation says otherwise. */
  dtype: SyntaxDtype;
  readonly scope: Scope;
  /** What declares an input or param. */
  readonly declaration: InputItem | ParamItem | undefined;
  /** The axes of that declaration; empty until their names are resolved. */
  axes: readonly AxisEntity[];
  init: Init | undefined;
  /** The tensor that an instance's input is. */
  alias: TensorEntity | undefined;
  readonly definitions: Definition[];
  /** Undefined as a whole until asked for. */
  shape: readonly (number | undefined)[] | undefined;
  equations: readonly Equation[];
}

/**
 * One `T[…] = …` or `+=` of one unrolled scope. What follows `scope` is known once the tensor's shape was asked for.
 */
export interface Definition {
  readonly item: EquationItem;
  readonly scope: Scope;
  /** Axes on the left in order of first appearance; `store` speaks of their positions. */
  leftAxes: readonly AxisEntity[];
  store: readonly (Affine | undefined)[];
  broken: boolean;
}

export interface InstanceEntity {
  readonly kind: 'instance';
  readonly name: string;
  readonly localName: string;
  readonly span: Span;
  readonly scope: Scope;
  readonly item: UseItem;
  state: 'fresh' | 'busy' | 'done';
  instance: StructureInstance | undefined;
}

/** A `slot` of a structure; it lives among the structures' names, not among those of sizes, axes and tensors. */
export interface SlotEntity {
  readonly item: SlotItem;
  readonly scope: Scope;
  /** An `if` that cannot be decided yet may declare it. */
  readonly postponed: boolean;
}

/** What a caller puts into a slot, with the sizes and slots of it that the command line binds. */
export interface Filling {
  /** `default`: only sizes are given, for the slot's own default. Undefined where the structure has been found wanting. */
  readonly visible: VisibleStructure | 'default' | undefined;
  readonly given: GivenByName;
}

/** Values of sizes and consts, and what fills slots, by name: `rank`, and of the structure that fills a slot `up.rank`. */
export interface GivenByName {
  readonly values: Readonly<Record<string, SizeValue>>;
  readonly slots: Readonly<Record<string, VisibleStructure | undefined>>;
}

/** A name that an `if` may declare whose condition cannot be decided yet. */
export interface PostponedEntity {
  readonly kind: 'postponed';
  readonly name: string;
  readonly span: Span;
}

export interface Scope {
  readonly parent: Scope | undefined;
  readonly instance: StructureInstance;
  /** Values of the levels around, outermost first. */
  readonly path: readonly (number | undefined)[];
  readonly names: Map<string, Entity>;
}

export interface OutputRecord {
  readonly reference: Reference;
  readonly scope: Scope;
  readonly doc: string | undefined;
}

export interface StructureInstance {
  /** Empty, or `m.`. */
  readonly prefix: string;
  readonly structure: Structure;
  readonly module: Module;
  readonly parent: StructureInstance | undefined;
  readonly depth: number;
  /** Values of sizes and consts given by `-s` or by `use`; `undefined` where the given value cannot be said. */
  readonly overrides: ReadonlyMap<string, { readonly value: SizeValue | undefined; readonly span: Span }>;
  /** The shape that the caller gives an input, and where to complain about it. */
  readonly inputShape: (name: string) => GivenShape | undefined;
  readonly fillings: ReadonlyMap<string, Filling>;
  readonly slots: Map<string, SlotEntity>;
  /**
   * Of what fills a slot: its outputs under the names of the slot's signature, by which alone they are known outside; undefined
   * where one does not fit.
   */
  exposed: ReadonlyMap<string, TensorEntity | undefined> | undefined;
  root: Scope;
  /** Members by full local name: `U.0`, `m.0`. */
  readonly members: Map<string, TensorEntity | InstanceEntity>;
  /** The members of each family, in order, for suggestions. */
  readonly families: Map<string, string[]>;
  /** Families that have members which cannot be told yet. */
  readonly openFamilies: Set<string>;
  readonly tensors: TensorEntity[];
  readonly axes: AxisEntity[];
  readonly sizes: SizeEntity[];
  readonly consts: ConstEntity[];
  readonly instances: InstanceEntity[];
  readonly outputs: OutputRecord[];
  /** Whether an `if` could not be decided, or a level not be unrolled. */
  postponed: boolean;
}

export interface GivenShape {
  readonly shape: readonly (number | undefined)[];
  readonly span: Span | undefined;
  /** How to call it: `the given x`, `z`. */
  readonly what: string;
}

export function lookUp(scope: Scope | undefined, name: string): Entity | undefined {
  for (let s = scope; s !== undefined; s = s.parent) {
    const entity = s.names.get(name);
    if (entity !== undefined) return entity;
  }
  return undefined;
}

/** All names that can be seen from a scope, the innermost first. */
export function* visibleNames(scope: Scope | undefined): Generator<string> {
  for (let s = scope; s !== undefined; s = s.parent) yield* s.names.keys();
}

export function kindName(entity: Entity): string {
  switch (entity.kind) {
    case 'size':
      return entity.role === 'level' ? 'the variable of a level' : 'a size';
    case 'const':
      return 'a const';
    case 'axis':
      return 'an axis';
    case 'tensor':
      return entity.role === 'computed' ? 'a tensor' : entity.role === 'input' ? 'an input' : 'a param';
    case 'instance':
      return 'an instance of a structure';
    case 'postponed':
      return 'a name';
    default:
      return entity satisfies never;
  }
}

/** The tensor itself, where an instance's input stands for another. */
export function actual(tensor: TensorEntity): TensorEntity {
  let t = tensor;
  while (t.alias !== undefined) t = t.alias;
  return t;
}
