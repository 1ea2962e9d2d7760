/** CRC-32C (Castagnoli; RFC 3720, appendix B.4), by a table of bytes; and masked, as record files hold it. */

const reversedPolynomial = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ reversedPolynomial : crc >>> 1;
  return crc;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const maskDelta = 0xa282ead8;

/** Rotated and shifted, so that the checksum of data that hold checksums is not a weak one. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + maskDelta) >>> 0;
}
