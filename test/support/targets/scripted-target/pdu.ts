/**
 * PDUs from the target's side (RFC 7143 11): what was received, with names for the fields, and what is
 * to be sent. Written from the RFC for tests alone; nothing of src/protocol is used, or a mistake in
 * there would cancel out.
 *
 * Clarity before speed: every PDU becomes an object, fields of double use are called by their place
 * (`at36` is DataSN, R2TSN, status class and detail, or an asynchronous event).
 */
import { digestOf } from './crc32c.ts';

export const Op = {
  NOP_OUT: 0x00,
  SCSI_COMMAND: 0x01,
  TASK_REQUEST: 0x02,
  LOGIN_REQUEST: 0x03,
  TEXT_REQUEST: 0x04,
  DATA_OUT: 0x05,
  LOGOUT_REQUEST: 0x06,
  SNACK: 0x10,
  NOP_IN: 0x20,
  SCSI_RESPONSE: 0x21,
  TASK_RESPONSE: 0x22,
  LOGIN_RESPONSE: 0x23,
  TEXT_RESPONSE: 0x24,
  DATA_IN: 0x25,
  LOGOUT_RESPONSE: 0x26,
  R2T: 0x31,
  ASYNC_MESSAGE: 0x32,
  REJECT: 0x3f,
} as const;

export const NO_TAG = 0xffff_ffff;
export const BHS_BYTES = 48;
/** F bit; T bit in login. */
export const FINAL = 0x80;
/** C bit of login and text. */
export const CONTINUE = 0x40;

export interface Digests {
  readonly header: boolean;
  readonly data: boolean;
}

/** A PDU of the initiator. */
export class Request {
  readonly bhs: Buffer;
  readonly ahs: Buffer;
  readonly data: Buffer;
  /** Which digest did not match, if any. */
  readonly damaged: 'header' | 'data' | undefined;

  constructor(bhs: Buffer, ahs: Buffer, data: Buffer, damaged: 'header' | 'data' | undefined) {
    this.bhs = bhs;
    this.ahs = ahs;
    this.data = data;
    this.damaged = damaged;
  }

  get opcode(): number {
    return this.bhs[0]! & 0x3f;
  }
  get immediate(): boolean {
    return (this.bhs[0]! & 0x40) !== 0;
  }
  get flags(): number {
    return this.bhs[1]!;
  }
  get final(): boolean {
    return (this.flags & FINAL) !== 0;
  }
  /** LUN field, or ISID and TSIH. */
  get at8(): Buffer {
    return this.bhs.subarray(8, 16);
  }
  /** Number in the LUN field: peripheral or flat addressing. */
  get lun(): number {
    return this.bhs.readUInt16BE(8) & 0x3fff;
  }
  get itt(): number {
    return this.bhs.readUInt32BE(16);
  }
  /** TTT, expected data transfer length, referenced task tag, or CID in the upper half. */
  get at20(): number {
    return this.bhs.readUInt32BE(20);
  }
  get cmdSn(): number {
    return this.bhs.readUInt32BE(24);
  }
  get expStatSn(): number {
    return this.bhs.readUInt32BE(28);
  }
  /** CDB of a SCSI Command; RefCmdSN at its start in a task management request. */
  get cdb(): Buffer {
    return this.bhs.subarray(32, 48);
  }
  get dataSn(): number {
    return this.bhs.readUInt32BE(36);
  }
  get offset(): number {
    return this.bhs.readUInt32BE(40);
  }
}

/** A PDU of the target; every field may be set to nonsense. */
export interface Reply {
  opcode: number;
  flags: number;
  /** Byte 2: response, reason, or version-max. */
  response: number;
  /** Byte 3: SCSI status, or version-active. */
  status: number;
  at8: Buffer;
  itt: number;
  at20: number;
  statSn: number;
  expCmdSn: number;
  maxCmdSn: number;
  at36: number;
  at40: number;
  at44: number;
  data: Buffer;
  ahs: Buffer;
  /** One bit of this digest is wrong. */
  damage?: 'header' | 'data';
  /** One bit of the data is flipped after its digest was made. */
  flipData?: boolean;
}

export function reply(opcode: number, fields: Partial<Reply> = {}): Reply {
  return {
    opcode,
    flags: FINAL,
    response: 0,
    status: 0,
    at8: Buffer.alloc(8),
    itt: NO_TAG,
    at20: 0,
    statSn: 0,
    expCmdSn: 0,
    maxCmdSn: 0,
    at36: 0,
    at40: 0,
    at44: 0,
    data: Buffer.alloc(0),
    ahs: Buffer.alloc(0),
    ...fields,
  };
}

export function encode(pdu: Reply, digests: Digests): Buffer {
  const bhs = Buffer.alloc(BHS_BYTES);
  bhs.set([pdu.opcode, pdu.flags, pdu.response, pdu.status, pdu.ahs.length / 4]);
  bhs.writeUIntBE(pdu.data.length, 5, 3);
  pdu.at8.copy(bhs, 8, 0, 8);
  const words = [pdu.itt, pdu.at20, pdu.statSn, pdu.expCmdSn, pdu.maxCmdSn];
  words.push(pdu.at36, pdu.at40, pdu.at44);
  for (const [index, word] of words.entries()) bhs.writeUInt32BE(word >>> 0, 16 + 4 * index);
  const parts = [bhs, pdu.ahs];
  if (digests.header) parts.push(damaged(digestOf(bhs, pdu.ahs), pdu.damage === 'header'));
  if (pdu.data.length > 0) {
    const padded = Buffer.alloc(pdu.data.length + (-pdu.data.length & 3));
    pdu.data.copy(padded);
    const digest = damaged(digestOf(padded), pdu.damage === 'data');
    parts.push(damaged(padded, pdu.flipData === true));
    if (digests.data) parts.push(digest);
  }
  return Buffer.concat(parts);
}

function damaged(bytes: Buffer, wanted: boolean): Buffer {
  if (wanted) bytes[0]! ^= 0x10;
  return bytes;
}
