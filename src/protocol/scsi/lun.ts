/**
 * The 8-byte LUN field (SAM-5 4.7) and REPORT LUNS parameter data (SPC-4 6.33).
 * Single-level LUNs only: peripheral device addressing up to 255, flat space addressing up to
 * 16383.
 */
import { assert } from '../../base/assert.ts';
import { get16, get32 } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, short } from './decode.ts';

/** `lun` is 0..16383. */
export function encodeLun(lun: number): Uint8Array {
  assert(Number.isInteger(lun) && lun >= 0 && lun < 16384, `LUN ${lun} out of range`);
  const field = new Uint8Array(8);
  field[0] = lun > 255 ? 0x40 | (lun >> 8) : 0;
  field[1] = lun;
  return field;
}

/** LUNs in the order of the report; multi-level and extended (well-known) ones are left out. */
export function decodeReportLuns(bytes: Uint8Array): Decoded<readonly number[]> {
  if (bytes.length < 8) return short('REPORT LUNS data', 8, bytes.length);
  const end = 8 + get32(bytes, 0);
  if (bytes.length < end) return short('REPORT LUNS data', end, bytes.length);
  const luns: number[] = [];
  for (let at = 8; at + 8 <= end; at += 8) {
    const method = (bytes[at] as number) >> 6;
    const multiLevel = get16(bytes, at + 2) !== 0 || get32(bytes, at + 4) !== 0;
    if (method <= 1 && !multiLevel) luns.push(get16(bytes, at) & 0x3fff);
  }
  return ok(luns);
}
