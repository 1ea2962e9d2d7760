import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { oldLavapipe, readDriver } from '../../runtime/vulkan-system.ts';
import { inFolder } from '../support/folder.ts';

const driver = (library_path: string, api_version: string) =>
  inFolder((folder) => {
    const file = join(folder, 'driver.json');
    writeFileSync(file, JSON.stringify({ ICD: { library_path, api_version }, file_format_version: '1.0.0' }));
    const { file: _, ...found } = readDriver(file);
    return found;
  });

test('lavapipe as Debian 12 has it is not loaded, a later one is', async () => {
  const library = '/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so';
  expect(await driver(library, '1.1.230')).toEqual({ isSoftware: true, obstacle: oldLavapipe });
  expect(await driver(library, '1.1.246')).toEqual({ isSoftware: true });
  expect(await driver('libvulkan_lvp.so', '1.4.305')).toEqual({ isSoftware: true });
});

test('a driver of Mesa’s is for hardware that is there; of another the loader decides', async () => {
  const obstacle = existsSync('/dev/dri') ? {} : { obstacle: 'no hardware for it' };
  expect(await driver('libvulkan_intel.so', '1.3.230')).toEqual({ isSoftware: false, ...obstacle });
  expect(await driver('libmali.so', '1.3.230')).toEqual({ isSoftware: false });
  expect(readDriver('/nowhere.json')).toEqual({ file: '/nowhere.json', isSoftware: false });
});
