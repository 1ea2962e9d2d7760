/** What the READMEs and pages name is there: the files they link to, the files of the folders they describe, the sections they jump to. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { mlbtcc } from '../support/command-line.ts';
import { pages, readPage, root } from './pages.ts';

const folders = ['compiler', 'experiments', 'kernels', 'runtime', 'test'];
const readmes = folders.map((folder) => `${folder}/README.md`);

/** What a heading is jumped to by. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
}

function anchorsOf(page: string): readonly string[] {
  return [...readPage(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading));
}

test.each([...pages(), ...readmes])('%s: links lead somewhere', (page) => {
  const prose = readPage(page)
    .replace(/^```[\s\S]*?^```/gm, '')
    .replace(/`[^`\n]*`/g, 'code');
  const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link);
  const broken = links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [path, section] = link.split('#');
    const file = path === '' ? page : join(dirname(page), path);
    if (!existsSync(join(root, file))) return true;
    return section !== undefined && !anchorsOf(file).includes(section);
  });
  expect(broken).toEqual([]);
});

test.each(folders)('%s/README.md: its files are there', (folder) => {
  const text = readFileSync(join(root, folder, 'README.md'), 'utf8');
  const files = readdirSync(join(root, folder), { recursive: true }).map(String);
  const named = [...text.matchAll(/`([\w./-]+\.ts)`/g)].map(([, name]) => name);
  // `-block.ts` is what a name before it goes on as; a path may be of another folder.
  const missing = named.filter(
    (name) =>
      !files.some((file) => file === name || file.endsWith(name.startsWith('-') ? name : `/${name}`)) &&
      !existsSync(join(root, name)),
  );
  expect(named.length).toBeGreaterThan(3);
  expect(missing).toEqual([]);
});

test('README lists all of its sections, in their order', () => {
  const text = readPage('README.md');
  const contents = text.slice(0, text.indexOf('\n## '));
  const listed = [...contents.matchAll(/\[([^\]]+)\]\(#/g)].map(([, title]) => title);
  expect(listed).toEqual([...text.matchAll(/^## (.*)$/gm)].map(([, title]) => title));
});

test('README says of near.mlbtc what explain says', async () => {
  const near = join(root, 'docs/near.mlbtc');
  const { out } = await mlbtcc(['explain', near, '-s', 'B=64', '-s', 'T=32', '--json']);
  const { multiplyAdds, denseMultiplyAdds, kernels } = JSON.parse(out);
  const count = ['no', 'one', 'two', 'three', 'four', 'five', 'six'][kernels.length];
  const said = readPage('README.md').replace(/\s+/g, ' ');
  expect(said).toContain(`this takes ${multiplyAdds.toLocaleString('en')} multiply-adds`);
  expect(said).toContain(`dense D × D forms would take ${denseMultiplyAdds.toLocaleString('en')},`);
  expect(said).toContain(`which ${count} kernels do it`);
});
