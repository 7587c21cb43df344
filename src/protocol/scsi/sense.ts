/**
 * Sense data (SPC-4 4.5): why a command ended with CHECK CONDITION. Two layouts say the same in
 * different places: fixed (response codes 70h, 71h) and descriptor (72h, 73h). 71h and 73h are
 * deferred errors: they belong to an earlier command, which matters for caches, so the flag is
 * kept.
 */
import { get64 } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, malformed, short } from './decode.ts';
import { senseKeyName } from './status.ts';

export interface SenseData {
  /** Sense key, 0..15. */
  readonly key: number;
  /** Additional sense code and qualifier, 0..255 each. */
  readonly asc: number;
  readonly ascq: number;
  /** The error belongs to an earlier command (71h, 73h). */
  readonly deferred: boolean;
  /** INFORMATION field where valid: usually the first LBA in error. */
  readonly information: number | undefined;
}

/** Fixed format may end before ASC/ASCQ (SPC-4 4.5.3): missing bytes count as zero. */
export function decodeSense(bytes: Uint8Array): Decoded<SenseData> {
  const first = bytes[0];
  if (first === undefined) return short('sense data', 1, 0);
  switch (first & 0x7f) {
    case 0x70:
    case 0x71:
      return decodeFixed(bytes, (first & 0x80) !== 0, (first & 1) === 1);
    case 0x72:
    case 0x73:
      return decodeDescriptor(bytes, (first & 1) === 1);
    default:
      return malformed(`sense data with response code ${(first & 0x7f).toString(16)}h`);
  }
}

function decodeFixed(bytes: Uint8Array, valid: boolean, deferred: boolean): Decoded<SenseData> {
  const key = bytes[2];
  if (key === undefined) return short('fixed format sense data', 3, bytes.length);
  // Byte 7 counts what follows it; bytes that are in the buffer but beyond it are not sense data.
  const end = Math.min(bytes.length, 8 + (bytes[7] ?? 0));
  return ok({
    key: key & 0xf,
    asc: end > 12 ? (bytes[12] as number) : 0,
    ascq: end > 13 ? (bytes[13] as number) : 0,
    deferred,
    information:
      valid && bytes.length >= 7
        ? (((bytes[3] as number) << 24) |
            ((bytes[4] as number) << 16) |
            ((bytes[5] as number) << 8) |
            (bytes[6] as number)) >>>
          0
        : undefined,
  });
}

function decodeDescriptor(bytes: Uint8Array, deferred: boolean): Decoded<SenseData> {
  if (bytes.length < 4) return short('descriptor format sense data', 4, bytes.length);
  const end = Math.min(bytes.length, 8 + (bytes[7] ?? 0));
  let information: number | undefined;
  for (let at = 8; at + 2 <= end; at += 2 + (bytes[at + 1] as number)) {
    // Type 00h, length 0Ah: INFORMATION, with VALID in bit 7 of byte 2 (SPC-4 4.5.2.2).
    if (bytes[at] === 0 && bytes[at + 1] === 0x0a && at + 12 <= end) {
      if (((bytes[at + 2] as number) & 0x80) !== 0) information = get64(bytes, at + 4);
    }
  }
  return ok({
    key: (bytes[1] as number) & 0xf,
    asc: bytes[2] as number,
    ascq: bytes[3] as number,
    deferred,
    information,
  });
}

/** "ILLEGAL REQUEST 25/00". */
export function formatSense(sense: {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
}): string {
  const two = (code: number): string => code.toString(16).padStart(2, '0').toUpperCase();
  return `${senseKeyName(sense.key)} ${two(sense.asc)}/${two(sense.ascq)}`;
}
