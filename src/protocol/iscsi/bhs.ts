/**
 * The Basic Header Segment (RFC 7143 11.2): 48 bytes at the front of every PDU. Here are the
 * opcodes, the places of the fields and the flag bits; requests.ts writes headers, the sinks of
 * framer.ts read them.
 *
 * Headers are read and written field by field in the byte array they live in. Decoding each into an
 * object was rejected: at 60,000 commands a second that is 120,000 objects of a very short life.
 */

export const BHS_LENGTH = 48;

export const Opcode = {
  NOP_OUT: 0x00,
  SCSI_COMMAND: 0x01,
  TASK_MANAGEMENT_REQUEST: 0x02,
  LOGIN_REQUEST: 0x03,
  TEXT_REQUEST: 0x04,
  DATA_OUT: 0x05,
  LOGOUT_REQUEST: 0x06,
  NOP_IN: 0x20,
  SCSI_RESPONSE: 0x21,
  TASK_MANAGEMENT_RESPONSE: 0x22,
  LOGIN_RESPONSE: 0x23,
  TEXT_RESPONSE: 0x24,
  DATA_IN: 0x25,
  LOGOUT_RESPONSE: 0x26,
  R2T: 0x31,
  ASYNC_MESSAGE: 0x32,
  REJECT: 0x3f,
} as const;

const OPCODE_NAMES = new Map<number, string>(
  Object.entries(Opcode).map(([name, code]) => [code, name.replaceAll('_', ' ')]),
);

/** "SCSI RESPONSE", or "opcode 1ch". */
export function opcodeName(opcode: number): string {
  return OPCODE_NAMES.get(opcode) ?? `opcode ${opcode.toString(16).padStart(2, '0')}h`;
}

/** Low six bits of byte 0. */
export const OPCODE_MASK = 0x3f;
/** I bit of byte 0: immediate delivery, outside of the CmdSN window (RFC 7143 4.2.2.1). */
export const IMMEDIATE = 0x40;
/** F bit of byte 1 in most PDUs; T bit in login. */
export const FINAL = 0x80;

/** Offsets of fields; several PDUs use one place for different things. */
export const Field = {
  FLAGS: 1,
  RESPONSE: 2, // SCSI, TMF and Logout Response; Reject: the reason
  STATUS: 3, // SCSI Response and Data-In with S
  TOTAL_AHS_LENGTH: 4, // 4-byte words
  DATA_SEGMENT_LENGTH: 5, // 24 bits
  LUN: 8,
  ISID: 8,
  TSIH: 14,
  ITT: 16,
  TTT: 20,
  EDTL: 20, // SCSI Command: Expected Data Transfer Length
  REFERENCED_TASK_TAG: 20, // TMF request
  CID: 20, // login and logout
  CMD_SN: 24,
  STAT_SN: 24,
  EXP_STAT_SN: 28,
  EXP_CMD_SN: 28,
  CDB: 32,
  REF_CMD_SN: 32, // TMF request
  MAX_CMD_SN: 32,
  DATA_SN: 36,
  R2T_SN: 36,
  STATUS_CLASS: 36, // Login Response
  STATUS_DETAIL: 37,
  ASYNC_EVENT: 36,
  ASYNC_VCODE: 37,
  ASYNC_PARAMETER_1: 38,
  ASYNC_PARAMETER_2: 40,
  ASYNC_PARAMETER_3: 42,
  BUFFER_OFFSET: 40,
  DESIRED_LENGTH: 44, // R2T
  RESIDUAL_COUNT: 44,
} as const;

/** Byte 1 of a SCSI Command: R and W bits, and the SIMPLE task attribute. */
export const CommandFlag = { READ: 0x40, WRITE: 0x20, SIMPLE: 0x01 } as const;

/** Byte 1 of a SCSI Response and of a Data-In with S. */
export const ResponseFlag = { OVERFLOW: 0x04, UNDERFLOW: 0x02 } as const;

/** S bit in byte 1 of a Data-In: it carries the status as well (phase collapse). */
export const DATA_IN_STATUS = 0x01;

/** Reserved value of ITT and TTT: "no task". */
export const NO_TAG = 0xffff_ffff;

/** Bytes that follow a data segment to make its length a multiple of four. */
export function paddingOf(length: number): number {
  return -length & 3;
}
