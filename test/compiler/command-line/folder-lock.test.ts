import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { lockFolder, lockHolder } from '../../../compiler/command-line/folder-lock.ts';
import { inFolder } from '../../support/folder.ts';

const words = { doing: 'working', help: 'take another folder' };
const lock = (folder: string) => lockFolder(folder, words);

/** What a holder writes, of this process; with other values where they are given. */
function holderText(folder: string, other: Readonly<Record<string, unknown>>): string {
  const own = lock(folder);
  const text = readFileSync(join(folder, 'lock'), 'utf8');
  own.release();
  return `${JSON.stringify({ ...JSON.parse(text), ...other })}\n`;
}

const silentFor = (path: string, seconds: number) => {
  const then = Date.now() / 1000 - seconds;
  utimesSync(path, then, then);
};

test('one holder at a time; nothing is left behind', () =>
  inFolder((folder) => {
    const first = lock(folder);
    expect(first.wasLeft).toBe(false);
    expect(() => lock(folder)).toThrow(
      new RegExp(`is in use: process ${process.pid} is working there since .*; stop it, or take another folder`),
    );
    expect(lockHolder(folder)?.pid).toBe(process.pid);
    first.check();
    first.release();
    first.release();
    expect(lockHolder(folder)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
    lock(folder).release();
  }));

test('a process that is gone keeps nothing, nor one whose number another has now', () =>
  inFolder((folder) => {
    const path = join(folder, 'lock');
    const { pid: gone } = spawnSync(process.execPath, ['-e', '0']);
    for (const left of [{ pid: gone }, { began: '1' }]) {
      writeFileSync(path, holderText(folder, left));
      expect(lockHolder(folder)).toBeUndefined();
      const taken = lock(folder);
      expect(taken.wasLeft).toBe(true);
      taken.check();
      taken.release();
    }
    expect(readdirSync(folder)).toEqual([]);
  }));

test.each([
  [
    'another machine',
    { numbers: 'another boot', host: 'far', pid: 1 },
    /process 1 on far is working there since .*, and gave a sign of life \d+ s ago; stop it and wait \d+ s, or take another folder/,
  ],
  [
    'who does not say',
    undefined,
    /its lock was written \d+ s ago and does not say by whom; wait \d+ s, or take another folder/,
  ],
])('of %s it counts how long it has been silent', (_, other, message) =>
  inFolder((folder) => {
    const path = join(folder, 'lock');
    writeFileSync(path, other === undefined ? '' : holderText(folder, other));
    expect(() => lock(folder)).toThrow(message);
    expect(existsSync(path)).toBe(true);
    // The clock goes on meanwhile, for seconds where the processors are busy.
    silentFor(path, 90);
    expect(() => lock(folder)).toThrow(/ 9\d s ago.*wait (30|2\d) s/);
    silentFor(path, 130);
    expect(lockHolder(folder)).toBeUndefined();
    const taken = lock(folder);
    expect(taken.wasLeft).toBe(true);
    taken.release();
  }),
);

test('a lock that was copied along with its folder is nobody’s', () =>
  inFolder((folder) => {
    const [from, to] = ['from', 'to'].map((name) => join(folder, name));
    mkdirSync(from);
    const first = lock(from);
    cpSync(from, to, { recursive: true });
    const second = lock(to);
    expect(second.wasLeft).toBe(true);
    expect(() => lock(from)).toThrow('is in use');
    for (const one of [first, second]) one.release();
  }));

test('who has lost the folder hears of it, and leaves the other’s lock', () =>
  inFolder((folder) => {
    const path = join(folder, 'lock');
    const other = holderText(folder, { token: 'other', pid: 12, host: 'far' });
    const mine = lock(folder);
    writeFileSync(path, other);
    expect(() => mine.check()).toThrow(
      'is not this process’s any more: process 12 on far has taken it'.replace('’', "'"),
    );
    mine.release();
    expect(readFileSync(path, 'utf8')).toBe(other);
  }));

const built = new URL('../../../dist/compiler/command-line/folder-lock.js', import.meta.url);

/** Threads, since what is to be met lasts microseconds: round by round they start at once. */
const contender = `
  const { workerData } = require('node:worker_threads');
  import(workerData.module).then(({ lockFolder }) => {
    const [round, over, ready, held, done] = [0, 1, 2, 3, 4];
    const counts = new Int32Array(workerData.counts);
    Atomics.add(counts, ready, 1);
    for (let last = 0; ; last++) {
      Atomics.wait(counts, round, last);
      let lock;
      try {
        lock = lockFolder(workerData.folder, { doing: 'working', help: 'take another' });
        Atomics.add(counts, held, 1);
      } catch (error) {
        if (!error.message.includes('is in use')) throw error;
      }
      Atomics.add(counts, done, 1);
      Atomics.wait(counts, over, last);
      lock?.release();
      Atomics.add(counts, ready, 1);
    }
  });`;

test.skipIf(!existsSync(built))('of many that find a dead one’s lock at once, one gets the folder', () =>
  inFolder(async (folder) => {
    const [round, over, ready, held, done] = [0, 1, 2, 3, 4];
    const counts = new Int32Array(new SharedArrayBuffer(20));
    const start = (index: number) => {
      Atomics.add(counts, index, 1);
      Atomics.notify(counts, index);
    };
    const until = async (index: number, value: number) => {
      while (Atomics.load(counts, index) < value) await setTimeout(0);
    };
    const { pid: gone } = spawnSync(process.execPath, ['-e', '0']);
    const [left, leftToo] = ['1', '2'].map((token) => holderText(folder, { pid: gone, token }));
    const contenders = Array.from(
      { length: 4 },
      () => new Worker(contender, { eval: true, workerData: { module: built.href, folder, counts: counts.buffer } }),
    );
    try {
      for (let number = 1; number <= 300; number++) {
        await until(ready, number * contenders.length);
        writeFileSync(join(folder, 'lock'), left);
        // As of one that went while it took another's away.
        if (number % 3 === 0) writeFileSync(join(folder, '.lock.next.tmp'), leftToo);
        start(round);
        await until(done, number * contenders.length);
        expect(counts[held]).toBe(number);
        start(over);
      }
    } finally {
      await Promise.all(contenders.map((worker) => worker.terminate()));
    }
    expect(readdirSync(folder).filter((name) => name !== 'lock')).toEqual([]);
  }),
);
