/** Milliseconds of processor that an action takes in this process: no more where others want the processors too, unlike the clock's. */
export function cpuTimeMs(action: () => void): number {
  const before = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
