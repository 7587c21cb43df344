/**
 * VPD page B1h, block device characteristics (SBC-3 6.6.2): what the medium is made of. For people; the
 * data path does not depend on it.
 */
import { get16 } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, short } from './decode.ts';
import { vpdBody, VpdPage } from './vpd.ts';

export interface BlockDeviceCharacteristics {
  /** MEDIUM ROTATION RATE; undefined: not reported, 0: it does not rotate, else rotations a minute. */
  readonly rotationsPerMinute: number | undefined;
  /** NOMINAL FORM FACTOR: 1 = 5.25", 2 = 3.5", 3 = 2.5", 4 = 1.8", 5 = less; 0 = not reported. */
  readonly formFactor: number;
  /** FUAB: SYNCHRONIZE CACHE and FUA are about the blocks, wherever they are cached. */
  readonly fuab: boolean;
  /** VBULS: VERIFY works on unmapped blocks. */
  readonly verifiesUnmapped: boolean;
}

export function decodeCharacteristics(bytes: Uint8Array): Decoded<BlockDeviceCharacteristics> {
  const page = vpdBody(bytes, VpdPage.BLOCK_DEVICE_CHARACTERISTICS);
  if (!page.ok) return page;
  const body = page.value;
  if (body.length < 4) return short('VPD page B1h', 8, bytes.length);
  const rate = get16(body, 0);
  const flags = body[4] ?? 0;
  return ok({
    // 0001h: non-rotating; 0000h: not reported; 0002h..0400h and FFFFh are reserved.
    rotationsPerMinute: rate === 1 ? 0 : rate > 0x400 && rate !== 0xffff ? rate : undefined,
    formFactor: (body[3] as number) & 0xf,
    fuab: (flags & 0x02) !== 0,
    verifiesUnmapped: (flags & 0x01) !== 0,
  });
}
