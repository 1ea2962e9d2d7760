/** `config.yaml` of a run: every option, and behind a value that is not the default who gave it and who said otherwise. */
import { Document, isScalar, isSeq } from 'yaml';
import type { TaskName } from '../options/set.ts';

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
    ` Every option of this run; \`mlbtc train ${task} --config THIS_FILE\` repeats it. A structure lies relative to this file.`,
    ' Behind a value that is not the default stands who gave it, and over whom.',
  ].join('\n');
  for (const [name, origin] of Object.entries(origins)) {
    const node = document.getIn(name.startsWith('-s ') ? ['sizes', name.slice(3)] : [name], true);
    if (isSeq(node)) node.flow = true;
    if (isSeq(node) || isScalar(node)) node.comment = ` ${origin}`;
  }
  return document.toString({ lineWidth: 0 });
}
