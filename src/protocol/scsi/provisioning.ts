/**
 * VPD page B2h, logical block provisioning (SBC-3 6.6.5): what a thin LU can do with unused blocks.
 */
import { ok } from '../../base/result.ts';
import { type Decoded, short } from './decode.ts';
import { vpdBody, VpdPage } from './vpd.ts';

export interface LogicalBlockProvisioning {
  /** LBPU: UNMAP is supported. */
  readonly unmap: boolean;
  /** LBPWS: WRITE SAME(16) with the UNMAP bit is supported. */
  readonly writeSame16Unmap: boolean;
  /** LBPWS10: WRITE SAME(10) with the UNMAP bit. */
  readonly writeSame10Unmap: boolean;
  /**
   * LBPRZ, 3 bits in SBC-4: 0 = unmapped blocks read as anything, xx1b = as zeros, 010b = a
   * pattern.
   */
  readonly lbprz: number;
  /** LBPRZ = xx1b. */
  readonly readsZeros: boolean;
  /** ANC_SUP: LBAs can be anchored. */
  readonly anchor: boolean;
  /** PROVISIONING TYPE: 0 not reported or full, 1 resource, 2 thin. */
  readonly provisioningType: number;
  /** THRESHOLD EXPONENT: a soft threshold is counted in 2^this blocks; 0 = none. */
  readonly thresholdExponent: number;
}

export function decodeLogicalBlockProvisioning(
  bytes: Uint8Array,
): Decoded<LogicalBlockProvisioning> {
  const page = vpdBody(bytes, VpdPage.LOGICAL_BLOCK_PROVISIONING);
  if (!page.ok) return page;
  const body = page.value;
  if (body.length < 3) return short('VPD page B2h', 7, bytes.length);
  const flags = body[1] as number;
  const lbprz = (flags >> 2) & 7;
  return ok({
    unmap: (flags & 0x80) !== 0,
    writeSame16Unmap: (flags & 0x40) !== 0,
    writeSame10Unmap: (flags & 0x20) !== 0,
    lbprz,
    readsZeros: (lbprz & 1) === 1,
    anchor: (flags & 0x02) !== 0,
    provisioningType: (body[2] as number) & 7,
    thresholdExponent: body[0] as number,
  });
}
