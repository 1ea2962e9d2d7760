/** What a run's losses are of: whether two runs can be held against each other, and what their axes say. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { StoredRun } from '../runs/stored-run.ts';
import { type IclTaskName, iclTasks } from '../tasks/tasks.ts';
import { quantities } from './icl-charts.ts';

export interface Measure {
  /** Of what a chart is. */
  readonly title: string;
  /** The axis of losses; where it differs they are different things. */
  readonly loss: string;
  /** The axis of errors by point in context. */
  readonly error: string;
  /** What is learned: losses over one thing tell how runs compare, over several they only stand side by side. */
  readonly subject: string;
}

export function measureOf({ task, options, folder }: StoredRun): Measure {
  switch (task) {
    case 'icl': {
      const subject = options.training_task as IclTaskName;
      const { title, answers } = iclTasks[subject];
      const { loss, error } = quantities[answers];
      return { title: `${title} in context`, loss: `${loss} over the context`, error, subject };
    }
    case 'lm':
      return { title: 'Language models', loss: 'loss, nats a token', error: '', subject: dataOf(folder.recordPath) };
    case 'series': {
      const subject = `${dataOf(folder.recordPath)}, ${options.horizon} times ahead`;
      return { title: 'Forecasts', loss: 'mean squared error, standardised', error: '', subject };
    }
    case 'vit':
      return {
        title: 'Image classification',
        loss: 'loss, nats an image',
        error: '',
        subject: dataOf(folder.recordPath),
      };
    default:
      return task satisfies never;
  }
}

const recordSchema = z.object({ data: z.object({ name: z.string(), tokenizer: z.string().optional() }) });

function dataOf(recordPath: string): string {
  try {
    const { name, tokenizer } = recordSchema.parse(JSON.parse(readFileSync(recordPath, 'utf8'))).data;
    return tokenizer === undefined ? name : `${name} as ${tokenizer}`;
  } catch {
    return 'unknown data';
  }
}
