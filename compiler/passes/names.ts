/** Names for tensors that a pass makes: `wanted` itself if it is free, else `wanted~2`, `wanted~3`, … The name is then taken. */
export function freshName(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let i = 2; taken.has(name); i++) name = `${wanted}~${i}`;
  taken.add(name);
  return name;
}
