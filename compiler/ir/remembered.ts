/** Answers about nodes of a program, which never change, are found once: every stage asks them many times over. */
export function remembered<K extends object, V>(found: WeakMap<K, V>, key: K, compute: (key: K) => V): V {
  const known = found.get(key);
  if (known !== undefined) return known;
  const value = compute(key);
  found.set(key, value);
  return value;
}
