import { mkdtempSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { param, program } from '../../../compiler/ir/build.ts';
import {
  bestCheckpointPath,
  checkpointPath,
  checkpointSteps,
  lastGoodCheckpoint,
  packCheckpoint,
  readCheckpoint,
  saveCheckpoint,
  type TrainingState,
  writeCheckpoint,
} from '../../../experiments/runs/checkpoint.ts';
import { appendMetrics, cutMetrics, type MetricsRecord, readMetrics } from '../../../experiments/runs/metrics.ts';
import { layOut, packArena } from '../../../experiments/training/arena.ts';
import { paramsOf } from '../../../experiments/training/mup.ts';
import { serializeSafetensors } from '../../../runtime/safetensors.ts';

const arenaOf = (rows: number) => layOut(paramsOf(program([param('W', [rows, 3]), param('g', [5])], [])));
const arena = arenaOf(7);
const choices = { step: [{ label: 'k0 loss', key: 'c0ffee', tuning: { lanes: 4, form: 'row' } }] };
const decisions: TrainingState['decisions'] = {
  contractions: { 'a problem': { form: 'tiled', tileM: 64, tileN: 64, tileK: 16, rows: 8, columns: 4, buffers: 1 } },
  rows: { another: { lanes: 32, workgroupSize: 128, shuffle: true } },
  streams: { scores: { threadRows: 16, threadColumns: 8, rowQuads: 1, depth: 16 } },
  pieces: { 'a sum': 16 },
};
const state = (step: number): TrainingState => {
  const packed = (offset: number) =>
    packArena(arena, ({ name }) => Array.from({ length: name === 'W' ? 21 : 5 }, (_, i) => i + offset));
  return { step, phase: 0, best: 1 / 3, choices, decisions, params: packed(step), m: packed(0.5), v: packed(0.25) };
};
const temporary = () => mkdtempSync(join(tmpdir(), 'mlbtc-checkpoint-'));

describe('checkpoints', () => {
  test('what is read is what was written', () => {
    const checkpoint = readCheckpoint(writeCheckpoint(temporary(), arena, state(12), 100));
    const { path: _, tensors: __, ...standing } = checkpoint;
    expect({ ...standing, ...packCheckpoint(checkpoint, arena) }).toEqual(state(12));
  });

  test('a run without an evaluation has no best', () => {
    const path = writeCheckpoint(temporary(), arena, { ...state(12), best: undefined }, 100);
    expect(readCheckpoint(path).best).toBeUndefined();
  });

  test('decisions that this version does not know are left to its rules', () => {
    const strange = {
      ...decisions,
      rows: { another: { lanes: 32, spin: 3 } },
    } as unknown as TrainingState['decisions'];
    const path = writeCheckpoint(temporary(), arena, { ...state(12), decisions: strange }, 100);
    expect(readCheckpoint(path)).toMatchObject({ step: 12, decisions: undefined });
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
    expect(() => packCheckpoint(readCheckpoint(checkpointPath(folder, 1)), arenaOf(8))).toThrow(
      /shape \(7, 3\), the model wants \(8, 3\)/,
    );
  });
});

describe('a damaged checkpoint', () => {
  const folder = temporary();
  writeCheckpoint(folder, arena, state(1), 100);
  const path = writeCheckpoint(folder, arena, state(2), 100);
  const whole = readFileSync(path);
  const headerBytes = 8 + Number(whole.readBigUInt64LE());
  const flipped = (place: number, bit: number) => {
    const bytes = Buffer.from(whole);
    bytes[place] ^= 1 << bit;
    return bytes;
  };
  const refusalOf = (bytes: Uint8Array) => {
    writeFileSync(path, bytes);
    const { checkpoint, refused } = lastGoodCheckpoint(folder);
    // The one before is used.
    expect(checkpoint?.step).toBe(1);
    expect(refused).toHaveLength(1);
    return refused[0].reason;
  };

  test('whole, it is the last good one', () => {
    expect(lastGoodCheckpoint(folder)).toMatchObject({ checkpoint: { step: 2 }, refused: [] });
  });

  test('a flipped bit of the header is refused, in every byte', () => {
    for (let place = 0; place < headerBytes; place += 1) refusalOf(flipped(place, (5 * place) % 8));
  });

  test('a flipped bit of the body is refused, wherever it is', () => {
    for (let place = headerBytes; place < whole.length; place += 1) {
      expect(refusalOf(flipped(place, (7 * place) % 8))).toMatch(/does not match the digest in its header/);
    }
  });

  test('one that is cut short is refused, at whatever length', () => {
    for (let length = 0; length < whole.length; length += 7) refusalOf(whole.subarray(0, length));
    refusalOf(Buffer.concat([whole, Buffer.alloc(4)]));
    writeFileSync(path, whole);
    truncateSync(path, whole.length - 4);
    expect(lastGoodCheckpoint(folder).refused[0].reason).toMatch(/the file is cut short/);
  });

  test('another safetensors file is refused with what it lacks', () => {
    const other = serializeSafetensors(new Map([['W', { dtype: 'U8', shape: [1], data: Uint8Array.of(1) }]]));
    expect(refusalOf(other)).toMatch(/not a checkpoint that a run can go on from: its metadata say no right format/);
  });

  test('the best one counts where none of the last is whole', () => {
    const alone = temporary();
    expect(lastGoodCheckpoint(alone)).toEqual({ checkpoint: undefined, refused: [] });
    saveCheckpoint(bestCheckpointPath(alone), arena, state(3));
    writeFileSync(checkpointPath(alone, 4), whole.subarray(0, 50));
    expect(lastGoodCheckpoint(alone)).toMatchObject({ checkpoint: { step: 3 }, refused: [{}] });
    writeFileSync(bestCheckpointPath(alone), whole.subarray(0, 50));
    expect(lastGoodCheckpoint(alone)).toMatchObject({ checkpoint: undefined, refused: [{}, {}] });
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

  test('cut at a checkpoint: steps up to it stay, the evaluation and the phase after it are made again', () => {
    const path = join(temporary(), 'metrics.jsonl');
    const of = { loss: 1, pointwise: [1], dims: 4, points: 8 };
    const at = (step: number): readonly MetricsRecord[] => [
      { kind: 'train', step, ...of, lr: 1, stepsPerSecond: 1, timeS: 1 },
      { kind: 'evaluation', step, ...of, prompts: 1, baselines: {} },
      { ...record, step },
    ];
    const written = [record, ...at(1), ...at(2), ...at(3)];
    const write = (more = '') => writeFileSync(path, written.map((one) => `${JSON.stringify(one)}\n`).join('') + more);
    for (const torn of ['', '{"kind":"tra', '{}\n{"kind', '\0\0\0\n\0']) {
      for (const [done, kept] of [
        [0, 0],
        [1, 2],
        [2, 5],
        [3, 8],
        [4, 10],
      ]) {
        write(torn);
        expect(cutMetrics(path, done)).toEqual(written.slice(0, kept));
        expect(readMetrics(path)).toEqual(written.slice(0, kept));
        expect(cutMetrics(path, done)).toHaveLength(kept);
      }
    }
    expect(cutMetrics(join(temporary(), 'metrics.jsonl'), 3)).toEqual([]);
  });

  test('a broken line before the checkpoint is no torn one', () => {
    const path = join(temporary(), 'metrics.jsonl');
    writeFileSync(path, `${JSON.stringify(record)}\n{"kind\n${JSON.stringify({ ...record, step: 2 })}\n`);
    expect(() => cutMetrics(path, 3)).toThrow(/metrics\.jsonl:2: not a line of metrics that step 3 can follow/);
    expect(cutMetrics(path, 1)).toEqual([record]);
  });
});
