/**
 * Encoder of FUSE replies (include/uapi/linux/fuse.h). Each function writes a whole reply, header
 * included, to the start of `out` and returns its length; `out` has room for `REPLY_BYTES`. Data of
 * a READ is not copied here: it sits behind a header made by `encodeHeader`.
 */
import type { FuseRequest } from './request.ts';
import {
  DISK_NAME,
  DISK_NODE,
  INIT2_HAS_RESEND,
  InitFlag,
  KERNEL_MAJOR,
  KERNEL_MINOR,
  MAX_BACKGROUND,
  MAX_IO_BYTES,
  OUT_HEADER_BYTES,
  ROOT_NODE,
} from './wire.ts';

/** Enough for every reply made here. */
export const REPLY_BYTES = 512;

/** What the one file looks like. */
export interface DiskGeometry {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
}

const PAGE_BYTES = 4096;
const SECTOR_BYTES = 512;
/** Longer than any device lives: a hundred years. */
const FOREVER_S = 3_153_600_000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

const WANTED_FLAGS =
  InitFlag.asyncRead |
  InitFlag.bigWrites |
  InitFlag.asyncDio |
  InitFlag.parallelDirops |
  InitFlag.maxPages |
  InitFlag.initExt;

/** fuse_out_header of a reply of `length` bytes in total; `errno` 0 for success. */
export function encodeHeader(
  out: Buffer,
  length: number,
  errno: number,
  uniqueLow: number,
  uniqueHigh: number,
): number {
  out.writeUInt32LE(length, 0);
  out.writeInt32LE(errno === 0 ? 0 : -errno, 4);
  out.writeUInt32LE(uniqueLow, 8);
  out.writeUInt32LE(uniqueHigh, 12);
  return length;
}

/** A reply without a body: an error, or plain success. */
export function encodeStatus(out: Buffer, request: FuseRequest, errno: number): number {
  return encodeHeader(out, OUT_HEADER_BYTES, errno, request.uniqueLow, request.uniqueHigh);
}

function begin(out: Buffer, request: FuseRequest, bodyBytes: number): number {
  const length = OUT_HEADER_BYTES + bodyBytes;
  out.fill(0, 0, length);
  return encodeHeader(out, length, 0, request.uniqueLow, request.uniqueHigh);
}

function putUint64(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value % 0x1_0000_0000, at);
  out.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

/**
 * fuse_init_out. Flags are the ones we want and the kernel offers. Not asked for: WRITEBACK_CACHE
 * (the page cache would hold acknowledged writes), PASSTHROUGH, OVER_IO_URING.
 */
export function encodeInit(out: Buffer, request: FuseRequest): number {
  const length = begin(out, request, 64);
  const flags = request.flags & WANTED_FLAGS;
  const extended = (flags & InitFlag.initExt) !== 0;
  let at = OUT_HEADER_BYTES;
  out.writeUInt32LE(KERNEL_MAJOR, at);
  out.writeUInt32LE(Math.min(request.minor, KERNEL_MINOR), at + 4);
  out.writeUInt32LE(request.maxReadahead, at + 8);
  out.writeUInt32LE(flags, at + 12);
  at += 16;
  putMaxBackground(out, MAX_BACKGROUND);
  out.writeUInt32LE(MAX_IO_BYTES, at + 4);
  out.writeUInt32LE(1, at + 8); // time_gran, ns
  out.writeUInt16LE(MAX_IO_BYTES / PAGE_BYTES, at + 12);
  out.writeUInt32LE(extended ? request.flags2 & INIT2_HAS_RESEND : 0, at + 16);
  return length;
}

/** Puts another limit than MAX_BACKGROUND into the reply to INIT. */
export function putMaxBackground(out: Buffer, requests: number): void {
  out.writeUInt16LE(requests, OUT_HEADER_BYTES + 16);
  out.writeUInt16LE(Math.max(1, Math.floor(requests * 0.75)), OUT_HEADER_BYTES + 18);
}

/** fuse_attr, 88 bytes: a directory, or the disk. */
function putAttr(out: Buffer, at: number, node: number, disk: DiskGeometry): void {
  const isDisk = node === DISK_NODE;
  const permissions = disk.readOnly ? 0o400 : 0o600;
  putUint64(out, node, at);
  if (isDisk) putUint64(out, disk.sizeBytes, at + 8);
  if (isDisk) putUint64(out, Math.ceil(disk.sizeBytes / SECTOR_BYTES), at + 16);
  out.writeUInt32LE(isDisk ? S_IFREG | permissions : S_IFDIR | 0o500, at + 60);
  out.writeUInt32LE(isDisk ? 1 : 2, at + 64);
  out.writeUInt32LE(PAGE_BYTES, at + 80);
}

/**
 * fuse_attr_out. Attributes may be cached for ever: mkfs, fsck, resize2fs and losetup ask every loop
 * device of the node which file is behind it (LOOP_GET_STATUS64, STATX_INO), and from the cache they are
 * answered although this process, or its storage, hangs. A process that needs the size of now has to ask
 * for it (AT_STATX_FORCE_SYNC, `stat --cached=never`).
 */
export function encodeAttr(out: Buffer, request: FuseRequest, disk: DiskGeometry): number {
  const length = begin(out, request, 104);
  putUint64(out, FOREVER_S, OUT_HEADER_BYTES);
  putAttr(out, OUT_HEADER_BYTES + 16, request.node, disk);
  return length;
}

/** fuse_entry_out for the disk. */
export function encodeEntry(out: Buffer, request: FuseRequest, disk: DiskGeometry): number {
  const length = begin(out, request, 128);
  putUint64(out, DISK_NODE, OUT_HEADER_BYTES);
  putUint64(out, FOREVER_S, OUT_HEADER_BYTES + 16);
  putUint64(out, FOREVER_S, OUT_HEADER_BYTES + 24);
  putAttr(out, OUT_HEADER_BYTES + 40, DISK_NODE, disk);
  return length;
}

/**
 * fuse_open_out with file handle 0 and no open flags: the page cache is the kernel's own business.
 */
export function encodeOpen(out: Buffer, request: FuseRequest): number {
  return begin(out, request, 16);
}

/** fuse_write_out. */
export function encodeWritten(
  out: Buffer,
  uniqueLow: number,
  uniqueHigh: number,
  bytes: number,
): number {
  const length = encodeHeader(out, OUT_HEADER_BYTES + 8, 0, uniqueLow, uniqueHigh);
  out.writeUInt32LE(bytes, OUT_HEADER_BYTES);
  out.writeUInt32LE(0, OUT_HEADER_BYTES + 4);
  return length;
}

/** fuse_statfs_out. The loop driver takes f_bsize as its discard granularity. */
export function encodeStatfs(
  out: Buffer,
  request: FuseRequest,
  disk: DiskGeometry,
  blockSize: number,
): number {
  const length = begin(out, request, 80);
  const at = OUT_HEADER_BYTES;
  putUint64(out, Math.floor(disk.sizeBytes / blockSize), at);
  putUint64(out, 1, at + 24); // files
  out.writeUInt32LE(blockSize, at + 40);
  out.writeUInt32LE(255, at + 44);
  out.writeUInt32LE(blockSize, at + 48);
  return length;
}

const ENTRIES = [
  { name: '.', node: ROOT_NODE, type: 4 },
  { name: '..', node: ROOT_NODE, type: 4 },
  { name: DISK_NAME, node: DISK_NODE, type: 8 },
] as const;

/** fuse_dirent list from the entry with index `request.offset` on, as many as fit in the length. */
export function encodeDirectory(out: Buffer, request: FuseRequest): number {
  let at = OUT_HEADER_BYTES;
  const limit = Math.min(out.length, OUT_HEADER_BYTES + request.length);
  for (let index = request.offset; index < ENTRIES.length; index++) {
    const entry = ENTRIES[index];
    if (entry === undefined) break;
    const size = (24 + entry.name.length + 7) & ~7;
    if (at + size > limit) break;
    out.fill(0, at, at + size);
    putUint64(out, entry.node, at);
    putUint64(out, index + 1, at + 8);
    out.writeUInt32LE(entry.name.length, at + 16);
    out.writeUInt32LE(entry.type, at + 20);
    out.write(entry.name, at + 24, 'latin1');
    at += size;
  }
  return encodeHeader(out, at, 0, request.uniqueLow, request.uniqueHigh);
}
