/**
 * What can be said of a file's functions without a call: names in their bodies are parameters and axes, a function does
 * not hide one of the language, and calls what exists.
 */
import type { Expression, FunctionItem } from '../syntax/ast.ts';
import { calleeOf } from './calls.ts';
import type { Module } from './files.ts';
import type { Report } from './report.ts';
import { childrenOf } from './walk.ts';

export function checkFunctions(module: Module, builtin: ReadonlySet<string>, report: Report): void {
  for (const item of module.file.functions) {
    if (builtin.has(item.name.text)) {
      report.error(
        'E0404',
        item.name.span,
        `\`${item.name.text}\` is a function of the language`,
        'choose another name',
      );
    }
    checkParameters(item, report);
    checkBody(item, module, report);
  }
}

function checkParameters(item: FunctionItem, report: Report): void {
  const seen = new Set<string>();
  for (const { text, span } of [...(item.axes ?? []), ...item.parameters]) {
    if (seen.has(text)) report.error('E0404', span, `\`${text}\` stands twice in the head of \`${item.name.text}\``);
    seen.add(text);
  }
}

function checkBody(item: FunctionItem, module: Module, report: Report): void {
  const names = [...item.parameters, ...(item.axes ?? [])].map((name) => name.text);
  const known = new Set(names);
  const check = (text: string, span: Expression['span']): void => {
    if (known.has(text)) return;
    const message = `\`${text}\` is not known in this function: only its parameters and axes are`;
    report.error('E0401', span, message, report.suggest(text, names));
  };
  const visit = (e: Expression): void => {
    if (e.kind === 'name' || e.kind === 'read') check(e.reference.name.text, e.reference.name.span);
    if (e.kind === 'group') for (const axis of e.axes) check(axis.text, axis.span);
    if (e.kind === 'call') {
      for (const axis of e.axes ?? []) check(axis.text, axis.span);
      if (calleeOf(e, module).kind === 'unknown') {
        const near = report.suggest(e.callee.text, module.functions.keys());
        report.error('E0407', e.callee.span, `there is no function \`${e.callee.text}\``, near);
      }
    }
    for (const child of childrenOf(e)) visit(child);
  };
  visit(item.body);
}
