import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inFolder } from '../support/folder.ts';

const module = new URL('../../dist/runtime/quiet.js', import.meta.url).href;
const code = `import { writeSync } from 'node:fs';
import { quietly } from '${module}';
writeSync(2, 'before ');
const given = quietly(() => writeSync(2, 'noise '));
writeSync(2, 'after ' + given);`;

test.skipIf(process.platform !== 'linux')('silent for a call where stderr can be had back as it was, else let be', () =>
  inFolder((folder) => {
    const shell = (line: string) => {
      const args = [process.execPath, '--input-type=module', '--eval', code];
      return spawnSync('sh', ['-c', line, ...args], { cwd: folder, encoding: 'utf8' });
    };
    expect(shell('"$0" "$@" 2>&1 | cat').stdout).toBe('before after 6');
    // `log` and `shared` are written from both sides of the process: nothing of it may be lost.
    expect(
      shell('echo first > log; "$0" "$@" 2>> log; (echo one; "$0" "$@"; echo; echo three) > shared 2>&1').status,
    ).toBe(0);
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('first\nbefore after 6');
    expect(readFileSync(join(folder, 'shared'), 'utf8')).toBe('one\nbefore noise after 6\nthree\n');
  }),
);
