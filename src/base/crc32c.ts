/**
 * CRC32C (Castagnoli, reflected polynomial 82F63B78h; RFC 7143 13.1), slicing by eight: eight bytes a
 * step, each through a table of its own. Fast enough for headers and samples, and what data digests
 * fall back to (host/iscsi/data-crc32c.ts has a faster one for data). zlib.crc32 is another polynomial.
 */

/**
 * CRC of bytes[start, end), an unsigned 32-bit number, going on from `previous`, the CRC of what came
 * before (0: nothing did).
 */
export type Crc32c = (bytes: Uint8Array, previous: number, start: number, end: number) => number;

const TABLES = makeTables();

function makeTables(): readonly Uint32Array[] {
  const first = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    first[byte] = crc;
  }
  const tables = [first];
  for (let slice = 1; slice < 8; slice++) {
    const before = tables[slice - 1] as Uint32Array;
    tables.push(before.map((crc) => ((crc >>> 8) ^ (first[crc & 0xff] as number)) >>> 0));
  }
  return tables;
}

const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
];

/** See `Crc32c`; all of `bytes` unless told. */
export function crc32c(
  bytes: Uint8Array,
  previous = 0,
  start = 0,
  end: number = bytes.length,
): number {
  let crc = ~previous;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const low =
      crc ^
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24));
    crc =
      (T7[low & 0xff] as number) ^
      (T6[(low >>> 8) & 0xff] as number) ^
      (T5[(low >>> 16) & 0xff] as number) ^
      (T4[low >>> 24] as number) ^
      (T3[bytes[at + 4] as number] as number) ^
      (T2[bytes[at + 5] as number] as number) ^
      (T1[bytes[at + 6] as number] as number) ^
      (T0[bytes[at + 7] as number] as number);
  }
  for (; at < end; at++) {
    crc = (T0[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
