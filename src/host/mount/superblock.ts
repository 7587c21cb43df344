/**
 * How large a filesystem is, from its superblock, so that resize2fs and xfs_growfs run only where a device
 * has grown. They are no harmless look: resize2fs asks every loop device of the node that is mounted
 * which file is behind it (e2fsprogs, ismounted.c), and one whose server hangs keeps it waiting.
 *
 *   ext4  at 1024: blocks (low) +4, log2 of the block size -10 at +24, magic EF53 at +56,
 *         incompatible features at +96 (0x80: 64 bits), blocks (high) at +336
 *   xfs   at 0, big endian: magic "XFSB", block size at +4, blocks at +8
 */
import type { FileHandle } from 'node:fs/promises';
import { blockDeviceSize } from './filesystem-probe.ts';
import type { FilesystemType } from './filesystem.ts';
import { DEVICE_READ_MS, readWithin, Unanswered } from './read-within.ts';

const READ_BYTES = 4096;
const EXT4_AT = 1024;
const EXT4_MAGIC = 0xef53;
const EXT4_64BIT = 0x80;

interface Extent {
  readonly blocks: number;
  readonly blockSize: number;
}

/** Undefined: no superblock of that type. Pure. */
export function filesystemExtent(head: Buffer, type: FilesystemType): Extent | undefined {
  if (type === 'xfs') {
    if (head.toString('latin1', 0, 4) !== 'XFSB') return undefined;
    return { blocks: Number(head.readBigUInt64BE(8)), blockSize: head.readUInt32BE(4) };
  }
  if (head.readUInt16LE(EXT4_AT + 56) !== EXT4_MAGIC) return undefined;
  const is64Bit = (head.readUInt32LE(EXT4_AT + 96) & EXT4_64BIT) !== 0;
  const high = is64Bit ? head.readUInt32LE(EXT4_AT + 336) : 0;
  const blocks = high * 2 ** 32 + head.readUInt32LE(EXT4_AT + 4);
  return { blocks, blockSize: 1024 << head.readUInt32LE(EXT4_AT + 24) };
}

/**
 * Whether whole blocks of the device lie behind its filesystem. In doubt they do. Rejects with Unanswered where
 * the device does not answer: a program that grows the filesystem would only hang in its turn.
 */
export async function hasGrown(
  device: string,
  type: FilesystemType,
  timeoutMs = DEVICE_READ_MS,
): Promise<boolean> {
  const size = await blockDeviceSize(device);
  const head = await readWithin(device, timeoutMs, readHead).catch((error: unknown) => {
    if (error instanceof Unanswered) throw error;
    return undefined;
  });
  const extent = head === undefined ? undefined : filesystemExtent(head, type);
  if (size === undefined || extent === undefined) return true;
  return Math.floor(size / extent.blockSize) > extent.blocks;
}

async function readHead(handle: FileHandle): Promise<Buffer | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, 0);
  return bytesRead === READ_BYTES ? buffer : undefined;
}
