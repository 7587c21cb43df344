/**
 * Decoder of FUSE requests: the bytes of one `read` on /dev/fuse into a `FuseRequest`.
 *
 * A later kernel may use other lengths than this decoder. So every field is read only after the length
 * that covers it was checked, and what does not fit is an error value. (In C daemons this place has been
 * a source of over-reads; here an over-read would be a RangeError that ends the process, which is worse
 * for the volume than one EIO.)
 *
 * One `FuseRequest` belongs to a reader and is filled again for each request: nothing is allocated.
 * Fields that an opcode does not have are 0.
 */
import { IN_HEADER_BYTES, Opcode, WRITE_DATA_OFFSET } from './wire.ts';

export type FuseDecodeError =
  /** Less than a header: it cannot even be answered. */
  | 'short-header'
  /** The header's length is not the number of bytes read. It can be answered with EIO. */
  | 'length-mismatch'
  /** Shorter than its opcode's structure, or than the data it announces. Answer EIO. */
  | 'short-body';

/** One decoded request; mutable, filled again and again. */
export class FuseRequest {
  opcode = 0;
  /** Halves of `unique`, echoed in the reply. */
  uniqueLow = 0;
  uniqueHigh = 0;
  /** Inode number the request is about; saturates at 2^53-1. */
  node = 0;
  /** READ, WRITE, READDIR, FALLOCATE: start, in bytes. Above 2^53 it saturates. */
  offset = 0;
  /** READ, WRITE, READDIR: bytes; FALLOCATE: length of the range. */
  length = 0;
  /** FALLOCATE: mode. OPEN: open(2) flags. INIT: flags. SETATTR: valid. */
  flags = 0;
  /** INIT: flags2. */
  flags2 = 0;
  /** INIT: protocol version of the kernel. */
  major = 0;
  minor = 0;
  /** INIT: max_readahead. */
  maxReadahead = 0;
  /** LOOKUP: start and end of the name within the request, without the NUL. */
  nameStart = 0;
  nameEnd = 0;
}

/** Smallest body of each opcode we look into; opcodes not listed are not looked into. */
const BODY_BYTES: Readonly<Record<number, number>> = {
  [Opcode.lookup]: 1,
  [Opcode.setattr]: 88,
  [Opcode.open]: 8,
  [Opcode.opendir]: 8,
  [Opcode.read]: 40,
  [Opcode.readdir]: 40,
  [Opcode.write]: 40,
  [Opcode.fallocate]: 32,
  [Opcode.init]: 16,
};

const TWO_32 = 0x1_0000_0000;

function readUint64(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at + 4) * TWO_32 + bytes.readUInt32LE(at);
  return value > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : value;
}

/**
 * Decodes the request in the first `size` bytes of `bytes` into `into`. Returns undefined, or why
 * it could not; `uniqueLow` and `uniqueHigh` are valid unless that is `short-header`. Never throws.
 */
export function decodeRequest(
  bytes: Buffer,
  size: number,
  into: FuseRequest,
): FuseDecodeError | undefined {
  if (size < IN_HEADER_BYTES || size > bytes.length) return 'short-header';
  into.opcode = bytes.readUInt32LE(4);
  into.uniqueLow = bytes.readUInt32LE(8);
  into.uniqueHigh = bytes.readUInt32LE(12);
  into.node = readUint64(bytes, 16);
  into.offset = 0;
  into.length = 0;
  into.flags = 0;
  if (bytes.readUInt32LE(0) !== size) return 'length-mismatch';
  if (size - IN_HEADER_BYTES < (BODY_BYTES[into.opcode] ?? 0)) return 'short-body';
  return decodeBody(bytes, size, into);
}

function decodeBody(bytes: Buffer, size: number, into: FuseRequest): FuseDecodeError | undefined {
  const body = IN_HEADER_BYTES;
  switch (into.opcode) {
    case Opcode.read:
    case Opcode.readdir:
    case Opcode.write:
      into.offset = readUint64(bytes, body + 8);
      into.length = bytes.readUInt32LE(body + 16);
      if (into.opcode !== Opcode.write) return undefined;
      // Exactly the announced data: less would be an over-read, more a request we misunderstand.
      return size - WRITE_DATA_OFFSET === into.length ? undefined : 'short-body';
    case Opcode.fallocate:
      into.offset = readUint64(bytes, body + 8);
      into.length = readUint64(bytes, body + 16);
      into.flags = bytes.readUInt32LE(body + 24);
      return undefined;
    case Opcode.lookup: {
      const end = bytes.indexOf(0, body);
      if (end === -1 || end >= size) return 'short-body';
      into.nameStart = body;
      into.nameEnd = end;
      return undefined;
    }
    case Opcode.init:
      into.major = bytes.readUInt32LE(body);
      into.minor = bytes.readUInt32LE(body + 4);
      into.maxReadahead = bytes.readUInt32LE(body + 8);
      into.flags = bytes.readUInt32LE(body + 12);
      into.flags2 = size >= body + 20 ? bytes.readUInt32LE(body + 16) : 0;
      return undefined;
    case Opcode.open:
    case Opcode.opendir:
    case Opcode.setattr:
      into.flags = bytes.readUInt32LE(body);
      return undefined;
    default:
      return undefined;
  }
}
