/**
 * What devices reach at most in f32 without tensor cores, TFLOP/s by their makers' data sheets, by a part of the adapter's name. A
 * device that is not here has no known peak, and no share of it is shown.
 */
const peaks: readonly (readonly [pattern: RegExp, teraflops: number])[] = [
  [/\bH100 PCIe\b/i, 51.2],
  [/\bH100 NVL\b/i, 60],
  [/\b(H100|H200)\b/i, 66.9],
  [/\bA100\b/i, 19.5],
  [/\bL40S\b/i, 91.6],
  [/\bL4\b/i, 30.3],
  [/\bV100\b/i, 15.7],
  [/\bT4\b/i, 8.1],
  [/\bRTX 4090\b/i, 82.6],
  [/\bRTX 3090\b/i, 35.6],
];

/** In FLOP/s; undefined where it is not known. */
export function peakFlopsPerSecond(deviceName: string): number | undefined {
  const words = deviceName.replaceAll('-', ' ');
  const found = peaks.find(([pattern]) => pattern.test(words));
  return found === undefined ? undefined : found[1] * 1e12;
}
