/**
 * Headers of the requests of full feature phase (RFC 7143 11.3, 11.5, 11.7, 11.10, 11.14, 11.18), written
 * into a 48-byte slot of a larger buffer. Slots are reused, so a writer sets every byte.
 */
import { put24, put32 } from '../../base/bytes.ts';
import { BHS_LENGTH, Field, FINAL, IMMEDIATE, NO_TAG, Opcode } from './bhs.ts';

/** Input of the writers. One object is reused for all PDUs; writers keep nothing of it. */
export class RequestFields {
  /** The LUN field, eight bytes. */
  lun: Uint8Array = new Uint8Array(8);
  itt = 0;
  ttt = NO_TAG;
  cmdSn = 0;
  expStatSn = 0;
  /** Bytes in the data segment. */
  dataLength = 0;
  /** SCSI Command: no unsolicited Data-Out follows. Data-Out: last PDU of its sequence. */
  final = true;
  /** SCSI Command: R and W bits. */
  direction = 0;
  expectedDataTransferLength = 0;
  dataSn = 0;
  bufferOffset = 0;
  /** TMF: function, tag and CmdSN of the task that it refers to. */
  management = 0;
  referencedItt = NO_TAG;
  referencedCmdSn = 0;
}

function begin(to: Buffer, at: number, first: number, flags: number, f: RequestFields): void {
  // Not Buffer.fill: its argument checks cost more than 46 stores.
  for (let index = at + 2; index < at + BHS_LENGTH; index++) to[index] = 0;
  to[at] = first;
  to[at + Field.FLAGS] = flags;
  put24(to, at + Field.DATA_SEGMENT_LENGTH, f.dataLength);
  put32(to, at + Field.ITT, f.itt);
  put32(to, at + Field.EXP_STAT_SN, f.expStatSn);
}

function putLun(to: Buffer, at: number, lun: Uint8Array): void {
  for (let index = 0; index < 8; index++) to[at + Field.LUN + index] = lun[index] as number;
}

/** 11.3. `cdb` is at most 16 bytes; task attribute SIMPLE. */
export function writeScsiCommand(to: Buffer, at: number, f: RequestFields, cdb: Uint8Array): void {
  begin(to, at, Opcode.SCSI_COMMAND, (f.final ? FINAL : 0) | f.direction | 0x01, f);
  putLun(to, at, f.lun);
  put32(to, at + Field.EDTL, f.expectedDataTransferLength);
  put32(to, at + Field.CMD_SN, f.cmdSn);
  for (let index = 0; index < cdb.length; index++)
    to[at + Field.CDB + index] = cdb[index] as number;
}

/** 11.7. TTT is NO_TAG for unsolicited data, else that of the R2T. */
export function writeDataOut(to: Buffer, at: number, f: RequestFields): void {
  begin(to, at, Opcode.DATA_OUT, f.final ? FINAL : 0, f);
  putLun(to, at, f.lun);
  put32(to, at + Field.TTT, f.ttt);
  put32(to, at + Field.DATA_SN, f.dataSn);
  put32(to, at + Field.BUFFER_OFFSET, f.bufferOffset);
}

/**
 * 11.18. Always immediate: a ping that waits for the CmdSN window says nothing about the
 * connection. Ours: own ITT, TTT NO_TAG. Answer to a NOP-In: ITT NO_TAG, its TTT and LUN.
 */
export function writeNopOut(to: Buffer, at: number, f: RequestFields): void {
  begin(to, at, Opcode.NOP_OUT | IMMEDIATE, FINAL, f);
  putLun(to, at, f.lun);
  put32(to, at + Field.TTT, f.ttt);
  put32(to, at + Field.CMD_SN, f.cmdSn);
}

/** 11.5; immediate: it concerns the commands with a CmdSN before the one it carries. */
export function writeTaskManagement(to: Buffer, at: number, f: RequestFields): void {
  begin(to, at, Opcode.TASK_MANAGEMENT_REQUEST | IMMEDIATE, FINAL | f.management, f);
  putLun(to, at, f.lun);
  put32(to, at + Field.REFERENCED_TASK_TAG, f.referencedItt);
  put32(to, at + Field.CMD_SN, f.cmdSn);
  put32(to, at + Field.REF_CMD_SN, f.referencedCmdSn);
}

/** 11.14, reason 0: close the session; immediate. */
export function writeLogout(to: Buffer, at: number, f: RequestFields): void {
  begin(to, at, Opcode.LOGOUT_REQUEST | IMMEDIATE, FINAL, f);
  put32(to, at + Field.CMD_SN, f.cmdSn);
}

/** 11.10: the whole text of a request, or, with the TTT of an answer, the request for its rest. */
export function writeText(to: Buffer, at: number, f: RequestFields): void {
  begin(to, at, Opcode.TEXT_REQUEST, FINAL, f);
  put32(to, at + Field.TTT, f.ttt);
  put32(to, at + Field.CMD_SN, f.cmdSn);
}
