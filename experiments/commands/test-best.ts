/** How a run ends whose best model is judged on data that no step has seen. */
import type { RunFolder } from '../runs/folder.ts';
import { chosenCheckpoint } from '../runs/lm-run.ts';
import { appendMetrics, type MetricsRecord } from '../runs/metrics.ts';

/** The best model tested, written down and drawn. */
export async function testBest<Found extends MetricsRecord>(
  folder: RunFolder,
  test: (checkpoint: string) => Promise<Found>,
  plot: () => Promise<unknown>,
): Promise<Found> {
  const found = await test(chosenCheckpoint(folder, 'best'));
  appendMetrics(folder.metricsPath, found);
  await plot();
  return found;
}
