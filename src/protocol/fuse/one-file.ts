/**
 * A file system of exactly one file, `disk`, whose content is a volume.
 *
 * `respond` looks at one decoded request and says what is to be done: nothing (FORGET and friends
 * have no reply), send the reply that was encoded, or do I/O. It keeps no state and does no I/O.
 *
 * Rules that are easy to get wrong:
 * - FSYNC and FLUSH never get ENOSYS: the kernel would remember it and from then on report every
 *   fsync as done without asking;
 * - FALLOCATE with PUNCH_HOLE is what the loop driver makes of a discard, but also of a
 *   write-zeroes that may unmap, so it is accepted only where a discarded range reads back as
 *   zeros;
 * - FALLOCATE never gets ENOSYS either: it, too, would be remembered, for ZERO_RANGE as well;
 * - a READ that reaches over the end is shortened, as a file's is; a WRITE over the end is refused,
 *   because a LUN does not grow by being written to.
 */
import type { FuseDecodeError, FuseRequest } from './request.ts';
import {
  encodeAttr,
  encodeDirectory,
  encodeEntry,
  encodeInit,
  encodeOpen,
  encodeStatfs,
  encodeStatus,
} from './reply.ts';
import {
  DISK_NAME,
  DISK_NODE,
  Errno,
  KERNEL_MAJOR,
  MAX_IO_BYTES,
  OLDEST_MINOR,
  Opcode,
  PUNCH_HOLE_KEEP_SIZE,
  ROOT_NODE,
  ZERO_RANGE_KEEP_SIZE,
} from './wire.ts';

/** The volume as the file system sees it; the same names as BlockSource. */
export interface DiskProperties {
  readonly sizeBytes: number;
  /** 512 or 4096. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
}

/** What `respond` decided; kept by the caller and filled again for each request. */
export class FuseResponse {
  /**
   * none: no reply is expected. reply: send the first `replyBytes` of the reply buffer. Otherwise
   * the I/O to do with `request.offset` and `length`; its reply comes later.
   */
  action: 'none' | 'reply' | 'read' | 'write' | 'flush' | 'discard' | 'write-zeroes' = 'none';
  replyBytes = 0;
  /** Bytes of the I/O, after shortening at the end of the disk. */
  length = 0;
}

const O_ACCMODE = 3;

/** Decides about one request; `reply` has room for REPLY_BYTES. */
export function respond(
  request: FuseRequest,
  bytes: Buffer,
  disk: DiskProperties,
  reply: Buffer,
  response: FuseResponse,
): void {
  response.action = 'reply';
  response.replyBytes = 0;
  response.length = 0;
  switch (request.opcode) {
    case Opcode.read:
    case Opcode.write:
    case Opcode.fallocate:
    case Opcode.fsync:
      respondToIo(request, disk, reply, response);
      return;
    case Opcode.forget:
    case Opcode.batchForget:
    case Opcode.interrupt: // the request it is about goes on, and is answered when it is done
      response.action = 'none';
      return;
    default:
      response.replyBytes = respondToRest(request, bytes, disk, reply);
  }
}

/** The reply to a request that could not be decoded; undefined when it cannot be answered. */
export function respondToMalformed(
  error: FuseDecodeError,
  request: FuseRequest,
  reply: Buffer,
): number | undefined {
  return error === 'short-header' ? undefined : encodeStatus(reply, request, Errno.EIO);
}

function respondToRest(
  request: FuseRequest,
  bytes: Buffer,
  disk: DiskProperties,
  reply: Buffer,
): number {
  switch (request.opcode) {
    case Opcode.init: {
      const known = request.major === KERNEL_MAJOR && request.minor >= OLDEST_MINOR;
      return known ? encodeInit(reply, request) : encodeStatus(reply, request, Errno.EPROTO);
    }
    case Opcode.lookup: {
      const name = bytes.toString('latin1', request.nameStart, request.nameEnd);
      const found = request.node === ROOT_NODE && name === DISK_NAME;
      return found ? encodeEntry(reply, request, disk) : encodeStatus(reply, request, Errno.ENOENT);
    }
    case Opcode.getattr:
      return request.node === ROOT_NODE || request.node === DISK_NODE
        ? encodeAttr(reply, request, disk)
        : encodeStatus(reply, request, Errno.ENOENT);
    case Opcode.setattr:
      return encodeStatus(reply, request, Errno.EPERM);
    case Opcode.open: {
      if (request.node !== DISK_NODE) return encodeStatus(reply, request, Errno.EISDIR);
      const writing = (request.flags & O_ACCMODE) !== 0;
      return disk.readOnly && writing
        ? encodeStatus(reply, request, Errno.EROFS)
        : encodeOpen(reply, request);
    }
    case Opcode.opendir:
      return request.node === ROOT_NODE
        ? encodeOpen(reply, request)
        : encodeStatus(reply, request, Errno.ENOTDIR);
    case Opcode.readdir:
      return encodeDirectory(reply, request);
    case Opcode.statfs:
      return encodeStatfs(reply, request, disk, disk.blockSize);
    case Opcode.flush: // close(2) of a descriptor: promises nothing about stable storage
    case Opcode.release:
    case Opcode.releasedir:
    case Opcode.fsyncdir:
    case Opcode.destroy:
      return encodeStatus(reply, request, 0);
    default:
      return encodeStatus(reply, request, Errno.ENOSYS);
  }
}

function respondToIo(
  request: FuseRequest,
  disk: DiskProperties,
  reply: Buffer,
  response: FuseResponse,
): void {
  const errno = request.node === DISK_NODE ? checkIo(request, disk, response) : Errno.EISDIR;
  if (errno !== 0) {
    response.action = 'reply';
    response.replyBytes = encodeStatus(reply, request, errno);
  } else if (response.length === 0 && response.action !== 'flush') {
    // At or behind the end, or an empty request: an empty answer, with the header only for READ.
    response.replyBytes = encodeStatus(
      reply,
      request,
      response.action === 'read' ? 0 : Errno.EINVAL,
    );
    response.action = 'reply';
  }
}

/** Sets action and length of the response; returns 0, or the errno to refuse with. */
function checkIo(request: FuseRequest, disk: DiskProperties, response: FuseResponse): number {
  const { offset, length } = request;
  const end = offset + length;
  switch (request.opcode) {
    case Opcode.read:
      if (length > MAX_IO_BYTES) return Errno.EINVAL;
      response.action = 'read';
      response.length = Math.max(0, Math.min(end, disk.sizeBytes) - offset);
      break;
    case Opcode.write:
      if (disk.readOnly) return Errno.EROFS;
      if (length > MAX_IO_BYTES || end > disk.sizeBytes) return Errno.EINVAL;
      response.action = 'write';
      response.length = length;
      break;
    case Opcode.fallocate:
      if (disk.readOnly) return Errno.EROFS;
      if (request.flags === PUNCH_HOLE_KEEP_SIZE && disk.canDiscard) response.action = 'discard';
      else if (request.flags === ZERO_RANGE_KEEP_SIZE && disk.canWriteZeroes) {
        response.action = 'write-zeroes';
      } else return Errno.EOPNOTSUPP;
      if (end > disk.sizeBytes) return Errno.EINVAL;
      response.length = length;
      break;
    case Opcode.fsync:
      response.action = 'flush';
      return 0;
    default:
      return Errno.EINVAL;
  }
  const aligned = offset % disk.blockSize === 0 && response.length % disk.blockSize === 0;
  return aligned ? 0 : Errno.EINVAL;
}
