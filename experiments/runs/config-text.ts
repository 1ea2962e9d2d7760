/** `config.yaml` of a run: every option, and behind a value that is not the default who gave it and who said otherwise. */
import { Document, isScalar, isSeq, parseDocument } from 'yaml';
import { configHead } from '../options/config-head.ts';
import type { TaskName } from '../options/set.ts';
import { showValue } from '../options/table.ts';

export interface ConfigContent {
  readonly task: TaskName;
  /** As they are written, `sizes` among them. */
  readonly options: Readonly<Record<string, unknown>>;
  /** By option, and by `-s NAME` for a size. */
  readonly origins: Readonly<Record<string, string>>;
}

export function configText({ task, options, origins }: ConfigContent): string {
  const document = new Document(options);
  document.commentBefore = [
    configHead(task),
    ' Behind a value that is not the default stands who gave it, and over whom.',
  ].join('\n');
  for (const [name, origin] of Object.entries(origins)) {
    const node = document.getIn(name.startsWith('-s ') ? ['sizes', name.slice(3)] : [name], true);
    if (isSeq(node)) node.flow = true;
    if (isSeq(node) || isScalar(node)) node.comment = ` ${origin}`;
  }
  return document.toString({ lineWidth: 0 });
}

/** A config with other values, and behind each who gave it; whatever else stands there stays. */
export function changedConfig(text: string, changes: Readonly<Record<string, unknown>>, by: string): string {
  const document = parseDocument(text);
  for (const [name, value] of Object.entries(changes)) {
    const before = document.get(name);
    if (showValue(before) === showValue(value)) continue;
    const node = document.createNode(value);
    node.comment = ` ${by}, over ${showValue(before)}`;
    document.set(name, node);
  }
  return document.toString({ lineWidth: 0 });
}
