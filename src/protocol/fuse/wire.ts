/**
 * Numbers and layouts of the FUSE kernel protocol, as in include/uapi/linux/fuse.h (7.23 to 7.45).
 *
 * FUSE is not a network protocol: both ends are on one machine, so integers are in host byte order
 * (little endian on everything Node runs on here, x86-64 and arm64) and structures are laid out as
 * the C compiler does, without padding surprises because the header pads by hand. One `read` on
 * /dev/fuse gives exactly one request, one `write` is exactly one reply:
 *
 *   request: fuse_in_header (40 bytes), a fixed structure by opcode, then names or data
 *   reply:   fuse_out_header (16 bytes: len, error as -errno or 0, unique), structure, data
 *
 * 64-bit values are read as two 32-bit halves: BigInt would allocate per request, and a volume is
 * never larger than 2^53 bytes. `unique` is only ever echoed, so its halves are kept apart.
 */

/** Opcodes this file system answers; every other number gets ENOSYS. */
export const Opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  fallocate: 43,
} as const;

/** Linux errno values, the same on x86-64 and arm64. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EACCES: 13,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOSPC: 28,
  EROFS: 30,
  ENOSYS: 38,
  EPROTO: 71,
  EOPNOTSUPP: 95,
} as const;

/** FUSE_INIT flags that are asked for when the kernel offers them. */
export const InitFlag = {
  /** Reads of one file may be outstanding at the same time. */
  asyncRead: 1 << 0,
  /** Writes larger than a page. */
  bigWrites: 1 << 5,
  /** Direct I/O is submitted asynchronously: without it loop has one request outstanding. */
  asyncDio: 1 << 15,
  parallelDirops: 1 << 18,
  /** `max_pages` in the reply counts: requests of more than 32 pages. */
  maxPages: 1 << 22,
  /** `flags2` is there. */
  initExt: 1 << 30,
} as const;

/** flags2: the kernel can send unanswered requests again (FUSE_HAS_RESEND, bit 39; kernel 6.9). */
export const INIT2_HAS_RESEND = 1 << 7;

export const KERNEL_MAJOR = 7;
/** Newest minor whose structures were checked; the kernel speaks the lower of the two. */
export const KERNEL_MINOR = 45;
/** Below this the INIT reply has another size. RHEL 7 has 7.23. */
export const OLDEST_MINOR = 23;

export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
/** fuse_write_in; the payload follows it. */
export const WRITE_IN_BYTES = 40;
/** Where the payload of a WRITE starts within a request. */
export const WRITE_DATA_OFFSET = IN_HEADER_BYTES + WRITE_IN_BYTES;

/**
 * Largest READ or WRITE: what is larger comes in pieces. Together with the next number it bounds what
 * the kernel can ever have asked for and not been answered, 16 MiB a volume, so that everything can be
 * read at once and held: see host/block/fuse-server.ts.
 */
export const MAX_IO_BYTES = 256 * 1024;
/**
 * Requests for data that the kernel keeps outstanding at most. (Its default of 12 throttles asynchronous direct
 * I/O.) What is beyond waits in the kernel, and keeps nothing but data waiting.
 */
export const MAX_BACKGROUND = 64;
/** A read buffer must hold the largest request, or the kernel answers EINVAL. */
export const RECEIVE_BYTES = MAX_IO_BYTES + 4096;

/** fallocate(2) modes that the loop driver uses. */
export const PUNCH_HOLE_KEEP_SIZE = 0x03;
export const ZERO_RANGE_KEEP_SIZE = 0x11;

export const ROOT_NODE = 1;
export const DISK_NODE = 2;
/** Name of the one file. */
export const DISK_NAME = 'disk';
