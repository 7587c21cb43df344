/**
 * Command descriptor blocks (SPC-4 6, SBC-3 5), one builder a command. Only the 16-byte forms of
 * media commands: every iSCSI target has them, and one size means one code path for LUNs beyond 2
 * TiB. An LBA is a non-negative safe integer and counts logical blocks; so do `blocks`. Allocation
 * lengths are bytes. Builders allocate the CDB; the session copies it into the PDU header.
 */
import { assert } from '../../base/assert.ts';
import { put16, put32, put64 } from '../../base/bytes.ts';

/** Operation codes (SPC-4 annex E). */
export const Opcode = {
  TEST_UNIT_READY: 0x00,
  INQUIRY: 0x12,
  MODE_SENSE_6: 0x1a,
  UNMAP: 0x42,
  MODE_SENSE_10: 0x5a,
  READ_16: 0x88,
  WRITE_16: 0x8a,
  SYNCHRONIZE_CACHE_16: 0x91,
  WRITE_SAME_16: 0x93,
  SERVICE_ACTION_IN_16: 0x9e,
  REPORT_LUNS: 0xa0,
} as const;

export function testUnitReady(): Uint8Array {
  return new Uint8Array(6);
}

/** Standard INQUIRY data: use 36 or more (SPC-4 6.6.2). */
export function inquiry(allocationLength: number): Uint8Array {
  return inquiryCdb(0, 0, allocationLength);
}

/** A vital product data page: EVPD=1. */
export function inquiryVpd(pageCode: number, allocationLength: number): Uint8Array {
  return inquiryCdb(1, pageCode, allocationLength);
}

function inquiryCdb(evpd: 0 | 1, pageCode: number, allocationLength: number): Uint8Array {
  const cdb = new Uint8Array(6);
  cdb[0] = Opcode.INQUIRY;
  cdb[1] = evpd;
  cdb[2] = pageCode;
  put16(cdb, 3, allocationLength);
  return cdb;
}

/** SELECT REPORT = 00h: the LUNs of this nexus, without well-known ones. At least 16 bytes. */
export function reportLuns(allocationLength: number): Uint8Array {
  const cdb = new Uint8Array(12);
  cdb[0] = Opcode.REPORT_LUNS;
  put32(cdb, 6, allocationLength);
  return cdb;
}

export function readCapacity16(allocationLength = 32): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb[0] = Opcode.SERVICE_ACTION_IN_16;
  cdb[1] = 0x10;
  put32(cdb, 10, allocationLength);
  return cdb;
}

export interface AccessOptions {
  /** Force unit access: a read comes from, a write reaches the medium before GOOD. */
  readonly fua?: boolean;
}

export function read16(lba: number, blocks: number, options: AccessOptions = {}): Uint8Array {
  return mediaCdb(Opcode.READ_16, lba, blocks, options.fua === true ? 0x08 : 0);
}

export function write16(lba: number, blocks: number, options: AccessOptions = {}): Uint8Array {
  return mediaCdb(Opcode.WRITE_16, lba, blocks, options.fua === true ? 0x08 : 0);
}

/**
 * SYNCHRONIZE CACHE(16) with IMMED=0: GOOD means the data is on the medium. (tgt refuses IMMED=1.)
 * Without arguments the whole logical unit.
 */
export function synchronizeCache16(lba = 0, blocks = 0): Uint8Array {
  return mediaCdb(Opcode.SYNCHRONIZE_CACHE_16, lba, blocks, 0);
}

/**
 * WRITE SAME(16); the data-out buffer is one logical block (of zeros). `unmap` lets a thin LU drop
 * the blocks instead of writing, provided that they read back as that block (SBC-3 5.50).
 * `blocks` = 0 would mean "to the end of the medium" and is refused.
 */
export function writeSame16(
  lba: number,
  blocks: number,
  options: { readonly unmap?: boolean } = {},
): Uint8Array {
  assert(blocks > 0, 'WRITE SAME of zero blocks means the rest of the medium');
  return mediaCdb(Opcode.WRITE_SAME_16, lba, blocks, options.unmap === true ? 0x08 : 0);
}

function mediaCdb(opcode: number, lba: number, blocks: number, flags: number): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb[0] = opcode;
  cdb[1] = flags;
  put64(cdb, 2, lba);
  put32(cdb, 10, blocks);
  return cdb;
}

/** The ranges travel in the data-out buffer: see unmap.ts. */
export function unmap(parameterListLength: number): Uint8Array {
  const cdb = new Uint8Array(10);
  cdb[0] = Opcode.UNMAP;
  put16(cdb, 7, parameterListLength);
  return cdb;
}

/** Current values (PC=00b), no block descriptors (DBD=1). `allocationLength` at most 255. */
export function modeSense6(pageCode: number, allocationLength: number): Uint8Array {
  const cdb = new Uint8Array(6);
  cdb[0] = Opcode.MODE_SENSE_6;
  cdb[1] = 0x08;
  cdb[2] = pageCode & 0x3f;
  cdb[4] = allocationLength;
  return cdb;
}

/** Current values (PC=00b), no block descriptors (DBD=1). */
export function modeSense10(pageCode: number, allocationLength: number): Uint8Array {
  const cdb = new Uint8Array(10);
  cdb[0] = Opcode.MODE_SENSE_10;
  cdb[1] = 0x08;
  cdb[2] = pageCode & 0x3f;
  put16(cdb, 7, allocationLength);
  return cdb;
}
