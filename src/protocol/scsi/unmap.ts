/**
 * UNMAP parameter list (SBC-3 5.28): an 8-byte header and one 16-byte descriptor a range. How many
 * ranges and blocks one command may name is in VPD page B0h (block-limits.ts).
 */
import { assert } from '../../base/assert.ts';
import { put16, put32, put64 } from '../../base/bytes.ts';

export interface BlockRange {
  readonly lba: number;
  readonly blocks: number;
}

/** At most 4095 ranges fit the 16-bit length. */
export function unmapParameterList(ranges: readonly BlockRange[]): Buffer {
  assert(ranges.length < 4096, 'too many UNMAP ranges');
  const list = Buffer.alloc(8 + 16 * ranges.length);
  put16(list, 0, list.length - 2);
  put16(list, 2, list.length - 8);
  let at = 8;
  for (const range of ranges) {
    put64(list, at, range.lba);
    put32(list, at + 8, range.blocks);
    at += 16;
  }
  return list;
}
