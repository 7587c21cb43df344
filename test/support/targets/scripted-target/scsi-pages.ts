/** INQUIRY data, VPD pages, capacity and mode pages of a logical unit (SPC-4 6.6, 7.8; SBC-3 5.15, 6.5). */
import type { Disk } from './disk.ts';

/** Names and limits that a logical unit shows. */
export interface UnitIdentity {
  readonly vendor?: string;
  readonly product?: string;
  readonly serial?: string;
  /** NAA designator, 16 or 32 hex digits. */
  readonly naa?: string;
  /** Blocks; 0: not reported. */
  readonly maximumTransferBlocks?: number;
  /** LBPME, UNMAP and WRITE SAME with UNMAP work. Default yes. */
  readonly thin?: boolean;
}

export const PAGES = [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2];

const padded = (text: string, length: number): Buffer =>
  Buffer.from(text.padEnd(length).slice(0, length), 'latin1');

/** Peripheral qualifier 3 for a LUN that is not there. */
export function inquiryData(identity: UnitIdentity, present: boolean): Buffer {
  const data = Buffer.alloc(96);
  data.set([present ? 0x00 : 0x7f, 0x00, 0x06, 0x12, 91, 0, 0, 0x02]);
  padded(identity.vendor ?? 'SCRIPTED', 8).copy(data, 8);
  padded(identity.product ?? 'TARGET', 16).copy(data, 16);
  padded('0001', 4).copy(data, 32);
  data.writeUInt16BE(0x0960, 58); // iSCSI
  data.writeUInt16BE(0x0460, 60); // SPC-4
  return data;
}

/** Undefined: no such page. */
export function vpdPage(code: number, identity: UnitIdentity): Buffer | undefined {
  const body = pageBody(code, identity);
  if (body === undefined) return undefined;
  const header = Buffer.of(0, code, 0, 0);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function pageBody(code: number, identity: UnitIdentity): Buffer | undefined {
  switch (code) {
    case 0x00:
      return Buffer.from(PAGES);
    case 0x80:
      return Buffer.from(identity.serial ?? 'SCRIPTED0001', 'latin1');
    case 0x83:
      return identification(identity);
    case 0xb0: {
      const body = Buffer.alloc(60);
      body.writeUInt32BE(identity.maximumTransferBlocks ?? 0, 4);
      body.writeUInt32BE(0xffff_ffff, 16); // blocks of one UNMAP
      body.writeUInt32BE(64, 20); // ranges of one UNMAP
      body.writeUInt32BE(1, 24);
      return body;
    }
    case 0xb1: {
      const body = Buffer.alloc(60);
      body.writeUInt16BE(1, 0); // does not rotate
      return body;
    }
    case 0xb2:
      // LBPU, LBPWS, LBPRZ; thin provisioned
      return Buffer.of(0, identity.thin === false ? 0 : 0xc4, identity.thin === false ? 0 : 2, 0);
    default:
      return undefined;
  }
}

function identification(identity: UnitIdentity): Buffer {
  const naa = Buffer.from(identity.naa ?? '60014050000000010000000000000001', 'hex');
  const text = Buffer.from(`SCRIPTED${identity.serial ?? 'SCRIPTED0001'}`, 'latin1');
  return Buffer.concat([
    ...[Buffer.of(0x01, 0x03, 0, naa.length), naa],
    ...[Buffer.of(0x02, 0x01, 0, text.length), text],
    Buffer.of(0x51, 0x94, 0, 4, 0, 0, 0, 1), // relative target port
  ]);
}

export function capacity16(disk: Disk, identity: UnitIdentity): Buffer {
  const data = Buffer.alloc(32);
  data.writeBigUInt64BE(BigInt(disk.blocks - 1), 0);
  data.writeUInt32BE(disk.blockSize, 8);
  data[14] = identity.thin === false ? 0 : 0xc0;
  return data;
}

export function capacity10(disk: Disk): Buffer {
  const data = Buffer.alloc(8);
  data.writeUInt32BE(Math.min(disk.blocks - 1, 0xffff_ffff), 0);
  data.writeUInt32BE(disk.blockSize, 4);
  return data;
}

/** The caching page behind a header of MODE SENSE(6) or (10); DPOFUA is set. */
export function modeData(disk: Disk, page: number, ten: boolean): Buffer | undefined {
  if (page !== 0x08 && page !== 0x3f) return undefined;
  const caching = Buffer.alloc(20);
  caching.set([0x08, 18, disk.writeCache ? 0x04 : 0]);
  if (!ten) return Buffer.concat([Buffer.of(3 + caching.length, 0, 0x10, 0), caching]);
  const header = Buffer.alloc(8);
  header.writeUInt16BE(6 + caching.length, 0);
  header[3] = 0x10;
  return Buffer.concat([header, caching]);
}

/** SELECT REPORT 00h: LUNs up to 16383, flat addressing above 255. */
export function lunList(luns: readonly number[]): Buffer {
  const data = Buffer.alloc(8 + 8 * luns.length);
  data.writeUInt32BE(8 * luns.length, 0);
  for (const [index, lun] of luns.entries()) {
    data.writeUInt16BE(lun > 255 ? 0x4000 | lun : lun, 8 + 8 * index);
  }
  return data;
}
