/**
 * A SCSI disk (SPC-4, SBC-3) as far as an initiator's tests and the demo need it. Pure: a command and its
 * data-out in, status and data-in out. Faults are put in front of it (`script.intercept`).
 */
import type { Disk } from './disk.ts';
import {
  capacity10,
  capacity16,
  inquiryData,
  lunList,
  modeData,
  type UnitIdentity,
  vpdPage,
} from './scsi-pages.ts';

export interface SenseCode {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** Descriptor format instead of fixed. */
  readonly descriptor?: boolean;
}

export interface ScsiResult {
  readonly status: number;
  readonly data?: Buffer;
  readonly sense?: SenseCode;
}

export interface LogicalUnit {
  readonly disk: Disk;
  readonly identity: UnitIdentity;
}

export const GOOD: ScsiResult = { status: 0 };

export function check(key: number, asc: number, ascq = 0): ScsiResult {
  return { status: 0x02, sense: { key, asc, ascq } };
}

const INVALID_OPCODE = check(5, 0x20);
const INVALID_FIELD = check(5, 0x24);
const OUT_OF_RANGE = check(5, 0x21);
const NO_SUCH_LUN = check(5, 0x25);

/** READ, WRITE, SYNCHRONIZE CACHE, WRITE SAME, of 10 and 16 bytes. */
const RANGED = [0x28, 0x88, 0x2a, 0x8a, 0x35, 0x91, 0x41, 0x93];

/** Sense data as it stands in a response, the length in front. */
export function senseData({ key, asc, ascq, descriptor }: SenseCode): Buffer {
  if (descriptor === true) return Buffer.of(0, 8, 0x72, key, asc, ascq, 0, 0, 0, 0);
  const sense = Buffer.alloc(18);
  sense.set([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq]);
  return Buffer.concat([Buffer.of(0, 18), sense]);
}

export function execute(
  units: ReadonlyMap<number, LogicalUnit>,
  lun: number,
  cdb: Buffer,
  dataOut: Buffer,
): ScsiResult {
  const unit = units.get(lun);
  const answer = metadata(units, unit, cdb);
  if (answer !== undefined) return answer;
  if (unit === undefined) return NO_SUCH_LUN;
  return media(unit.disk, cdb, dataOut);
}

/** Commands that do not touch the medium; undefined: it is another one. */
function metadata(
  units: ReadonlyMap<number, LogicalUnit>,
  unit: LogicalUnit | undefined,
  cdb: Buffer,
): ScsiResult | undefined {
  const opcode = cdb[0]!;
  if (opcode === 0xa0) return cut(lunList([...units.keys()]), cdb.readUInt32BE(6));
  if (opcode === 0x12) return inquiry(unit, cdb);
  if (unit === undefined) return undefined;
  const { disk, identity } = unit;
  switch (opcode) {
    case 0x00:
      return GOOD;
    case 0x03:
      return cut(senseData({ key: 0, asc: 0, ascq: 0 }).subarray(2), cdb[4]!);
    case 0x1a:
    case 0x5a: {
      const ten = opcode === 0x5a;
      const data = modeData(disk, cdb[2]! & 0x3f, ten);
      return data === undefined ? INVALID_FIELD : cut(data, ten ? cdb.readUInt16BE(7) : cdb[4]!);
    }
    case 0x25:
      return cut(capacity10(disk), 8);
    case 0x9e:
      if ((cdb[1]! & 0x1f) !== 0x10) return INVALID_FIELD;
      return cut(capacity16(disk, identity), cdb.readUInt32BE(10));
    default:
      return undefined;
  }
}

function inquiry(unit: LogicalUnit | undefined, cdb: Buffer): ScsiResult {
  const length = cdb.readUInt16BE(3);
  if ((cdb[1]! & 1) === 0)
    return cut(inquiryData(unit?.identity ?? {}, unit !== undefined), length);
  const page = unit === undefined ? undefined : vpdPage(cdb[2]!, unit.identity);
  return page === undefined ? INVALID_FIELD : cut(page, length);
}

function cut(data: Buffer, allocation: number): ScsiResult {
  return { status: 0, data: data.subarray(0, allocation) };
}

interface Range {
  readonly lba: number;
  readonly blocks: number;
}

/** LBA and length of the 10- and 16-byte forms. */
function rangeOf(cdb: Buffer, sixteen: boolean): Range {
  return sixteen
    ? { lba: Number(cdb.readBigUInt64BE(2)), blocks: cdb.readUInt32BE(10) }
    : { lba: cdb.readUInt32BE(2), blocks: cdb.readUInt16BE(7) };
}

function media(disk: Disk, cdb: Buffer, dataOut: Buffer): ScsiResult {
  const opcode = cdb[0]!;
  if (opcode === 0x42) return unmap(disk, dataOut);
  if (!RANGED.includes(opcode)) return INVALID_OPCODE;
  const range = rangeOf(cdb, opcode >= 0x80);
  if (range.lba + range.blocks > disk.blocks) return OUT_OF_RANGE;
  const fua = (cdb[1]! & 0x08) !== 0;
  switch (opcode) {
    case 0x28:
    case 0x88:
      if (fua) disk.flush();
      return { status: 0, data: disk.read(range.lba, range.blocks) };
    case 0x2a:
    case 0x8a:
      disk.write(range.lba, dataOut.subarray(0, range.blocks * disk.blockSize), fua);
      return GOOD;
    case 0x35:
    case 0x91:
      disk.flush();
      return GOOD;
    default:
      if (dataOut.length < disk.blockSize) return INVALID_FIELD;
      disk.fill(range.lba, range.blocks, dataOut.subarray(0, disk.blockSize));
      return GOOD;
  }
}

function unmap(disk: Disk, list: Buffer): ScsiResult {
  if (list.length < 8) return INVALID_FIELD;
  const zeros = Buffer.alloc(disk.blockSize);
  const end = Math.min(list.length, 8 + list.readUInt16BE(2));
  for (let at = 8; at + 16 <= end; at += 16) {
    const lba = Number(list.readBigUInt64BE(at));
    const blocks = list.readUInt32BE(at + 8);
    if (lba + blocks > disk.blocks) return OUT_OF_RANGE;
    disk.fill(lba, blocks, zeros);
  }
  return GOOD;
}
