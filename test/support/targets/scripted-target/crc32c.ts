/**
 * CRC32C bit by bit (RFC 7143 13.1; reflected polynomial 82F63B78h). Deliberately the slowest way and
 * not the initiator's: two implementations that share a mistake would agree with each other.
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  return value >>> 0;
});

/** The digest as it stands on the wire: four bytes, low byte first. */
export function digestOf(...parts: readonly Uint8Array[]): Buffer {
  let crc = 0xffff_ffff;
  for (const part of parts) {
    for (const byte of part) crc = (TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)) >>> 0;
  }
  const digest = Buffer.alloc(4);
  digest.writeUInt32LE((crc ^ 0xffff_ffff) >>> 0);
  return digest;
}
