/**
 * What a run writes down while it goes: a line of `metrics.jsonl` for each record, and the same for TensorBoard. `metrics.jsonl` is the
 * one source; the event files are made from it and nothing reads them back.
 */
import { existsSync, readFileSync } from 'node:fs';
import { openEventFile } from './events/event-file.ts';
import type { RunFolder } from './folder.ts';
import { appendMetrics, type MetricsRecord, readMetrics } from './metrics.ts';
import { forgetOutcome } from './outcome.ts';

export interface RunRecord {
  append(record: MetricsRecord): void;
  close(): void;
}

/** Begins the record of a run, or goes on with one of which so many steps are done: `metrics.jsonl` has been cut to them before. */
export function openRecord(
  folder: Pick<RunFolder, 'path' | 'configPath' | 'metricsPath' | 'outcomePath'>,
  done = 0,
): RunRecord {
  const { path, configPath, metricsPath } = folder;
  forgetOutcome(folder);
  const kept = existsSync(metricsPath) ? readMetrics(metricsPath) : [];
  const events = openEventFile(path, { step: done, kept, config: readFileSync(configPath, 'utf8') });
  return {
    append: (record) => {
      appendMetrics(metricsPath, record);
      events.append(record);
    },
    close: events.close,
  };
}
