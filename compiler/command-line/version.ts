/** The version that both commands print. */
import { readFileSync } from 'node:fs';

/** Found upwards from here: the package is as far from the sources as from `dist/compiler/command-line`. */
export function packageVersion(): string {
  for (const up of ['../../', '../../../']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(`${up}package.json`, import.meta.url), 'utf8'));
      if (name === 'mlbtc') return version;
    } catch {}
  }
  return 'unknown';
}
