/** Sizes from superblocks that mkfs has made, and from ones that are larger than any disk here. */
import { describe, expect, it } from 'vitest';
import { filesystemExtent } from '../../../../src/host/mount/superblock.ts';

function ext4(is64Bit: boolean): Buffer {
  const head = Buffer.alloc(4096);
  head.writeUInt32LE(1000, 1024 + 4);
  head.writeUInt32LE(2, 1024 + 24);
  head.writeUInt16LE(0xef53, 1024 + 56);
  head.writeUInt32LE(is64Bit ? 0x80 : 0, 1024 + 96);
  head.writeUInt32LE(3, 1024 + 336);
  return head;
}

describe('ext4', () => {
  it('has the upper half of its blocks where it says so', () => {
    expect(filesystemExtent(ext4(false), 'ext4')).toEqual({ blocks: 1000, blockSize: 4096 });
    const large = { blocks: 3 * 2 ** 32 + 1000, blockSize: 4096 };
    expect(filesystemExtent(ext4(true), 'ext4')).toEqual(large);
  });

  it('is nothing without its magic', () => {
    expect(filesystemExtent(Buffer.alloc(4096), 'ext4')).toBeUndefined();
  });
});

describe('xfs', () => {
  it('is big endian', () => {
    const head = Buffer.alloc(4096);
    head.write('XFSB');
    head.writeUInt32BE(4096, 4);
    head.writeBigUInt64BE(2n ** 33n, 8);
    expect(filesystemExtent(head, 'xfs')).toEqual({ blocks: 2 ** 33, blockSize: 4096 });
  });

  it('is nothing without its magic', () => {
    expect(filesystemExtent(Buffer.alloc(4096), 'xfs')).toBeUndefined();
  });
});
