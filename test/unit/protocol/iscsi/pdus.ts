/** Target PDUs built field by field, for tests that script a target. */
import { put16, put24, put32 } from '../../../../src/base/bytes.ts';
import { crc32c } from '../../../../src/base/crc32c.ts';
import { BHS_LENGTH, Field, FINAL, NO_TAG, Opcode } from '../../../../src/protocol/iscsi/bhs.ts';
import { encodeText } from '../../../../src/protocol/iscsi/text.ts';

export interface Numbers {
  readonly statSn?: number;
  readonly expCmdSn?: number;
  readonly maxCmdSn?: number;
}

/** A whole PDU: header, optional AHS, data, padding. Fields are [offset, 32-bit value]. */
export function pdu(
  opcode: number,
  flags: number,
  fields: readonly (readonly [at: number, value: number])[],
  data: Uint8Array = new Uint8Array(0),
  ahsWords = 0,
): Buffer {
  const dataAt = BHS_LENGTH + 4 * ahsWords;
  const bytes = Buffer.alloc(dataAt + data.length + (-data.length & 3));
  bytes[0] = opcode;
  bytes[1] = flags;
  bytes[Field.TOTAL_AHS_LENGTH] = ahsWords;
  put24(bytes, Field.DATA_SEGMENT_LENGTH, data.length);
  for (const [at, value] of fields) put32(bytes, at, value);
  bytes.set(data, dataAt);
  return bytes;
}

/** The same PDU as it goes over the wire with digests; CRC32C with its low byte first. */
export function withDigests(
  bytes: Buffer,
  { header, data }: { readonly header: boolean; readonly data: boolean },
): Buffer {
  const dataAt = BHS_LENGTH + 4 * (bytes[Field.TOTAL_AHS_LENGTH] as number);
  const digest = (part: Buffer): Buffer => {
    const crc = Buffer.alloc(4);
    crc.writeUInt32LE(crc32c(part));
    return crc;
  };
  const [first, rest] = [bytes.subarray(0, dataAt), bytes.subarray(dataAt)];
  return Buffer.concat([
    ...(header ? [first, digest(first)] : [first]),
    ...(data && rest.length > 0 ? [rest, digest(rest)] : [rest]),
  ]);
}

function numbers(n: Numbers): (readonly [number, number])[] {
  return [
    [Field.STAT_SN, n.statSn ?? 0],
    [Field.EXP_CMD_SN, n.expCmdSn ?? 0],
    [Field.MAX_CMD_SN, n.maxCmdSn ?? 0],
  ];
}

export function dataIn(
  f: Numbers & {
    readonly itt: number;
    readonly dataSn: number;
    readonly offset: number;
    readonly data: Uint8Array;
    readonly final?: boolean;
    /** Phase collapse: SCSI status in the S variant. */
    readonly status?: number;
    readonly residual?: number;
  },
): Buffer {
  const withStatus = f.status !== undefined;
  const flags =
    (f.final === true || withStatus ? FINAL : 0) |
    (withStatus ? 1 : 0) |
    ((f.residual ?? 0) > 0 ? 2 : 0);
  const bytes = pdu(
    Opcode.DATA_IN,
    flags,
    [
      [Field.ITT, f.itt],
      [Field.TTT, NO_TAG],
      ...numbers(f),
      [Field.DATA_SN, f.dataSn],
      [Field.BUFFER_OFFSET, f.offset],
      [Field.RESIDUAL_COUNT, f.residual ?? 0],
    ],
    f.data,
  );
  bytes[Field.STATUS] = f.status ?? 0;
  return bytes;
}

export function scsiResponse(
  f: Numbers & {
    readonly itt: number;
    readonly status: number;
    readonly sense?: Uint8Array;
    readonly residual?: number;
    readonly response?: number;
  },
): Buffer {
  const data = Buffer.alloc(f.sense === undefined ? 0 : 2 + f.sense.length);
  if (f.sense !== undefined) {
    put16(data, 0, f.sense.length);
    data.set(f.sense, 2);
  }
  const flags = FINAL | ((f.residual ?? 0) > 0 ? 2 : 0);
  const fields = [
    [Field.ITT, f.itt],
    ...numbers(f),
    [Field.RESIDUAL_COUNT, f.residual ?? 0],
  ] as const;
  const bytes = pdu(Opcode.SCSI_RESPONSE, flags, fields, data);
  bytes[Field.RESPONSE] = f.response ?? 0;
  bytes[Field.STATUS] = f.status;
  return bytes;
}

export function r2t(
  f: Numbers & {
    readonly itt: number;
    readonly ttt: number;
    readonly r2tSn: number;
    readonly offset: number;
    readonly length: number;
  },
): Buffer {
  return pdu(Opcode.R2T, FINAL, [
    [Field.ITT, f.itt],
    [Field.TTT, f.ttt],
    ...numbers(f),
    [Field.R2T_SN, f.r2tSn],
    [Field.BUFFER_OFFSET, f.offset],
    [Field.DESIRED_LENGTH, f.length],
  ]);
}

export function nopIn(f: Numbers & { readonly itt: number; readonly ttt: number }): Buffer {
  return pdu(Opcode.NOP_IN, FINAL, [[Field.ITT, f.itt], [Field.TTT, f.ttt], ...numbers(f)]);
}

/** Task Management or Logout Response. */
export function response(
  opcode: number,
  f: Numbers & { readonly itt: number; readonly response: number },
): Buffer {
  const bytes = pdu(opcode, FINAL, [[Field.ITT, f.itt], ...numbers(f)]);
  bytes[Field.RESPONSE] = f.response;
  return bytes;
}

export function asyncMessage(f: Numbers & { readonly event: number }): Buffer {
  const bytes = pdu(Opcode.ASYNC_MESSAGE, FINAL, [[Field.ITT, NO_TAG], ...numbers(f)]);
  bytes[Field.ASYNC_EVENT] = f.event;
  return bytes;
}

export interface LoginAnswer extends Numbers {
  readonly stage: 0 | 1;
  readonly transit?: boolean;
  readonly next?: number;
  readonly continued?: boolean;
  readonly keys?: Readonly<Record<string, string>>;
  /** Raw text instead of keys. */
  readonly text?: Uint8Array;
  readonly tsih?: number;
  readonly status?: number;
  readonly isid?: Uint8Array;
  readonly version?: number;
}

export function loginResponse(f: LoginAnswer, isid: Uint8Array): Buffer {
  const next = f.next ?? (f.stage === 0 ? 1 : 3);
  const flags =
    (f.transit === true ? FINAL | next : 0) | (f.continued === true ? 0x40 : 0) | (f.stage << 2);
  const data = f.text ?? encodeText(Object.entries(f.keys ?? {}));
  const bytes = pdu(Opcode.LOGIN_RESPONSE, flags, [[Field.ITT, 0], ...numbers(f)], data);
  bytes[3] = f.version ?? 0;
  bytes.set(f.isid ?? isid, Field.ISID);
  put16(bytes, Field.TSIH, f.tsih ?? 0);
  put16(bytes, Field.STATUS_CLASS, f.status ?? 0);
  return bytes;
}

export function textResponse(
  f: Numbers & {
    readonly itt: number;
    readonly text: Uint8Array;
    readonly final?: boolean;
    readonly continued?: boolean;
    readonly ttt?: number;
  },
): Buffer {
  const flags = (f.final === false ? 0 : FINAL) | (f.continued === true ? 0x40 : 0);
  const fields = [
    [Field.ITT, f.itt],
    [Field.TTT, f.ttt ?? NO_TAG],
  ] as const;
  return pdu(Opcode.TEXT_RESPONSE, flags, [...fields, ...numbers(f)], f.text);
}
