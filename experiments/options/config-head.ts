/** The first line of a run's `config.yaml`, which says whose options they are. */
import { type TaskName, taskNames } from './set.ts';

export function configHead(task: TaskName): string {
  return ` Every option of this run; \`mlbtc train ${task} --config THIS_FILE\` repeats it. A structure lies relative to this file.`;
}

/** Which training a config is of; undefined where its first line does not say. */
export function taskOfConfig(text: string): TaskName | undefined {
  const [first] = text.split('\n', 1);
  return taskNames.find((task) => first === `#${configHead(task)}`);
}
