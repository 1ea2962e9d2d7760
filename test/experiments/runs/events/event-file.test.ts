/** Event files, read back by another reader of the format; and what TensorBoard shows of a run that was interrupted. */
import { statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crc32c } from '../../../../experiments/runs/events/crc32c.ts';
import { eventFileNames, openEventFile, scalarsOf } from '../../../../experiments/runs/events/event-file.ts';
import { framed } from '../../../../experiments/runs/events/framing.ts';
import { doubleField, integerField, message } from '../../../../experiments/runs/events/protobuf.ts';
import type { LmEvaluationRecord, LmTrainRecord } from '../../../../experiments/runs/metrics.ts';
import { inFolder } from '../../../support/folder.ts';
import { readEvents, recordsOf, shownScalars } from './read-events.ts';

const train = (step: number, loss: number): LmTrainRecord => ({
  ...{ kind: 'train', step, loss, lr: 0.5, stepsPerSecond: 4, timeS: step / 4 },
  ...{ tokens: 64 * step, tokensPerSecond: 256, flopsPerSecond: null },
});
const evaluation = (step: number, loss: number): LmEvaluationRecord => ({
  ...{ kind: 'evaluation', step, loss, trainLoss: 1.5, perplexity: Math.exp(loss), bitsPerCharacter: null, tokens: 64 },
});

describe('the checksum', () => {
  // RFC 3720, B.4.
  test.each([
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['ascending', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['123456789', new TextEncoder().encode('123456789'), 0xe3069283],
  ])('of %s', (_, bytes, sum) => expect(crc32c(bytes)).toBe(sum));
});

test('any bytes are framed so that another reader finds them', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (all) => {
      const file = Buffer.concat(all.map(framed));
      expect(recordsOf(file).map((bytes) => [...bytes])).toEqual(all.map((bytes) => [...bytes]));
    }),
  );
});

test('a number above 32 bits keeps all of them', () => {
  // 2^40 + 1 in sevens: 1, 0, 0, 0, 0, 2^5.
  expect([...message(integerField(2, 2 ** 40 + 1))]).toEqual([16, 0x81, 0x80, 0x80, 0x80, 0x80, 0x20]);
  expect(message(doubleField(1, 1))).toEqual(Uint8Array.from([9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]));
});

test('a run: version, start, its options, then every number of its records', () =>
  inFolder((folder) => {
    const file = openEventFile(folder, { step: 0, kept: [], config: 'd_model: 64\nlr: 1\n' });
    const far = 2 ** 40;
    for (const record of [train(1, 3.5), evaluation(far, 2)]) file.append(record);
    file.close();
    const [version, start, config, first, last, ...others] = readEvents(file.path);
    expect(others).toEqual([]);
    expect(version.file_version).toBe('brain.Event:2');
    expect(start).toMatchObject({ step: 0, session_log: { status: 'START' } });
    expect(config.summary?.value[0]).toMatchObject({
      tag: 'config',
      metadata: { plugin_data: { plugin_name: 'text' } },
      tensor: { dtype: 'DT_STRING', tensor_shape: { dim: [{ size: 1 }] } },
    });
    const text = config.summary?.value[0].tensor?.string_val[0] ?? '';
    expect(Buffer.from(text, 'base64').toString()).toContain('    d_model: 64\n    lr: 1\n');
    expect(Math.abs(first.wall_time - Date.now() / 1000)).toBeLessThan(60);
    expect([first.step, last.step]).toEqual([1, far]);
    expect(first.summary?.value.map(({ tag, simple_value }) => [tag, simple_value])).toEqual([
      ['train/loss', 3.5],
      ['train/lr', 0.5],
      ['train/stepsPerSecond', 4],
      ['train/tokens', 64],
      ['train/tokensPerSecond', 256],
    ]);
  }));

test('a run that goes on has a new file, later in the order of names; nothing is shown twice and nothing is lost', () =>
  inFolder((folder) => {
    const write = (step: number, kept: readonly LmTrainRecord[], added: readonly LmTrainRecord[]) => {
      const file = openEventFile(folder, { step, kept, config: '' });
      for (const record of added) file.append(record);
      file.close();
    };
    const [one, two, three, four] = [train(1, 4), train(2, 3), train(3, 2), train(4, 1)];
    write(0, [], [one, two, three]);
    // Killed after step 3, its checkpoint is that of step 2; and again.
    write(2, [one, two], [three, four]);
    write(2, [one, two], [three, four]);
    const names = eventFileNames(folder);
    expect(names).toHaveLength(3);
    expect([...names].sort()).toEqual(names);
    // Killed while it wrote.
    truncateSync(join(folder, names[0]), statSync(join(folder, names[0])).size - 3);
    expect(shownScalars(folder, 'train/loss')).toEqual([one, two, three, four].map(({ step, loss }) => [step, loss]));
  }));

test('lists are told by their mean and their last; a stage by its baselines', () => {
  const scalars = scalarsOf({ kind: 'stage', step: 0, dims: 2, points: 2, baselines: { zero: [1, 3], none: [] } });
  expect(scalars.map(({ tag, value }) => [tag, value])).toEqual([
    ['stage/dims', 2],
    ['stage/points', 2],
    ['stage/baselines/zero/mean', 2],
    ['stage/baselines/zero/last', 3],
  ]);
});
