import { describe, expect, test } from 'vitest';
import { program } from '../../../compiler/ir/build.ts';
import { verify } from '../../../compiler/ir/verify.ts';
import { splitOf } from '../../../experiments/data/token-data.ts';
import {
  drawnWindows,
  givenWindows,
  packedText,
  readWindows,
  textWords,
  windowStart,
  windowStarts,
  windowStreams,
} from '../../../experiments/tasks/windows.ts';
import { deviceRunners } from '../../../experiments/training/device-runner.ts';
import { interpreterRunner } from '../../../experiments/training/runner.ts';
import { testDevice } from '../../support/device.ts';

const opened = await testDevice();
const makers = { interpreter: interpreterRunner, device: deviceRunners(opened) } as const;
const shape = { batch: 5, length: 7 };

const texts = {
  // Words with their highest bit set are negative.
  bytes: splitOf(
    Uint8Array.from({ length: 61 }, (_, i) => (i * 37 + 200) % 256),
    undefined,
  ),
  words: splitOf(
    Uint16Array.from({ length: 61 }, (_, i) => (i * 7919 + 60_000) % 65_536),
    undefined,
  ),
};

describe.each(Object.entries(texts))('windows of a text of %s', (_, split) => {
  test.each(Object.entries(makers))('on the %s are what stands in the text', async (_where, make) => {
    const made = program(drawnWindows(shape, textWords(split), split.bytesPerToken), ['tokens', 'targets']);
    expect(verify(made)).toEqual([]);
    const runner = await make(made);
    const starts = windowStarts(3, windowStreams.train, 40, split, shape);
    runner.upload('text', packedText(split));
    runner.upload('start', starts);
    runner.run();
    const found = await runner.download('tokens', 'targets');
    const expected = readWindows(split, starts, shape);
    for (const [name, offset] of [
      ['tokens', 0],
      ['targets', 1],
    ] as const) {
      const rows = Array.from(starts, (start) => [...split.read(start + offset, shape.length)]);
      expect(Array.from(found.get(name) as ArrayLike<number>)).toEqual(rows.flat());
    }
    runner.destroy();
    const given = await make(program(givenWindows(shape), ['tokens', 'targets']));
    given.upload('window', expected);
    given.run();
    const read = await given.download('tokens', 'targets');
    for (const name of ['tokens', 'targets']) expect(read.get(name)).toEqual(found.get(name));
    given.destroy();
  });
});

test('places depend on seed, split and number alone, and reach both ends of the text', () => {
  const split = texts.bytes;
  const draw = (seed: number, count: number, from = 0) =>
    Array.from({ length: count }, (_, i) => windowStart(seed, windowStreams.train, from + i, split, 7));
  expect(draw(1, 8)).toEqual([...draw(1, 3), ...draw(1, 5, 3)]);
  expect(draw(1, 8)).not.toEqual(draw(2, 8));
  const many = draw(0, 4000);
  expect([Math.min(...many), Math.max(...many)]).toEqual([0, 53]);
  const counts = new Array(54).fill(0);
  for (const start of many) counts[start] += 1;
  // Chi squared with 53 degrees of freedom: 99.9 % lie below 90.6.
  expect(counts.reduce((sum, n) => sum + (n - 4000 / 54) ** 2 / (4000 / 54), 0)).toBeLessThan(90.6);
});

test('a number beyond 32 bits is another sequence', () => {
  const at = (sequence: number) => windowStart(0, windowStreams.train, sequence, texts.words, 7);
  expect(new Set([at(5), at(5 + 2 ** 31), at(5 + 2 ** 32), at(5 + 2 ** 33)]).size).toBeGreaterThan(1);
});
