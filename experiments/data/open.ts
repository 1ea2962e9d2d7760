import { UserError } from '../../compiler/command-line/errors.ts';
import type { TokenData } from './token-data.ts';

export function openTokenData(folder: string): TokenData {
  throw new UserError(`${folder}: prepared data cannot be read yet`);
}
