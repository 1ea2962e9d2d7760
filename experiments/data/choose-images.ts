/** The images that the options name. */
import type { VitOptions } from '../options/vit.ts';
import { digits } from './digits.ts';
import { type ImageData, imageData } from './image-data.ts';
import { readImageFiles } from './image-files.ts';

/** Throws UserError where the files are not as they should be. */
export function chosenImages({ data, val_fraction }: Pick<VitOptions, 'data' | 'val_fraction'>): ImageData {
  return imageData(data === null ? digits() : readImageFiles(data), val_fraction);
}
