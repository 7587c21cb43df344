/**
 * VPD page B0h, block limits (SBC-3 6.6.4): how large one command may be. A field of 0 means "not
 * reported", returned as undefined, so that no caller divides by it or takes it for a limit.
 */
import { get16, get32, get64 } from '../../base/bytes.ts';
import { ok } from '../../base/result.ts';
import { type Decoded, short } from './decode.ts';
import { vpdBody, VpdPage } from './vpd.ts';

export interface BlockLimits {
  /** All in logical blocks, except where said otherwise; undefined = not reported. */
  readonly maximumTransferLength: number | undefined;
  readonly optimalTransferLength: number | undefined;
  readonly optimalTransferLengthGranularity: number | undefined;
  readonly maximumUnmapBlocks: number | undefined;
  /** Ranges in one UNMAP. */
  readonly maximumUnmapRanges: number | undefined;
  readonly optimalUnmapGranularity: number | undefined;
  /** First LBA of a granule; undefined when UGAVALID=0. */
  readonly unmapGranularityAlignment: number | undefined;
  readonly maximumWriteSameBlocks: number | undefined;
  /** WSNZ: WRITE SAME with 0 blocks is refused (we never send it). */
  readonly writeSameNonZero: boolean;
}

/** SBC-2 targets return 12 bytes of body: what follows then is not reported. */
export function decodeBlockLimits(bytes: Uint8Array): Decoded<BlockLimits> {
  const page = vpdBody(bytes, VpdPage.BLOCK_LIMITS);
  if (!page.ok) return page;
  const body = page.value;
  if (body.length < 12) return short('VPD page B0h', 16, bytes.length);
  const field32 = (at: number): number | undefined =>
    body.length >= at + 4 ? reported(get32(body, at)) : undefined;
  const alignment = body.length >= 32 ? get32(body, 28) : 0;
  const writeSame = body.length >= 40 ? get64(body, 32) : 0;
  return ok({
    writeSameNonZero: ((body[0] as number) & 1) === 1,
    optimalTransferLengthGranularity: reported(get16(body, 2)),
    maximumTransferLength: field32(4),
    optimalTransferLength: field32(8),
    maximumUnmapBlocks: field32(16),
    maximumUnmapRanges: field32(20),
    optimalUnmapGranularity: field32(24),
    unmapGranularityAlignment: alignment >= 0x8000_0000 ? alignment - 0x8000_0000 : undefined,
    maximumWriteSameBlocks: reported(writeSame),
  });
}

/** All ones means "no limit" for the UNMAP fields; kept as it is, being larger than any request. */
function reported(value: number): number | undefined {
  return value === 0 ? undefined : value;
}
