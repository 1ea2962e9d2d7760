import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { afterEach, expect, test, vi } from 'vitest';
import { writeFileAtomically } from '../../../compiler/command-line/atomic-file.ts';
import {
  DivergedError,
  describeError,
  InterruptedError,
  MachineError,
  onCommandEnd,
  runCommand,
  UsageError,
  UserError,
} from '../../../compiler/command-line/errors.ts';
import { inFolder } from '../../support/folder.ts';

afterEach(() => {
  process.exitCode = undefined;
  vi.restoreAllMocks();
});

async function run(main: () => Promise<void> | void): Promise<{ stderr: string; exitCode: unknown }> {
  let stderr = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    stderr += String(chunk);
    return true;
  });
  await runCommand(main);
  return { stderr, exitCode: process.exitCode };
}

const fail = (error: unknown) => () => {
  throw error;
};

test.each([
  [new UserError('a'), 1],
  [new UsageError('b'), 2],
  [new MachineError('c'), 3],
  [new DivergedError('d'), 4],
  [new InterruptedError('e'), 130],
])('%s has its exit status and one line', async (error, exitCode) => {
  expect(await run(fail(error))).toEqual({ stderr: `error: ${error.message}\n`, exitCode });
});

test('a system error names the path and the reason', async () => {
  const { stderr, exitCode } = await run(() => void readFileSync('/nowhere/x.mlbtc'));
  expect(stderr).toBe('error: /nowhere/x.mlbtc: no such file or folder (ENOENT)\n');
  expect(exitCode).toBe(1);
});

test('what cannot be written is named by its own path, not by that of the file beside it', () =>
  inFolder((folder) => {
    const path = join(folder, 'result');
    mkdirSync(path);
    expect(() => writeFileAtomically(path, ['x'])).toThrow(expect.objectContaining({ code: 'EISDIR', path }));
    expect(readdirSync(folder)).toEqual(['result']);
  }));

test('a bug says so, and shows its stack only where asked', async () => {
  const { stderr } = await run(fail(new TypeError('undefined is not a function')));
  expect(stderr).toBe('internal error: undefined is not a function\n  run again with --debug for the stack\n');
  const argv = process.argv;
  process.argv = [...argv, '--debug'];
  expect((await run(fail(new TypeError('x')))).stderr).toMatch(/\n\s+at /);
  process.argv = argv;
});

test('a wrong option is 2 and help is 0, without a second message', async () => {
  const parse = (option: string) => () => {
    const program = new Command('x').exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
    program.parse(['node', 'x', option]);
  };
  expect(await run(parse('--nope'))).toEqual({ stderr: '', exitCode: 2 });
  process.exitCode = undefined;
  expect(await run(parse('--help'))).toEqual({ stderr: '', exitCode: 0 });
  expect(describeError(new CommanderError(1, 'commander.missingArgument', '')).exitCode).toBe(2);
});

test('what must be let go is let go after success and after failure', async () => {
  let count = 0;
  onCommandEnd(() => {
    count += 1;
  });
  await run(() => {});
  await run(fail(new UserError('x')));
  expect(count).toBe(2);
});
