import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { param, program } from '../../../compiler/ir/build.ts';
import {
  checkpointPath,
  checkpointSteps,
  readCheckpoint,
  writeCheckpoint,
} from '../../../experiments/runs/checkpoint.ts';
import { appendMetrics, type MetricsRecord, readMetrics } from '../../../experiments/runs/metrics.ts';
import { layOut, packArena } from '../../../experiments/training/arena.ts';
import { paramsOf } from '../../../experiments/training/mup.ts';

const arenaOf = (rows: number) => layOut(paramsOf(program([param('W', [rows, 3]), param('g', [5])], [])));
const arena = arenaOf(7);
const state = (step: number) => {
  const packed = (offset: number) =>
    packArena(arena, ({ name }) => Array.from({ length: name === 'W' ? 21 : 5 }, (_, i) => i + offset));
  return { step, params: packed(step), m: packed(0.5), v: packed(0.25) };
};
const temporary = () => mkdtempSync(join(tmpdir(), 'mlbtc-checkpoint-'));

describe('checkpoints', () => {
  test('what is read is what was written', () => {
    const path = writeCheckpoint(temporary(), arena, state(12), 100);
    expect(readCheckpoint(path, arena)).toEqual(state(12));
  });

  test('the last two are kept, and those at a multiple of keep_every', () => {
    const folder = temporary();
    for (const step of [5, 10, 15, 20, 25]) writeCheckpoint(folder, arena, state(step), 10);
    expect(checkpointSteps(folder)).toEqual([10, 20, 25]);
    expect(readdirSync(folder).every((name) => name.startsWith('step-'))).toBe(true);
  });

  test('another model’s checkpoint is refused with both shapes', () => {
    const folder = temporary();
    writeCheckpoint(folder, arena, state(1), 100);
    expect(() => readCheckpoint(checkpointPath(folder, 1), arenaOf(8))).toThrow(
      /shape \(7, 3\), the model wants \(8, 3\)/,
    );
  });
});

describe('metrics', () => {
  const record = { kind: 'stage', step: 0, dims: 4, points: 8, baselines: { zero: [1, 1] } } satisfies MetricsRecord;

  test('records come back; half a last line is skipped, a broken one is not', () => {
    const path = join(temporary(), 'metrics.jsonl');
    appendMetrics(path, record);
    appendMetrics(path, record);
    expect(readMetrics(path)).toEqual([record, record]);
    writeFileSync(path, `${JSON.stringify(record)}\n{"kind":"sta`);
    expect(readMetrics(path)).toEqual([record]);
    writeFileSync(path, `{"kind":"sta\n${JSON.stringify(record)}\n`);
    expect(() => readMetrics(path)).toThrow(/metrics\.jsonl:1: not a line of metrics/);
  });

  test('what is not finite is null in the file and comes back as NaN', () => {
    const path = join(temporary(), 'metrics.jsonl');
    const found = { kind: 'evaluation', step: 3, loss: Number.NaN, pointwise: [1, Number.POSITIVE_INFINITY] } as const;
    appendMetrics(path, { ...found, pointwise: [...found.pointwise], dims: 2, points: 2, prompts: 8, baselines: {} });
    expect(readFileSync(path, 'utf8')).toContain('"loss":null,"pointwise":[1,null]');
    expect(readMetrics(path)).toEqual([
      { ...found, pointwise: [1, Number.NaN], dims: 2, points: 2, prompts: 8, baselines: {} },
    ]);
  });
});
