/**
 * The syntax tree of a `.mlbtc` file: what the parser gives and the formatter prints.
 *
 * The grammar of the language on one page. Sizes, index expressions, conditions and tensor expressions share one
 * `Expression` type; which of them may stand where is a question for `semantics/`. Sums and products are n-ary from here on,
 * so that a sum of 20,000 terms is one node and nothing recurses over it. Parentheses are kept (`paren`), for the formatter
 * and for the Einstein rule ("a parenthesised product that is a factor of a product is part of it").
 */
import type { Span } from './diagnostic.ts';

export interface Identifier {
  readonly text: string;
  readonly span: Span;
}

/** `text` is the comment's text with its slashes. `own` says whether it stands alone on its line. */
export interface Comment {
  readonly kind: 'line' | 'doc';
  readonly text: string;
  readonly own: boolean;
  readonly span: Span;
}

export interface SourceFile {
  readonly file: string;
  readonly text: string;
  readonly imports: readonly ImportItem[];
  readonly functions: readonly FunctionItem[];
  readonly structures: readonly Structure[];
  /** The same items in the order of the file. */
  readonly items: readonly (ImportItem | FunctionItem | Structure)[];
  /** Every comment in order; doc comments are attached to what they document as well (`doc`). */
  readonly comments: readonly Comment[];
}

export interface ImportItem {
  readonly kind: 'import';
  readonly path: string;
  readonly pathSpan: Span;
  readonly span: Span;
}

/** `fn name[axes](parameters) = body`; `axes` is undefined where no brackets stand. */
export interface FunctionItem {
  readonly kind: 'function';
  readonly name: Identifier;
  readonly axes: readonly Identifier[] | undefined;
  readonly parameters: readonly Identifier[];
  readonly body: Expression;
  readonly doc: string | undefined;
  readonly span: Span;
}

export interface Structure {
  readonly kind: 'structure';
  readonly name: Identifier;
  readonly items: readonly Item[];
  readonly doc: string | undefined;
  readonly span: Span;
}

export type Item =
  | SizeItem
  | CheckItem
  | AxisItem
  | InputItem
  | ParamItem
  | LevelItem
  | IfItem
  | EquationItem
  | UseItem
  | SlotItem
  | ConstItem
  | OutputItem;

export interface SizeItem {
  readonly kind: 'size';
  readonly bindings: readonly SizeBinding[];
  readonly doc: string | undefined;
  readonly span: Span;
}

/** `D = 256`, `T`, or `(a, b) = split(D)`: `names` has more than one entry only in the last, tuple, form. */
export interface SizeBinding {
  readonly names: readonly Identifier[];
  readonly tuple: boolean;
  readonly value: Expression | undefined;
  readonly span: Span;
}

export interface CheckItem {
  readonly kind: 'check';
  readonly condition: Expression;
  readonly text: string;
  readonly span: Span;
}

export interface AxisItem {
  readonly kind: 'axis';
  readonly groups: readonly AxisGroup[];
  readonly span: Span;
}

export interface AxisGroup {
  readonly names: readonly Identifier[];
  readonly extent: Expression;
  readonly span: Span;
}

export type SyntaxDtype = 'f32' | 'f16' | 'i32';

/** `axes` is undefined for a scalar, which has no brackets. */
export interface InputItem {
  readonly kind: 'input';
  readonly name: Identifier;
  readonly axes: readonly Identifier[] | undefined;
  readonly dtype: SyntaxDtype;
  readonly doc: string | undefined;
  readonly span: Span;
}

export interface ParamItem {
  readonly kind: 'param';
  readonly name: Identifier;
  readonly axes: readonly Identifier[] | undefined;
  readonly init: InitClause;
  readonly fixed: boolean;
  readonly doc: string | undefined;
  readonly span: Span;
}

export type InitClause =
  | { readonly kind: 'normal-std'; readonly std: Expression; readonly span: Span }
  | { readonly kind: 'normal-fan-in'; readonly axes: readonly Identifier[]; readonly span: Span }
  | { readonly kind: 'ones'; readonly span: Span }
  /** `fanIn`: the axes of `zeros(fan_in = …)`. */
  | { readonly kind: 'zeros'; readonly fanIn: readonly Identifier[] | undefined; readonly span: Span }
  | { readonly kind: 'constant'; readonly value: Expression; readonly span: Span };

export interface LevelItem {
  readonly kind: 'level';
  readonly variable: Identifier;
  readonly from: Expression;
  readonly to: Expression;
  readonly items: readonly Item[];
  readonly span: Span;
}

export interface IfItem {
  readonly kind: 'if';
  readonly condition: Expression;
  readonly then: readonly Item[];
  readonly otherwise: readonly Item[] | undefined;
  readonly span: Span;
}

/** `target[indices] = value` or `+=`; `indices` is undefined for a scalar target. */
export interface EquationItem {
  readonly kind: 'equation';
  readonly target: Reference;
  readonly indices: readonly Expression[] | undefined;
  /** `: i32` after the indices; undefined where nothing is said. */
  readonly dtype: SyntaxDtype | undefined;
  readonly operator: '=' | '+=';
  readonly value: Expression;
  readonly doc: string | undefined;
  readonly span: Span;
}

export interface UseItem {
  readonly kind: 'use';
  readonly structure: Identifier;
  readonly bindings: readonly { readonly name: Identifier; readonly value: Expression; readonly span: Span }[];
  readonly alias: Identifier;
  readonly span: Span;
}

/**
 * `slot Up(w[n, t, i]) -> z[n, t, f], r[n, t, i] else w = "dense"`: the signature of a structure that the caller chooses, and
 * what fills it where nobody does: a file, or a structure or slot by its name.
 */
export interface SlotItem {
  readonly kind: 'slot';
  readonly name: Identifier;
  readonly inputs: readonly SlotTensor[];
  readonly outputs: readonly SlotOutput[];
  readonly fallback: SlotFallback | undefined;
  readonly doc: string | undefined;
  readonly span: Span;
}

export interface SlotTensor {
  readonly name: Identifier;
  /** Undefined for a scalar. */
  readonly axes: readonly Identifier[] | undefined;
  readonly dtype: SyntaxDtype;
  readonly span: Span;
}

export interface SlotOutput extends SlotTensor {
  /** The input that it is where the structure has no such output. */
  readonly otherwise: Identifier | undefined;
}

export type SlotFallback =
  | { readonly kind: 'file'; readonly path: string; readonly span: Span }
  | { readonly kind: 'structure'; readonly name: Identifier; readonly span: Span };

/** `const gamma = 0.9`: a real number by name. */
export interface ConstItem {
  readonly kind: 'const';
  readonly name: Identifier;
  readonly value: Expression;
  readonly doc: string | undefined;
  readonly span: Span;
}

/** One `output` item names one or more tensors; a reference may have members (`output z.depth`). */
export interface OutputItem {
  readonly kind: 'output';
  readonly references: readonly Reference[];
  readonly doc: string | undefined;
  readonly span: Span;
}

/** `m.z.0`, `z.depth`, `z.(l + 1)`: a name and what stands after its dots. */
export interface Reference {
  readonly name: Identifier;
  readonly members: readonly Member[];
  readonly span: Span;
}

export type Member =
  | { readonly kind: 'integer'; readonly value: number; readonly span: Span }
  | { readonly kind: 'name'; readonly name: Identifier; readonly span: Span }
  | { readonly kind: 'expression'; readonly value: Expression; readonly span: Span };

export type ComparisonOperator = '<' | '<=' | '>' | '>=' | '==' | '!=';

export type Expression =
  | { readonly kind: 'number'; readonly value: number; readonly text: string; readonly span: Span }
  /** `[8, 8, 4]`: only a size may be a list. */
  | { readonly kind: 'list'; readonly elements: readonly Expression[]; readonly span: Span }
  /** A size, axis, scalar tensor, function parameter. */
  | { readonly kind: 'name'; readonly reference: Reference; readonly span: Span }
  /** `W[h, r, i]`, `ranks[l]`. */
  | {
      readonly kind: 'read';
      readonly reference: Reference;
      readonly indices: readonly Expression[];
      readonly span: Span;
    }
  /** `exp(x)`, `sum[i](x)`, `len(ranks)`; `axes` is undefined without brackets; `every` is `[*]`. */
  | {
      readonly kind: 'call';
      readonly callee: Identifier;
      readonly axes: readonly Identifier[] | undefined;
      readonly every: boolean;
      readonly arguments: readonly Expression[];
      readonly span: Span;
    }
  /** `(k p q)` as a whole index: two or more axis names. */
  | { readonly kind: 'group'; readonly axes: readonly Identifier[]; readonly span: Span }
  | { readonly kind: 'paren'; readonly inner: Expression; readonly span: Span }
  | { readonly kind: 'negate'; readonly operand: Expression; readonly span: Span }
  /** The first term's operator is always `+`. */
  | { readonly kind: 'sum'; readonly terms: readonly SumTerm[]; readonly span: Span }
  /** The first factor's operator is always `*`. Left to right: `a / b * c` is `(a / b) * c`. */
  | { readonly kind: 'product'; readonly factors: readonly ProductFactor[]; readonly span: Span }
  | { readonly kind: 'power'; readonly base: Expression; readonly exponent: Expression; readonly span: Span }
  | {
      readonly kind: 'compare';
      readonly operator: ComparisonOperator;
      readonly left: Expression;
      readonly right: Expression;
      readonly span: Span;
    }
  | { readonly kind: 'and'; readonly operands: readonly Expression[]; readonly span: Span }
  | { readonly kind: 'where'; readonly value: Expression; readonly condition: Expression; readonly span: Span };

export interface SumTerm {
  readonly operator: '+' | '-';
  readonly value: Expression;
}

export interface ProductFactor {
  readonly operator: '*' | '/' | '%';
  readonly value: Expression;
}
