/**
 * READ CAPACITY(16) parameter data (SBC-3 5.16.2): size, block size, and whether the LU is thin.
 */
import { get32, get64 } from '../../base/bytes.ts';
import { err, ok } from '../../base/result.ts';
import { type Decoded, malformed, short } from './decode.ts';

export interface Capacity {
  /** Number of logical blocks (RETURNED LOGICAL BLOCK ADDRESS + 1). */
  readonly blocks: number;
  /** Bytes in a logical block: a power of two, 512 or more. */
  readonly blockSize: number;
  /** blocks * blockSize; a safe integer. */
  readonly sizeBytes: number;
  /** LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT. */
  readonly physicalBlockExponent: number;
  /** LBPME: logical block provisioning is on (thin). */
  readonly thin: boolean;
  /** LBPRZ: unmapped blocks read as zeros. */
  readonly readsZeros: boolean;
}

export function decodeCapacity16(bytes: Uint8Array): Decoded<Capacity> {
  if (bytes.length < 12) return short('READ CAPACITY(16) data', 32, bytes.length);
  const blocks = get64(bytes, 0) + 1;
  const blockSize = get32(bytes, 8);
  if (blockSize < 512 || (blockSize & (blockSize - 1)) !== 0) {
    return malformed(`READ CAPACITY(16): block size of ${blockSize} bytes`);
  }
  const sizeBytes = blocks * blockSize;
  if (!Number.isSafeInteger(sizeBytes)) {
    return err({ kind: 'unsupported', detail: 'READ CAPACITY(16): larger than 8 PiB' });
  }
  const flags = bytes[14] ?? 0;
  return ok({
    blocks,
    blockSize,
    sizeBytes,
    physicalBlockExponent: (bytes[13] ?? 0) & 0xf,
    thin: (flags & 0x80) !== 0,
    readsZeros: (flags & 0x40) !== 0,
  });
}
