import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
    silentFor(path, 100);
    expect(() => lock(folder)).toThrow(/100 s ago.*wait 2\d s/);
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

test.skipIf(!existsSync(built))('of many that find a dead one’s lock at once, one gets the folder', () =>
  inFolder(async (folder) => {
    const { pid: gone } = spawnSync(process.execPath, ['-e', '0']);
    writeFileSync(join(folder, 'lock'), holderText(folder, { pid: gone }));
    const script = `
      const { lockFolder } = await import(${JSON.stringify(built.href)});
      process.stdin.once('data', () => {
        try { lockFolder(process.argv[1], { doing: 'a', help: 'b' }); console.log('held'); } catch { console.log('refused'); }
      });
      console.log('ready');`;
    const children = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ['--input-type=module', '-e', script, folder], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    await Promise.all(children.map(({ stdout }) => once(stdout, 'data')));
    const answers = children.map(async ({ stdout }) => String((await once(stdout, 'data'))[0]).trim());
    for (const { stdin } of children) stdin.write('go\n');
    expect((await Promise.all(answers)).sort()).toEqual(['held', ...new Array(5).fill('refused')]);
    await Promise.all(
      children.map((child) => {
        child.kill('SIGKILL');
        return once(child, 'close');
      }),
    );
  }),
);
