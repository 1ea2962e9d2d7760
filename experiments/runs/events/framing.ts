/** A record of TensorFlow's record files: length (u64), masked CRC-32C of the length, data, masked CRC-32C of the data; low byte first. */
import { maskedCrc32c } from './crc32c.ts';

const lengthBytes = 8;
const checksumBytes = 4;

export function framed(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(lengthBytes + checksumBytes + data.length + checksumBytes);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(lengthBytes, maskedCrc32c(record.subarray(0, lengthBytes)), true);
  record.set(data, lengthBytes + checksumBytes);
  view.setUint32(lengthBytes + checksumBytes + data.length, maskedCrc32c(data), true);
  return record;
}
