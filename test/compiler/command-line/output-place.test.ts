import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeFileAtomically } from '../../../compiler/command-line/atomic-file.ts';
import { describeError, UsageError } from '../../../compiler/command-line/errors.ts';
import { makeFolder } from '../../../compiler/command-line/folders.ts';
import { writeFolder } from '../../../compiler/command-line/output-folder.ts';
import { outputPlace, refuseOverwriting } from '../../../compiler/command-line/output-place.ts';
import { inFolder } from '../../support/folder.ts';

const atomicFile = new URL('../../../dist/compiler/command-line/atomic-file.js', import.meta.url).href;
const onLinux = test.skipIf(process.platform !== 'linux');
const messageOf = (action: () => void): string => {
  try {
    action();
    return '';
  } catch (error) {
    return describeError(error).message;
  }
};

describe('a file that is written', () => {
  test('keeps its mode, through links that stay links', () =>
    inFolder((folder) => {
      mkdirSync(join(folder, 'far'));
      const target = join(folder, 'far', 'result');
      writeFileSync(target, 'old');
      chmodSync(target, 0o640);
      symlinkSync('far/result', join(folder, 'near'));
      symlinkSync('near', join(folder, 'nearer'));
      writeFileAtomically(join(folder, 'nearer'), ['n', new TextEncoder().encode('ew')]);
      expect(readFileSync(target, 'utf8')).toBe('new');
      expect(statSync(target).mode & 0o777).toBe(0o640);
      expect(lstatSync(join(folder, 'nearer')).isSymbolicLink()).toBe(true);
      expect(readdirSync(join(folder, 'far'))).toEqual(['result']);
    }));

  test('appears where a link leads that leads nowhere yet', () =>
    inFolder((folder) => {
      symlinkSync('there/result', join(folder, 'link'));
      writeFileAtomically(join(folder, 'link'), ['x']);
      expect(readFileSync(join(folder, 'there', 'result'), 'utf8')).toBe('x');
      expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true);
    }));

  test('in a ring of links', () =>
    inFolder((folder) => {
      symlinkSync('b', join(folder, 'a'));
      symlinkSync('a', join(folder, 'b'));
      const path = join(folder, 'a');
      expect(messageOf(() => writeFileAtomically(path, ['x']))).toBe(
        `error: ${path}: its links lead round in a circle (ELOOP)`,
      );
    }));

  onLinux('goes through devices and FIFOs, which stay what they are', () =>
    inFolder((folder) => {
      const [device, fifo] = [join(folder, 'null'), join(folder, 'fifo')];
      symlinkSync('/dev/null', device);
      execFileSync('mkfifo', [fifo]);
      writeFileAtomically(device, ['gone']);
      expect(statSync(device).isCharacterDevice()).toBe(true);
      const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
      writeFileAtomically(fifo, ['through']);
      const bytes = Buffer.alloc(16);
      expect(bytes.toString('utf8', 0, readSync(reader, bytes))).toBe('through');
      closeSync(reader);
      expect(lstatSync(fifo).isFIFO()).toBe(true);
    }),
  );

  onLinux('a full device is an error of this path', () =>
    expect(messageOf(() => writeFileAtomically('/dev/full', ['x']))).toBe(
      'error: /dev/full: no space left on the disk (ENOSPC)',
    ),
  );

  onLinux('in /proc, which makes no folders, does not try for ever', () => {
    expect(messageOf(() => makeFolder('/proc/x/y/z'))).toBe('error: /proc/x: no such file or folder (ENOENT)');
    expect(messageOf(() => writeFileAtomically('/proc/x/y', ['x']))).toContain('no such file or folder');
    expect(messageOf(() => writeFolder('/proc/x/y', [{ name: 'a', text: '' }]))).toContain('no such file or folder');
  });

  onLinux('as standard output adds to what stands there, be it a file, a pipe or a socket', () =>
    inFolder(async (folder) => {
      const code = `import { writeFileAtomically } from ${JSON.stringify(atomicFile)};
        writeFileAtomically('/dev/stdout', ['second\\n']);`;
      const args = ['--input-type=module', '--eval', code];
      const shell = (line: string) =>
        spawnSync('sh', ['-c', line, process.execPath, ...args], { cwd: folder, encoding: 'utf8' });
      expect(shell('(echo first; "$0" "$@") > log').stderr).toBe('');
      expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('first\nsecond\n');
      expect(shell('"$0" "$@" | cat').stdout).toBe('second\n');
      expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout).toBe('second\n');
    }),
  );
});

describe('a folder that is written', () => {
  const files = [
    { name: 'a.wgsl', text: 'a' },
    { name: 'b.wgsl', text: 'b' },
  ];

  test('where a link leads, be the folder there or not', () =>
    inFolder((folder) => {
      symlinkSync('there', join(folder, 'out'));
      for (const _ of [1, 2]) {
        writeFolder(join(folder, 'out'), files);
        expect(readdirSync(join(folder, 'there'))).toEqual(['a.wgsl', 'b.wgsl']);
      }
      expect(lstatSync(join(folder, 'out')).isSymbolicLink()).toBe(true);
    }));

  test('with files in it that are links or have a mode of their own', () =>
    inFolder((folder) => {
      const out = join(folder, 'out');
      mkdirSync(out);
      writeFileSync(join(folder, 'elsewhere'), 'old');
      symlinkSync('../elsewhere', join(out, 'a.wgsl'));
      writeFileSync(join(out, 'b.wgsl'), 'old', { mode: 0o600 });
      writeFolder(out, files);
      expect(readFileSync(join(folder, 'elsewhere'), 'utf8')).toBe('a');
      expect(lstatSync(join(out, 'a.wgsl')).isSymbolicLink()).toBe(true);
      expect(statSync(join(out, 'b.wgsl')).mode & 0o777).toBe(0o600);
      expect(readdirSync(out)).toEqual(['a.wgsl', 'b.wgsl']);
    }));

  onLinux('is neither a device nor in /proc', () => {
    const help = '\n  help: name another folder for the output';
    expect(messageOf(() => writeFolder('/dev/null', files))).toBe(
      `error: /dev/null: is a file, and the output needs a folder${help}`,
    );
    expect(messageOf(() => writeFolder('/proc/x', files))).toBe(`error: /proc/x: no folder can be made there${help}`);
    expect(messageOf(() => writeFolder('/proc', files))).toBe(
      `error: /proc: nothing can be written in this folder${help}`,
    );
  });
});

test('an output that is an input, by its own name, through a link or as a hard link', () =>
  inFolder((folder) => {
    const [input, link, hard, copy] = ['in', 'link', 'hard', 'copy'].map((name) => join(folder, name));
    writeFileSync(input, 'x');
    writeFileSync(copy, 'x');
    symlinkSync('in', link);
    linkSync(input, hard);
    for (const output of [input, link, hard])
      expect(() => refuseOverwriting(output, [copy, input])).toThrow(UsageError);
    refuseOverwriting(copy, [input]);
    refuseOverwriting(join(folder, 'new'), [input]);
  }));

onLinux('what keeps nothing can be read and written at once', () => {
  refuseOverwriting('/dev/null', ['/dev/null']);
  expect(outputPlace('/dev/null').kind).toBe('stream');
});
