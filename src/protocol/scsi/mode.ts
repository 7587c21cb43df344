/**
 * MODE SENSE parameter data (SPC-4 7.5, SBC-3 6.5): the caching page (08h), for WCE, and the
 * device-specific parameter of the header, for DPOFUA and write protection.
 *
 * The 6- and 10-byte forms differ in the header only. Block descriptors are skipped although DBD=1
 * asks for none: some targets send them all the same.
 */
import { get16 } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, malformed, short } from './decode.ts';

export const ModePage = { CACHING: 0x08, CONTROL: 0x0a } as const;

export interface ModeHeader {
  /** DPOFUA: the FUA bit of READ and WRITE is honoured. */
  readonly dpofua: boolean;
  /** WP: the medium is write-protected. */
  readonly writeProtected: boolean;
}

export interface CachingMode extends ModeHeader {
  /** WCE: GOOD may be returned before a write is on stable storage. */
  readonly writeCacheEnabled: boolean;
  /** RCD: reads do not come from the cache. */
  readonly readCacheDisabled: boolean;
}

/** Answer to `modeSense6(ModePage.CACHING, …)`. */
export function decodeCachingMode6(bytes: Uint8Array): Decoded<CachingMode> {
  if (bytes.length < 4) return short('MODE SENSE(6) data', 4, bytes.length);
  const end = 1 + (bytes[0] as number);
  return caching(bytes, { end, parameter: 2, pages: 4 + (bytes[3] as number) });
}

/** Answer to `modeSense10(ModePage.CACHING, …)`. */
export function decodeCachingMode10(bytes: Uint8Array): Decoded<CachingMode> {
  if (bytes.length < 8) return short('MODE SENSE(10) data', 8, bytes.length);
  const end = 2 + get16(bytes, 0);
  return caching(bytes, { end, parameter: 3, pages: 8 + get16(bytes, 6) });
}

interface Layout {
  /** Where the mode data ends, by its own account. */
  readonly end: number;
  /** Offset of the DEVICE-SPECIFIC PARAMETER. */
  readonly parameter: number;
  /** Offset of the first mode page. */
  readonly pages: number;
}

function caching(bytes: Uint8Array, layout: Layout): Decoded<CachingMode> {
  const end = Math.min(bytes.length, layout.end);
  const parameter = bytes[layout.parameter] as number;
  for (let at = layout.pages; at + 2 <= end;) {
    const code = bytes[at] as number;
    const subpage = (code & 0x40) !== 0;
    if ((code & 0x3f) === ModePage.CACHING && !subpage) {
      if (at + 3 > end) return short('caching mode page', at + 3, end);
      const flags = bytes[at + 2] as number;
      return ok({
        dpofua: (parameter & 0x10) !== 0,
        writeProtected: (parameter & 0x80) !== 0,
        writeCacheEnabled: (flags & 0x04) !== 0,
        readCacheDisabled: (flags & 0x01) !== 0,
      });
    }
    if (subpage && at + 4 > end) break;
    at += subpage ? 4 + get16(bytes, at + 2) : 2 + (bytes[at + 1] as number);
  }
  return malformed('MODE SENSE data holds no caching page');
}
