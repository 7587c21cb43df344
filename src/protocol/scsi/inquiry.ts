/** Standard INQUIRY data (SPC-4 6.6.2): what kind of device, and whose. */
import { ascii } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, short } from './decode.ts';

export interface InquiryData {
  /** 0 = a logical unit is there; 1 = could be, is not; 3 = cannot be (SPC-4 table 140). */
  readonly peripheralQualifier: number;
  /** 00h = direct access block device, 1Fh = unknown or none. */
  readonly peripheralDeviceType: number;
  /** VERSION: 05h = SPC-3, 06h = SPC-4, 07h = SPC-5. */
  readonly version: number;
  /** T10 VENDOR IDENTIFICATION, PRODUCT IDENTIFICATION, PRODUCT REVISION LEVEL; blanks trimmed. */
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
}

export function decodeInquiry(bytes: Uint8Array): Decoded<InquiryData> {
  if (bytes.length < 36) return short('standard INQUIRY data', 36, bytes.length);
  const first = bytes[0] as number;
  return ok({
    peripheralQualifier: first >> 5,
    peripheralDeviceType: first & 0x1f,
    version: bytes[2] as number,
    vendor: ascii(bytes, 8, 16).trim(),
    product: ascii(bytes, 16, 32).trim(),
    revision: ascii(bytes, 32, 36).trim(),
  });
}
