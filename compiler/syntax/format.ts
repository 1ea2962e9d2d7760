/**
 * Syntax tree → the one layout: two spaces an indent, an item a line, `^` tight and other operators spaced.
 *
 * This file says which tokens stand on which line and what stands between them; `layout.ts` breaks long lines and puts the
 * comments back. The trap is precedence: the tree keeps the parentheses that were written, and a tree that was made rather
 * than read gets those that it needs.
 */
import type {
  Expression,
  FunctionItem,
  Identifier,
  IfItem,
  ImportItem,
  InitClause,
  Item,
  Reference,
  SlotItem,
  SlotTensor,
  SourceFile,
  Structure,
  SyntaxDtype,
} from './ast.ts';
import type { Diagnostic, Source } from './diagnostic.ts';
import { type Line, layout } from './layout.ts';
import { parse } from './parser.ts';
import { precedence } from './precedence.ts';

/** A line is broken after `=` only where no operator outside brackets will do. */
const afterEqual = precedence.product + 1;

/** A formatted text, or, where the source has mistakes, those: what cannot be read is not touched. */
export function formatSource(
  source: Source,
): { readonly text: string } | { readonly diagnostics: readonly Diagnostic[] } {
  const { file, diagnostics } = parse(source);
  return diagnostics.some((d) => d.severity === 'error') ? { diagnostics } : { text: format(file) };
}

/** The layout of a file that was read without errors (see `formatSource`), or of a tree that has no text. */
export function format(file: SourceFile): string {
  const pen = new Pen();
  file.items.forEach((item, i) => {
    const apart = item.kind === 'structure' || (i > 0 && file.items[i - 1].kind !== item.kind);
    pen.blank = apart ? 'always' : 'source';
    topItem(pen, item, file.text === '');
  });
  return layout(pen.lines, { file: file.file, text: file.text });
}

/** Where the next token goes, and how deep in brackets it stands. */
class Pen {
  readonly lines: Line[] = [];
  blank: Line['blank'] = 'source';
  nesting = 0;
  private rank: number | undefined;

  /** Begins a line. */
  line(indent: number, doc?: string): void {
    this.lines.push({ indent, atoms: [], blank: this.blank, docs: doc === undefined ? [] : doc.split('\n') });
    this.blank = 'source';
  }

  /** Writes one token; `gap` stands before it. */
  put(text: string, gap = ''): void {
    const atoms = this.lines[this.lines.length - 1].atoms;
    atoms.push({ text, gap: atoms.length === 0 ? '' : gap, rank: this.rank });
    this.rank = undefined;
  }

  /** The next token may begin a line, the rather the fewer brackets it stands in and the weaker `strength` binds. */
  mayBreak(strength = 0): void {
    this.rank = this.nesting * 10 + strength;
  }
}

function topItem(pen: Pen, item: ImportItem | FunctionItem | Structure, withDocs: boolean): void {
  switch (item.kind) {
    case 'import':
      pen.line(0);
      pen.put('import');
      pen.put(`"${item.path}"`, ' ');
      return;
    case 'function':
      pen.line(0, withDocs ? item.doc : undefined);
      pen.put('fn');
      pen.put(item.name.text, ' ');
      if (item.axes !== undefined) axisNames(pen, item.axes);
      pen.put('(');
      commas(pen, item.parameters, (parameter, gap) => pen.put(parameter.text, gap));
      pen.put(')');
      pen.put('=', ' ');
      pen.mayBreak(afterEqual);
      expression(pen, item.body, ' ');
      return;
    case 'structure':
      pen.line(0, withDocs ? item.doc : undefined);
      pen.put('structure');
      pen.put(item.name.text, ' ');
      block(pen, item.items, 0, withDocs);
      return;
    default:
      item satisfies never;
  }
}

/** ` {`, the items, and the line of the `}`, which the caller may go on. */
function block(pen: Pen, items: readonly Item[], indent: number, withDocs: boolean): void {
  pen.put('{', ' ');
  pen.blank = 'never';
  for (const item of items) {
    printItem(pen, item, indent + 1, withDocs);
    pen.blank = 'source';
  }
  pen.blank = items.length === 0 ? 'never' : 'source';
  pen.line(indent);
  pen.put('}');
}

function printItem(pen: Pen, item: Item, indent: number, withDocs: boolean): void {
  pen.line(indent, withDocs && 'doc' in item ? item.doc : undefined);
  switch (item.kind) {
    case 'size':
      pen.put('size');
      item.bindings.forEach((binding, i) => {
        if (i > 0) comma(pen);
        if (binding.tuple) {
          pen.put('(', ' ');
          commas(pen, binding.names, (name, gap) => pen.put(name.text, gap));
          pen.put(')');
        } else {
          pen.put(binding.names[0].text, ' ');
        }
        if (binding.value !== undefined) {
          pen.put('=', ' ');
          expression(pen, binding.value, ' ');
        }
      });
      return;
    case 'check':
      pen.put('check');
      expression(pen, item.condition, ' ');
      pen.mayBreak();
      pen.put(`"${item.text}"`, '  ');
      return;
    case 'axis':
      pen.put('axis');
      item.groups.forEach((group, i) => {
        if (i > 0) comma(pen);
        group.names.forEach((name, j) => {
          if (j > 0) pen.put(',');
          pen.put(name.text, ' ');
        });
        pen.put(':');
        expression(pen, group.extent, ' ');
      });
      return;
    case 'input':
      pen.put('input');
      pen.put(item.name.text, ' ');
      if (item.axes !== undefined) axisNames(pen, item.axes);
      dtypeClause(pen, item.dtype);
      return;
    case 'param':
      pen.put('param');
      pen.put(item.name.text, ' ');
      if (item.axes !== undefined) axisNames(pen, item.axes);
      pen.mayBreak();
      pen.put('~', ' ');
      initClause(pen, item.init);
      if (item.fixed) {
        pen.put(',');
        pen.put('fixed', ' ');
      }
      return;
    case 'level':
      pen.put('level');
      pen.put(item.variable.text, ' ');
      pen.put('in', ' ');
      expression(pen, item.from, ' ');
      pen.put('..', ' ');
      expression(pen, item.to, ' ');
      block(pen, item.items, indent, withDocs);
      return;
    case 'if':
      ifItem(pen, item, indent, withDocs, '');
      return;
    case 'equation':
      printReference(pen, item.target, '');
      if (item.indices !== undefined) bracketed(pen, '[', item.indices, ']');
      if (item.dtype !== undefined) {
        pen.put(':');
        pen.put(item.dtype, ' ');
      }
      pen.put(item.operator, ' ');
      pen.mayBreak(afterEqual);
      expression(pen, item.value, ' ');
      return;
    case 'const':
      pen.put('const');
      pen.put(item.name.text, ' ');
      pen.put('=', ' ');
      expression(pen, item.value, ' ');
      return;
    case 'slot':
      slotItem(pen, item);
      return;
    case 'use':
      pen.put('use');
      pen.put(item.structure.text, ' ');
      pen.put('(');
      commas(pen, item.bindings, (binding, gap) => {
        pen.put(binding.name.text, gap);
        pen.put('=', ' ');
        expression(pen, binding.value, ' ');
      });
      pen.put(')');
      pen.put('as', ' ');
      pen.put(item.alias.text, ' ');
      return;
    case 'output':
      pen.put('output');
      item.references.forEach((reference, i) => {
        if (i > 0) comma(pen);
        printReference(pen, reference, ' ');
      });
      return;
    default:
      item satisfies never;
  }
}

function slotItem(pen: Pen, { name, inputs, outputs, fallback }: SlotItem): void {
  pen.put('slot');
  pen.put(name.text, ' ');
  pen.put('(');
  commas(pen, inputs, (input, gap) => slotTensor(pen, input, gap));
  pen.put(')');
  pen.mayBreak();
  pen.put('->', ' ');
  outputs.forEach((output, i) => {
    if (i > 0) comma(pen);
    slotTensor(pen, output, ' ');
    if (output.otherwise === undefined) return;
    pen.put('else', ' ');
    pen.put(output.otherwise.text, ' ');
  });
  if (fallback === undefined) return;
  pen.mayBreak();
  pen.put('=', ' ');
  pen.put(fallback.kind === 'file' ? `"${fallback.path}"` : fallback.name.text, ' ');
}

function slotTensor(pen: Pen, { name, axes, dtype }: SlotTensor, gap: string): void {
  pen.put(name.text, gap);
  if (axes !== undefined) axisNames(pen, axes);
  dtypeClause(pen, dtype);
}

function dtypeClause(pen: Pen, dtype: SyntaxDtype): void {
  if (dtype === 'f32') return;
  pen.put(':');
  pen.put(dtype, ' ');
}

function ifItem(pen: Pen, item: IfItem, indent: number, withDocs: boolean, gap: string): void {
  pen.put('if', gap);
  expression(pen, item.condition, ' ');
  block(pen, item.then, indent, withDocs);
  if (item.otherwise === undefined) return;
  pen.put('else', ' ');
  const [only] = item.otherwise;
  if (item.otherwise.length === 1 && only.kind === 'if') ifItem(pen, only, indent, withDocs, ' ');
  else block(pen, item.otherwise, indent, withDocs);
}

function initClause(pen: Pen, init: InitClause): void {
  switch (init.kind) {
    case 'ones':
      pen.put('ones', ' ');
      return;
    case 'zeros':
      pen.put('zeros', ' ');
      if (init.fanIn === undefined) return;
      pen.put('(');
      fanIn(pen, init.fanIn);
      pen.put(')');
      return;
    case 'constant':
      pen.put('constant', ' ');
      bracketed(pen, '(', [init.value], ')');
      return;
    case 'normal-std':
    case 'normal-fan-in':
      pen.put('normal', ' ');
      pen.put('(');
      if (init.kind === 'normal-fan-in') fanIn(pen, init.axes);
      else {
        pen.put('std');
        pen.put('=', ' ');
        expression(pen, init.std, ' ');
      }
      pen.put(')');
      return;
    default:
      init satisfies never;
  }
}

function fanIn(pen: Pen, axes: readonly Identifier[]): void {
  pen.put('fan_in');
  pen.put('=', ' ');
  if (axes.length === 1) pen.put(axes[0].text, ' ');
  else axisGroup(pen, axes, ' ');
}

function comma(pen: Pen): void {
  pen.put(',');
  pen.mayBreak();
}

function commas<E>(pen: Pen, elements: readonly E[], print: (element: E, gap: string) => void): void {
  pen.nesting++;
  elements.forEach((element, i) => {
    if (i > 0) comma(pen);
    print(element, i > 0 ? ' ' : '');
  });
  pen.nesting--;
}

function axisNames(pen: Pen, axes: readonly Identifier[]): void {
  pen.put('[');
  commas(pen, axes, (axis, gap) => pen.put(axis.text, gap));
  pen.put(']');
}

function axisGroup(pen: Pen, axes: readonly Identifier[], gap: string): void {
  pen.put('(', gap);
  axes.forEach((axis, i) => {
    pen.put(axis.text, i > 0 ? ' ' : '');
  });
  pen.put(')');
}

function bracketed(pen: Pen, open: string, elements: readonly Expression[], close: string, gap = ''): void {
  pen.put(open, gap);
  commas(pen, elements, (element, elementGap) => expression(pen, element, elementGap));
  pen.put(close);
}

function printReference(pen: Pen, reference: Reference, gap: string): void {
  pen.put(reference.name.text, gap);
  for (const member of reference.members) {
    pen.put('.');
    switch (member.kind) {
      case 'integer':
        pen.put(String(member.value));
        break;
      case 'name':
        pen.put(member.name.text);
        break;
      case 'expression':
        bracketed(pen, '(', [member.value], ')');
        break;
      default:
        member satisfies never;
    }
  }
}

/** `weakest`: what binds less tightly stands in parentheses here. */
function expression(pen: Pen, e: Expression, gap: string, weakest = 0): void {
  if (precedence[e.kind] < weakest) {
    bracketed(pen, '(', [e], ')', gap);
    return;
  }
  const operator = (text: string) => {
    pen.mayBreak(precedence[e.kind]);
    pen.put(text, ' ');
  };
  switch (e.kind) {
    case 'number':
      pen.put(e.text, gap);
      return;
    case 'list':
      bracketed(pen, '[', e.elements, ']', gap);
      return;
    case 'name':
      printReference(pen, e.reference, gap);
      return;
    case 'read':
      printReference(pen, e.reference, gap);
      bracketed(pen, '[', e.indices, ']');
      return;
    case 'call':
      pen.put(e.callee.text, gap);
      if (e.every) {
        pen.put('[');
        pen.put('*');
        pen.put(']');
      } else if (e.axes !== undefined) {
        axisNames(pen, e.axes);
      }
      bracketed(pen, '(', e.arguments, ')');
      return;
    case 'group':
      axisGroup(pen, e.axes, gap);
      return;
    case 'paren':
      bracketed(pen, '(', [e.inner], ')', gap);
      return;
    case 'negate':
      pen.put('-', gap);
      expression(pen, e.operand, '', precedence.negate);
      return;
    case 'sum':
      e.terms.forEach((term, i) => {
        if (i > 0) operator(term.operator);
        expression(pen, term.value, i > 0 ? ' ' : gap, precedence.product);
      });
      return;
    case 'product':
      e.factors.forEach((factor, i) => {
        if (i > 0) operator(factor.operator);
        expression(pen, factor.value, i > 0 ? ' ' : gap, precedence.negate);
      });
      return;
    case 'power':
      expression(pen, e.base, gap, precedence.number);
      pen.put('^');
      expression(pen, e.exponent, '', precedence.negate);
      return;
    case 'compare':
      expression(pen, e.left, gap, precedence.sum);
      operator(e.operator);
      expression(pen, e.right, ' ', precedence.sum);
      return;
    case 'and':
      e.operands.forEach((operand, i) => {
        if (i > 0) operator('and');
        expression(pen, operand, i > 0 ? ' ' : gap, precedence.compare);
      });
      return;
    case 'where':
      expression(pen, e.value, gap, precedence.and);
      operator('where');
      expression(pen, e.condition, ' ', precedence.and);
      return;
    default:
      e satisfies never;
  }
}
