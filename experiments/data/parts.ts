/** What data are cut into: to train on, to choose a checkpoint by, to judge it by. */
export const partNames = ['train', 'val', 'test'] as const;
export type PartName = (typeof partNames)[number];

export const partTitles: Readonly<Record<PartName, string>> = { train: 'training', val: 'validation', test: 'test' };

export function isPart(name: string): name is PartName {
  return (partNames as readonly string[]).includes(name);
}
