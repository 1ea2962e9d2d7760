#!/usr/bin/env node
/** `mlbtcc`, the compiler's command: what it does is in commands/program.ts, which tests call without a process of its own. */
import { runCommand } from './command-line/errors.ts';
import { processIo } from './command-line/io.ts';
import { runMlbtcc } from './commands/program.ts';

await runCommand(async (argv) => {
  const io = processIo();
  await runMlbtcc(argv.slice(2), io);
  if (io.exitCode !== 0) process.exitCode = io.exitCode;
});
