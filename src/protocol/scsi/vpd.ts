/**
 * Vital product data pages (SPC-4 7.8): the common header, the list of pages (00h) and the unit
 * serial number (80h). Pages with a structure of their own: designators.ts (83h), block-limits.ts
 * (B0h), characteristics.ts (B1h), provisioning.ts (B2h).
 */
import { ascii, get16 } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, malformed, short } from './decode.ts';

export const VpdPage = {
  SUPPORTED_PAGES: 0x00,
  UNIT_SERIAL_NUMBER: 0x80,
  DEVICE_IDENTIFICATION: 0x83,
  BLOCK_LIMITS: 0xb0,
  BLOCK_DEVICE_CHARACTERISTICS: 0xb1,
  LOGICAL_BLOCK_PROVISIONING: 0xb2,
} as const;

/** The page's bytes after its 4-byte header; an error if it is another page or was cut short. */
export function vpdBody(bytes: Uint8Array, pageCode: number): Decoded<Uint8Array> {
  const name = `VPD page ${pageCode.toString(16).padStart(2, '0').toUpperCase()}h`;
  if (bytes.length < 4) return short(name, 4, bytes.length);
  if (bytes[1] !== pageCode) {
    return malformed(`${name}: the page returned is ${(bytes[1] as number).toString(16)}h`);
  }
  const end = 4 + get16(bytes, 2);
  if (bytes.length < end) return short(name, end, bytes.length);
  return ok(bytes.subarray(4, end));
}

/** Page 00h: codes of the pages there are. */
export function decodeSupportedPages(bytes: Uint8Array): Decoded<readonly number[]> {
  const body = vpdBody(bytes, VpdPage.SUPPORTED_PAGES);
  return body.ok ? ok([...body.value]) : body;
}

/** Page 80h: PRODUCT SERIAL NUMBER, blanks trimmed; '' when the target has none. */
export function decodeUnitSerialNumber(bytes: Uint8Array): Decoded<string> {
  const body = vpdBody(bytes, VpdPage.UNIT_SERIAL_NUMBER);
  return body.ok ? ok(ascii(body.value).trim()) : body;
}
