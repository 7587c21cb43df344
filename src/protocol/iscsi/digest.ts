/**
 * Header and data digests (RFC 7143 11.1, 13.1): four bytes of CRC32C, one behind the header with its
 * additional segments, one behind a data segment with its padding; a PDU without data has no data
 * digest. On the wire the low byte comes first (RFC 7143 A.4 prints them so), unlike every other field.
 */
import type { Crc32c } from '../../base/crc32c.ts';

export const DIGEST_LENGTH = 4;

/** Which digests are in force, and how data digests are computed; headers have crc32c of base/. */
export interface Digests {
  readonly header: boolean;
  readonly data: boolean;
  readonly dataCrc: Crc32c;
}

export function putDigest(to: Uint8Array, at: number, crc: number): void {
  to[at] = crc;
  to[at + 1] = crc >>> 8;
  to[at + 2] = crc >>> 16;
  to[at + 3] = crc >>> 24;
}

export function hasDigest(bytes: Uint8Array, at: number, crc: number): boolean {
  return (
    bytes[at] === (crc & 0xff) &&
    bytes[at + 1] === ((crc >>> 8) & 0xff) &&
    bytes[at + 2] === ((crc >>> 16) & 0xff) &&
    bytes[at + 3] === crc >>> 24
  );
}
