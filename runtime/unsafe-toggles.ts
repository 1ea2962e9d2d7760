/**
 * Checks that Dawn leaves out for speed where the environment's MLBTC_UNSAFE asks for it. A kernel that were wrong would then read and
 * write anywhere in the device's memory, so none is left out unless someone says so.
 */
import { UserError } from '../compiler/command-line/errors.ts';

/** `disable_robustness`: indices into buffers are not clamped. `skip_validation`: commands are not checked on the host. */
export const unsafeToggleNames = ['disable_robustness', 'skip_validation'] as const;
export type UnsafeToggle = (typeof unsafeToggleNames)[number];

/** What MLBTC_UNSAFE says, names with commas between; none where it says nothing. Throws UserError for another name. */
export function unsafeTogglesOfEnvironment(): readonly UnsafeToggle[] {
  const { MLBTC_UNSAFE: given = '' } = process.env;
  const names = given.split(',').map((name) => name.trim());
  return names
    .filter((name) => name !== '')
    .map((name) => {
      const found = unsafeToggleNames.find((known) => known === name);
      if (found !== undefined) return found;
      const known = unsafeToggleNames.join(' and ');
      throw new UserError(`MLBTC_UNSAFE names ${JSON.stringify(name)}: it may name ${known}, with a comma between`);
    });
}
